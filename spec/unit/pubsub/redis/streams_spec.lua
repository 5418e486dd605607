--- What a store of histories does when a server, or more of a cluster than before, can be reached.
-- @module spec.unit.pubsub.redis.streams_spec
local streams = require("websockets.pubsub.redis.streams")
local timers = require("websockets.connection.timers")

-- A store in a cluster of two slots: topics whose names begin with "a" are in the first. `up` tells which can be
-- reached.
local function start()
  local self = { up = {}, sent = 0, looks = 0 }
  local its_link = {
    send = function()
      self.sent = self.sent + 1
      return true
    end,
  }
  local context = {
    now = 0, timers = timers.new(), engine = {}, agenda = { call = function(_, _, fn, ...) fn(...) end },
  }
  self.plane = {
    context = context, origin = ("p"):rep(12), channel_of = function(_, name) return name end, retain = function() end,
    release = function() end, hears = function() return false end,
    carrier = {
      may_keep = function() return true end, redirected = function() end,
      slot_of = function(_, channel)
        self.looks = self.looks + 1
        return channel:find("^a") and 1 or 2
      end,
      link_at = function(_, slot)
        self.looks = self.looks + 1
        return self.up[slot] and its_link
      end,
    },
  }
  self.store = streams.new(context, self.plane, "")
  -- What is looked at and sent when more can be reached.
  function self.count()
    self.looks, self.sent = 0, 0
    self.store:ready()
    return { self.looks, self.sent }
  end
  return self
end

describe("websockets.pubsub.redis.streams", function()
  it("looks at nothing of topics for which nothing waits", function()
    local self = start()
    for i = 1, 1000 do self.store:watch("a" .. i, {}) end
    -- None of its methods can be called.
    for _, state in pairs(self.store.states) do setmetatable(state, nil) end
    assert.same({ 0, 0 }, self.count())
    self.up = { true, true }
    assert.same({ 0, 0 }, self.count())
  end)

  it("asks for connections that join once the node of the topic can be reached, and looks once until then", function()
    local self = start()
    for _, name in ipairs({ "a1", "a2", "b1" }) do self.store:join({ state = "open" }, name, {}) end
    -- It knows what it has missed.
    self.store:join({ state = "open" }, "a1", {}, "1-0")
    self.count()
    assert.same({ 4, 0 }, self.count())
    self.up = { true }
    assert.equal(2, self.count()[2])
    assert.equal(0, self.count()[2])
    self.up = { true, true }
    assert.equal(1, self.count()[2])
  end)

  it("asks what waits for a node once that can be reached, and looks once for all of a slot until then", function()
    local self = start()
    self.up = { true, true }
    for i = 1, 1000 do
      for _, prefix in ipairs({ "a", "b" }) do
        self.store:watch(prefix .. i, {})
        self.store.states[prefix .. i]:catch_up()
      end
    end
    assert.equal(256, self.sent)
    self.up = {}
    -- Those that are under way are lost, and each has another one take its place, which waits.
    for _ = 1, 256 do self.store.questions.short:leave() end
    assert.same({ 2, 0 }, self.count())
    assert.same({ 2, 0 }, self.count())
    self.up = { true }
    assert.equal(256, self.count()[2])
  end)

  it("takes the slot of a topic that another carrier has", function()
    local self = start()
    self.store:join({ state = "open" }, "a1", {})
    self.store:ready()
    local carrier = setmetatable({ slot_of = function() return 3 end }, { __index = self.plane.carrier })
    self.plane.carrier = carrier
    self.up = { true, true }
    assert.equal(0, self.count()[2])
    self.up = { false, false, true }
    assert.equal(1, self.count()[2])
  end)
end)
