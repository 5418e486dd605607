--- What a context does with a back plane in Redis when a fault meets it: scenarios of `spec.support.fault_scenarios`,
-- over a server inside the spec that publishes, keeps histories, and ends connections when it is told to.
-- @module spec.support.redis_faults

local fake_redis = require("spec.support.fake_redis")
local inside = require("spec.support.inside")
local topic_faults = require("spec.support.topic_faults")

-- They are loaded when they are used: an interpreter that finds no memory may lose the file.
require("websockets.pubsub.redis.carrier")
require("websockets.pubsub.redis.streams")

local redis_faults, scenarios = {}, {}

-- Payloads that belong to all begin so.
local ALL = "ALL "
local OTHER_PROCESS = ("A"):rep(12)
local RECONNECT = { min = 0.001, max = 0.002, jitter = 0 }
-- The words of EVAL for a script that reads; one that publishes has more.
local READ_WORDS = 8

local function bulk(text) return "$" .. #text .. "\r\n" .. text .. "\r\n" end

-- What a server sends to a connection that is subscribed.
local function push(fake, channel, bytes)
  return fake.channels[channel] and ">3\r\n$7\r\nmessage\r\n" .. bulk(channel) .. bulk(bytes) or ""
end

-- Keeps a message, as the script does.
local function keep(fake, words)
  local key, publisher, number, head, data, channel = words[4], words[6], words[7], words[8], words[9], words[13]
  local topic = fake.kept[key] or { last = "", entries = {}, numbers = {} }
  fake.kept[key] = topic
  local id = topic.numbers[publisher .. number]
  if id then return "*1\r\n" .. bulk(id) end
  fake.serial = fake.serial + 1
  id = ("1700000000000-%d"):format(fake.serial)
  local prev = topic.last
  topic.entries[#topic.entries + 1] = { id, prev, publisher, number, head, data }
  if #topic.entries > 3 then table.remove(topic.entries, 1) end
  topic.last, topic.numbers[publisher .. number] = id, id
  local bytes = ("%sH%s %s %s %s%s"):format(publisher, id, prev, number, head, data)
  return push(fake, channel, bytes) .. "*1\r\n" .. bulk(id)
end

-- Reads what is kept, as the script does.
local function read(fake, words)
  local topic, from, parts, count = fake.kept[words[4]] or { last = "", entries = {} }, words[6], {}, 0
  local is_after = from == "-"
  for _, entry in ipairs(from ~= "" and topic.entries or {}) do
    if is_after then
      for _, one in ipairs(entry) do parts[#parts + 1], count = bulk(one), count + 1 end
    end
    is_after = is_after or entry[1] == from
  end
  return "*3\r\n" .. bulk(topic.last) .. ":1\r\n*" .. count .. "\r\n" .. table.concat(parts)
end

local function answer(words, fake)
  local name = words[1]
  if name == "HELLO" then fake.channels = {} end
  if name == "EVAL" then return #words == READ_WORDS and read(fake, words) or keep(fake, words) end
  if name == "SUBSCRIBE" or name == "UNSUBSCRIBE" then
    for i = 2, #words do fake.channels[words[i]] = name == "SUBSCRIBE" or nil end
  elseif name == "PUBLISH" and words[3]:find("echo", 1, true) then
    -- Another process says the same.
    return ":1\r\n" .. push(fake, words[2], OTHER_PROCESS .. words[3]:sub(#OTHER_PROCESS + 1))
  end
  return fake_redis.usual(words)
end

-- What is wrong with the channels that the server has, for the topics that have subscribers.
local function find_wrong_channel(world)
  local wanted = {}
  if not inside.is_plane_up(world.context) then return "AWAY for ever" end
  for topic, channel in pairs(inside.channels(world.context)) do
    wanted[channel] = true
    if not world.redis.channels[channel] then return "NO CHANNEL of " .. topic end
  end
  for channel in pairs(world.redis.channels) do
    if channel:find("^ws:t:") and not wanted[channel] then return "LEFT the channel " .. channel end
  end
end

-- Serves until the server has the channels that it should.
local function settle(world)
  local wrong
  world:pump(function()
    wrong = find_wrong_channel(world)
    return not wrong
  end)
  return wrong
end

local function note(world, what) world.foreign = world.foreign or what or false end

-- Whether what another process says comes, once.
local function check_other(world, one, topic)
  if one.ended or not one.ws:subscribe(topic) then return end
  note(world, settle(world))
  local text = ALL .. "of another process"
  one.bytes = one.bytes:match("^HTTP.-\r\n\r\n") or ""
  world.redis:send(push(world.redis, "ws:t:{" .. topic .. "}", OTHER_PROCESS .. "A" .. text))
  if not world:pump(function() return one:has(text) or one.ended end) then note(world, "DEAF for others") end
  one.ws:unsubscribe(topic)
end

local function check(world, clients)
  world:pump(function() return true end)
  note(world, settle(world))
  topic_faults.check(world, clients, { "plain", "kept" })
  for _, one in ipairs(clients) do
    local is_good, err = pcall(check_other, world, one, "plain")
    if not is_good then note(world, "TOPIC " .. tostring(err)) end
  end
  note(world, settle(world))
  note(world, inside.find_wrong_store(world.context))
  return clients
end

-- A turn under the fault; then the server does what there is to do.
local function stepping(world, turn)
  return function(work)
    turn(work)
    world.redis:step()
  end
end

local function nothing() end

--- Connections subscribe, what this process and others publish comes, with and without a history.
function scenarios.redis(world, turn)
  local one, other, go = topic_faults.open(world), topic_faults.open(world), stepping(world, turn)
  topic_faults.keep(world, "plain")
  note(world, settle(world))
  go(function() one.ws:subscribe("plain", { name = "joe" }) end)
  go(function() one.ws:subscribe("kept", { since = "all", on_joined = nothing }) end)
  for _ = 1, 3 do go() end
  go(function() world.context:publish("plain", ALL .. "echo") end)
  go(function() world.context:publish("kept", ALL .. "1", nil, { on_stored = nothing, except = other.ws }) end)
  go(function() other.ws:subscribe("kept", { since = "all", on_joined = nothing }) end)
  for _ = 1, 3 do go() end
  go(function() one.ws:unsubscribe("plain") end)
  go(function() one.ws:unsubscribe("kept") end)
  go()
  return check(world, { one, other })
end

--- The connection to the server is lost; over the next one everything is asked for again.
scenarios["redis-lost"] = function(world, turn)
  local one, other, go = topic_faults.open(world), topic_faults.open(world), stepping(world, turn)
  topic_faults.keep(world, "plain")
  for _, topic in ipairs({ "plain", "kept" }) do one.ws:subscribe(topic) end
  note(world, settle(world))
  -- It is not answered, and sent again.
  turn(function() world.context:publish("kept", ALL .. "1", nil, { on_stored = nothing }) end)
  world.redis:drop()
  go()
  go(function() other.ws:subscribe("kept", { since = "all", on_joined = nothing }) end)
  world:advance(0.01)
  for _ = 1, 7 do go() end
  return check(world, { one, other })
end

--- Gives the options that the context of a scenario has in addition, and the server that it uses.
-- @tparam string name
-- @treturn ?table
-- @treturn ?fake_redis
function redis_faults.options(name)
  if not scenarios[name] then return nil end
  local fake = fake_redis.new(answer)
  fake.channels, fake.kept, fake.serial = {}, {}, 0
  return {
    topics = { kept = { history = { messages = 3, seconds = 60 } } }, log = nothing,
    backplane = { url = "redis://127.0.0.1:" .. fake.port, reconnect = RECONNECT },
  }, fake
end

--- The scenarios, by name.
redis_faults.scenarios = scenarios

return redis_faults
