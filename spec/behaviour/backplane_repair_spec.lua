--- What a back plane is like after an error that has come between two of its steps: memory that was refused.
-- @module spec.behaviour.backplane_repair_spec
local client = require("spec.support.client")
local fake_redis = require("spec.support.fake_redis")
local inside = require("spec.support.inside")
local jobs = require("websockets.pubsub.redis.jobs")
local server = require("spec.support.server")

local ID = "1700000000000-0"
local OUT_OF_MEMORY = "not enough memory"

local fake

local function bulk(text) return "$" .. #text .. "\r\n" .. text .. "\r\n" end

-- A server with one message in the history of each topic; `fake.channels` are those that are subscribed.
local function answer(words)
  local name = words[1]
  if name == "HELLO" then fake.channels = {} end
  if name == "EVAL" then
    if #words > 8 then return "*1\r\n" .. bulk(ID) end
    if words[6] ~= "-" then return "*3\r\n" .. bulk(ID) .. ":1\r\n*0\r\n" end
    local entry = bulk(ID) .. bulk("") .. bulk("publisher---") .. bulk("1") .. bulk("A") .. bulk("kept")
    return "*3\r\n" .. bulk(ID) .. ":1\r\n*6\r\n" .. entry
  end
  for i = 2, #words do
    if name == "SUBSCRIBE" or name == "UNSUBSCRIBE" then fake.channels[words[i]] = name == "SUBSCRIBE" or nil end
  end
  return fake_redis.usual(words)
end

local function start()
  fake = fake_redis.new(answer)
  fake.channels = {}
  local handler, log = server.recorder()
  local s = server.start({
    default = handler, topics = { kept = { history = {} } }, on_error = function() end,
    backplane = { url = "redis://127.0.0.1:" .. fake.port, reconnect = { min = 0.01, max = 0.01, jitter = 0 } },
  })
  local turn = s.turn
  function s.turn(...)
    fake:step()
    return turn(...)
  end
  s.log, s.plane = log, s.context.pubsub.plane
  s:pump(function() return inside.is_plane_up(s.context) end, "the back plane")
  return s
end

-- The channels of topics that the server has, and nothing that waits.
local function await_channels(s, names)
  s:pump(function()
    local list = {}
    for channel in pairs(fake.channels) do
      if channel:find("^ws:t:") then list[#list + 1] = channel:match("{(.*)}") end
    end
    table.sort(list)
    return table.concat(list, " ") == names and not inside.find_wrong_store(s.context)
  end, "the channels of " .. names)
end

-- Something is damaged, and the next turn begins with a repair.
local function damage(s, change)
  change(s.plane, s.plane.store)
  s.context.agenda.is_damaged = true
end

describe("a back plane after an error", function()
  after_each(function()
    server.stop_all()
    if fake then fake:close() end
    fake = nil
  end)

  it("has the channels that are in use, whatever was counted", function()
    local s = start()
    client.open(s)
    local ws = s.log.ws[1]
    for _, topic in ipairs({ "kept", "plain" }) do ws:subscribe(topic) end
    await_channels(s, "kept plain")
    for _, change in ipairs({
      function(plane) plane.uses["ws:t:{kept}"] = 5 end,
      function(plane) plane.uses["ws:t:{plain}"] = nil end,
      function(plane) plane:retain("left") end,
      function(plane) plane.uses["ws:t:{begun}"], plane.names["ws:t:{begun}"] = 0, false end,
      function(plane)
        plane.names["ws:t:{begun}"] = false
        plane.carrier:subscribe("ws:t:{begun}")
      end,
      function(_, store) store:watch("begun", {}) end,
      function(plane) plane:give_up("ws:t:{kept}", "kept") end,
      function(plane) plane.carrier.held["ws:t:{kept}"], plane.carrier.is_in_doubt = nil, true end,
    }) do
      damage(s, change)
      await_channels(s, "kept plain")
    end
    for _, topic in ipairs({ "kept", "plain" }) do ws:unsubscribe(topic) end
    await_channels(s, "")
  end)

  it("asks anew for a history, and goes on with connections that join", function()
    local s = start()
    local one = client.open(s)
    local ws = s.log.ws[1]
    ws:subscribe("kept")
    await_channels(s, "kept")
    s:pump(function() return s.plane.store.states.kept.is_live end)
    -- It was asked what subscribers have missed, and the question is lost.
    damage(s, function(_, store) store.states.kept.is_live = false end)
    s:pump(function() return s.plane.store.states.kept.is_live end, "the answer")
    -- A connection that joins is noted and is none of the topic's; one is in the topic, and is not asked for.
    damage(s, function(_, store) store.joining[ws] = { [{ place = false, state = store.states.kept }] = true } end)
    await_channels(s, "kept")
    local peer, joined = client.open(s), nil
    local serve = s.plane.store.read
    s.plane.store.read = function() end
    s.log.ws[2]:subscribe("kept", { since = "all", on_joined = function() joined = true end })
    damage(s, function(_, store) store.read = serve end)
    assert.same({ 1, "kept" }, { peer:message() })
    s:pump(function() return joined end)
    assert.is_nil(one:try_message())
  end)

  it("opens its connection again, where the error came while its end was told", function()
    local s = start()
    client.open(s)
    s.log.ws[1]:subscribe("plain")
    await_channels(s, "plain")
    local link = s.plane.carrier.link
    local backoff, lose = link.backoff, s.plane.carrier.lost
    link.backoff = setmetatable({ next = function()
      link.backoff = backoff
      error(OUT_OF_MEMORY, 0)
    end }, { __index = backoff })
    fake:drop()
    s:pump(function() return fake.count == 2 end, "the second connection")
    await_channels(s, "plain")
    s.plane.carrier.lost = function()
      s.plane.carrier.lost = lose
      error(OUT_OF_MEMORY, 0)
    end
    fake:drop()
    s:pump(function() return fake.count == 3 end, "the third connection")
    await_channels(s, "plain")
  end)

  it("takes no message for another one of which nothing was sent", function()
    local s = start()
    local link = s.plane.carrier.link
    local send, numbers = link.send, {}
    function link.send() error(OUT_OF_MEMORY, 0) end
    assert.is_nil((s.context:publish("kept", "one")))
    link.send = send
    local told
    assert.is_true(s.context:publish("kept", "two", nil, { on_stored = function() told = true end }))
    s:pump(function() return told end)
    for _, words in ipairs(fake.commands) do
      if words[1] == "EVAL" then numbers[#numbers + 1] = words[7] .. words[9] end
    end
    assert.same({ "2two" }, numbers)
    assert.is_nil(inside.find_wrong_store(s.context))
  end)

  it("gives a channel up where a callback catches the error that came while a connection began to join", function()
    local s = start()
    client.open(s)
    local ws, plane = s.log.ws[1], s.plane
    for name, object in pairs({ note = jobs, new = jobs, watch_late = plane.store }) do
      local before, found = rawget(object, name), nil
      object[name] = function()
        object[name] = before
        error(OUT_OF_MEMORY, 0)
      end
      s.context:after(0, function()
        found = { pcall(ws.subscribe, ws, "kept", { since = "all" }) }
        found[3], found[4] = plane.uses["ws:t:{kept}"] or 0, ws:topics()[1]
      end)
      s:pump(function() return found end)
      assert.same({ false, OUT_OF_MEMORY, 0 }, found, name)
      await_channels(s, "")
    end
  end)
end)
