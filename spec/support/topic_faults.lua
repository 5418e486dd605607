--- What a context does with topics, histories, back planes and functions that wait when a fault meets it: scenarios of
-- `spec.support.fault_scenarios`, which see for themselves whether everything is whole afterwards.
-- @module spec.support.topic_faults

local fault_world = require("spec.support.fault_world")
local inside = require("spec.support.inside")
local websockets = require("websockets")

-- They are loaded when they are used: an interpreter that finds no memory may lose the file.
require("websockets.pubsub.pubsub")
require("websockets.pubsub.memory")
require("websockets.pubsub.own_carrier")
require("websockets.pubsub.presence")
require("websockets.pubsub.shared")
require("websockets.turn.drain")

local topic_faults, scenarios = {}, {}

-- Payloads that belong to all begin so.
local ALL = "ALL "
local OTHER_PROCESS = ("A"):rep(12)
local KIB = 1024
local SOCKET_BYTES, MAX_BUFFERED_BYTES = 32 * KIB, 256 * KIB
-- More than the sockets of both ends take; a part of what may wait.
local FILL, PART = ("much "):rep(50 * KIB), ALL .. ("much "):rep(2 * KIB)

-- A back plane on which another process says what this one says, where it contains the word.
local function new_plane()
  local plane = { channels = {} }
  function plane.open(_, receive) plane.receive = receive end
  function plane.publish(_, channel, bytes)
    if bytes:find("echo", 1, true) then plane.receive(channel, OTHER_PROCESS .. bytes:sub(#OTHER_PROCESS + 1)) end
  end
  function plane.subscribe(_, channel) plane.channels[channel] = true end
  function plane.unsubscribe(_, channel) plane.channels[channel] = nil end
  function plane.close() end
  return plane
end

-- What contexts of these scenarios have in addition.
local OPTIONS = {
  send_buffer_bytes = SOCKET_BYTES, max_buffered_bytes = MAX_BUFFERED_BYTES, on_drop = function() end,
  topics = {
    shut = { slow_consumer = "close" }, new = { slow_consumer = "drop_new" }, old = { slow_consumer = "drop_old" },
    last = { slow_consumer = "conflate" }, kept = { history = { messages = 3, seconds = 60 } },
  },
}

-- Whether a topic works for a connection: it can be subscribed to, gets each message once, and can be left.
local function check_topic(world, one, ws, topic)
  if ws:topics()[1] then
    for _, name in ipairs(ws:topics()) do ws:unsubscribe(name) end
  end
  one:take()
  if one.ended or ws:write("", websockets.WRITE_PONG) ~= 0 then return end
  local before = world.context:subscribers(topic)
  world.serial = (world.serial or 0) + 1
  local text = ALL .. ("check %d of %s;"):format(world.serial, topic)
  if not ws:subscribe(topic) or world.context:subscribers(topic) ~= before + 1 then
    world.foreign = "NOT SUBSCRIBED to " .. topic
  end
  world.context:publish(topic, text)
  if not world:pump(function() return one:has(text) or one.ended end) then world.foreign = "NOTHING from " .. topic end
  if not one.ended and select(2, one.bytes:gsub(text, "")) > 1 then world.foreign = "TWICE from " .. topic end
  if not ws:unsubscribe(topic) or world.context:subscribers(topic) ~= before then
    world.foreign = "NOT UNSUBSCRIBED from " .. topic
  end
end

-- Has the turn that a fault has damaged repaired, and all that is left of topics looked at.
local function check(world, clients, names)
  world:pump(function() return true end)
  for _, one in ipairs(clients) do
    for _, topic in ipairs(names) do
      local is_good, err = pcall(check_topic, world, one, one.ws, topic)
      if not is_good then world.foreign = "TOPIC " .. tostring(err) end
    end
  end
  world:pump(function() return true end)
  for topic, channel in pairs(world.plane and world.plane.channels and inside.channels(world.context) or {}) do
    if not world.plane.channels[channel] then world.foreign = "NO CHANNEL of " .. topic end
  end
  local wrong = inside.find_wrong_topic(world.context)
  if wrong then world.foreign = "INDEX " .. wrong end
  return clients
end

local function open(world)
  local one = world:open()
  one.ws = world.by_mark[one.mark]
  return one
end

-- Has a connection that stays subscribed to a topic.
local function keep(world, topic)
  world.by_mark[world.beside.mark]:subscribe(topic)
end

-- Two connections join, and leave, in several ways.
local function come_and_go(world, turn, topic, options)
  local one, other = open(world), open(world)
  keep(world, topic)
  turn(function() one.ws:subscribe(topic, options) end)
  turn(function() other.ws:subscribe(topic, options) end)
  turn(function() world.context:publish(topic, ALL .. "1") end)
  turn(function() other.ws:subscribe(topic .. "2") end)
  turn(function() one.ws:publish(topic, ALL .. "2") end)
  turn(function() one.ws:unsubscribe(topic) end)
  turn(function() other.ws:close(0) end)
  turn()
  other:close()
  return check(world, { one }, { topic, topic .. "2" })
end

--- Two connections subscribe to topics and leave them, and messages are published.
function scenarios.topics(world, turn) return come_and_go(world, turn, "plain") end

--- A message of a topic comes while another one is being sent in fragments.
function scenarios.between(world, turn)
  local one, other = open(world), open(world)
  keep(world, "plain")
  turn(function() one.ws:subscribe("plain") end)
  turn(function() other.ws:subscribe("plain") end)
  turn(function() one.ws:write(ALL, 0 + websockets.WRITE_NO_FIN) end)
  turn(function() world.context:publish("plain", ALL .. "between") end)
  turn(function() one.ws:write("end", websockets.WRITE_CONTINUATION) end)
  turn(function() world.context:publish("plain", ALL .. "after") end)
  turn()
  -- Its message may have been left amid.
  one.is_amid = true
  check(world, { other }, { "plain" })
  return { one, other }
end

--- Topics with a history: what was missed is sent to those that come.
function scenarios.history(world, turn)
  local one = open(world)
  for i = 1, 5 do
    turn(function() world.context:publish("kept", ALL .. i) end)
  end
  turn(function() one.ws:subscribe("kept", { since = "all", on_joined = function() end }) end)
  turn()
  turn(function() world.context:publish("kept", ALL .. "6", nil, { on_stored = function() end }) end)
  world:advance(61)
  turn()
  -- The entries have gone: a timer for new ones takes the place of the one that remembers the topic.
  turn(function() world.context:publish("kept", ALL .. "7") end)
  world:pump(function() return true end)
  -- Before something else is published, which would begin one.
  local wrong = inside.find_wrong_history(world.context)
  if wrong then world.foreign = "HISTORY " .. wrong end
  return check(world, { one }, { "kept" })
end

--- Connections are present in topics by a name.
function scenarios.presence(world, turn)
  local one, other = open(world), open(world)
  turn(function() one.ws:subscribe("plain", { name = "joe" }) end)
  turn(function() other.ws:subscribe("plain", { name = "joe" }) end)
  turn(function() other.ws:subscribe("plain2", { name = "ann" }) end)
  turn(function() world.context:presence("plain") end)
  turn(function() other.ws:close(0) end)
  turn(function() one.ws:unsubscribe("plain") end)
  other:close()
  check(world, { one }, { "plain" })
  for _, name in ipairs({ "plain", "plain2" }) do
    if #world.context:presence(name) > 0 then world.foreign = "PRESENT " .. world.context:presence(name)[1] end
  end
  return { one }
end

-- A connection that does not read, beside one that does.
local function stall(topic)
  return function(world, turn)
    local slow, quick = open(world), open(world)
    slow.connection:setoption("recv-buffer-size", SOCKET_BYTES)
    slow.ws:subscribe(topic)
    quick.ws:subscribe(topic)
    repeat
      slow.ws:write(FILL)
      world:pump(function() return true end)
    until slow.ws:buffered() > MAX_BUFFERED_BYTES / 2
    for i = 1, 14 do
      turn(function() world.context:publish(topic, PART, nil, { key = "k" .. i % 3 }) end)
    end
    for _ = 1, 3 do
      slow:take()
      turn()
    end
    world:pump(function()
      slow:take()
      quick:take()
      return slow.ended or slow.ws:buffered() == 0
    end)
    return check(world, { slow, quick }, { topic })
  end
end

--- A peer that does not read, and each policy for that.
scenarios["slow-close"] = stall("shut")
scenarios["slow-drop_new"] = stall("new")
scenarios["slow-drop_old"] = stall("old")
scenarios["slow-conflate"] = stall("last")

--- As `topics`, with other processes.
scenarios["backplane"] = function(world, turn)
  local one = open(world)
  keep(world, "other")
  turn(function() one.ws:subscribe("plain") end)
  turn()
  turn(function() world.context:publish("plain", ALL .. "echo") end)
  turn(function() one.ws:subscribe("other", { name = "echo" }) end)
  turn()
  turn(function() world.context:presence("third") end)
  turn()
  world:advance(11)
  turn()
  turn(function() one.ws:unsubscribe("plain") end)
  turn()
  return check(world, { one }, { "plain", "other" })
end

--- A connection whose function waits for its messages.
function scenarios.coroutine(world, turn)
  local one = world:client(true)
  one.protocol = "c"
  one:send(one:request())
  turn()
  turn()
  one:send(one:frame(1, one.mark .. " one") .. one:frame(1, one.mark .. " two"))
  world.beside:say()
  turn()
  turn()
  one:send(one:frame(1, one.mark .. " three"))
  turn()
  turn()
  return { one }
end

-- Whether a context that is drained comes to its end, and its clients hear of it.
local function check_drained(inner)
  local clients = { inner.idle, inner.beside }
  -- The fault may have come before it began.
  if not inside.is_destroyed(inner.context) then inner.context:drain(5) end
  for _ = 1, 200 do
    if inside.is_destroyed(inner.context) then break end
    inner:pump(function() return true end)
    for _, one in ipairs(clients) do
      one:take()
      -- Each close frame is 1001.
      if one:has("\136\2\3\233") and not one.has_answered then
        one.has_answered = true
        one:send(one:frame(8, "\3\233"))
      end
    end
    inner:advance(0.1)
  end
  if not inside.is_destroyed(inner.context) then return "NOT DRAINED" end
  for _, one in ipairs(clients) do
    one:take()
    if not one.ended then return "NOT ENDED" end
  end
end

--- A context of its own is drained.
function scenarios.drain(world, turn)
  local inner = fault_world.new(OPTIONS)
  turn(function() inner.context:drain(5) end)
  for _ = 1, 3 do
    turn(function() inner.context:service(0) end)
    inner:advance(0.1)
  end
  world.foreign = check_drained(inner) or world.foreign
  inner:close()
  return {}
end

--- Gives the options that the context of a scenario has in addition.
-- @tparam string name
-- @treturn ?table
function topic_faults.options(name)
  if name ~= "backplane" then return scenarios[name] and OPTIONS or nil end
  local options = { backplane = new_plane() }
  for key, value in pairs(OPTIONS) do options[key] = value end
  return options
end

--- Opens a connection of a scenario.
-- @function topic_faults.open
-- @tparam table world
-- @treturn table its client; `ws` is the connection
topic_faults.open = open

--- Has the connection beside a scenario subscribed to a topic.
-- @function topic_faults.keep
-- @tparam table world
-- @tparam string topic
topic_faults.keep = keep

--- Looks at all that is left of topics after a scenario.
-- @function topic_faults.check
-- @tparam table world
-- @tparam {table,...} clients
-- @tparam {string,...} names of topics
-- @treturn {table,...} the clients
topic_faults.check = check

--- The scenarios, by name.
topic_faults.scenarios = scenarios

return topic_faults
