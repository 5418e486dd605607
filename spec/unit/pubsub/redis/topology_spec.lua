--- When a cluster is asked which node has which slot.
-- @module spec.unit.pubsub.redis.topology_spec
local timers = require("websockets.connection.timers")
local topology = require("websockets.pubsub.redis.topology")

-- A cluster that is never charted, with time under control. `taken` tells whether the link takes a question.
local function start()
  local self = { taken = true, asked = 0, context = { now = 0, timers = timers.new() } }
  local its_link = {
    state = "ready", server = { host = "127.0.0.1" },
    send = function(_, _, entry)
      self.asked, self.entry = self.asked + 1, entry
      return self.taken
    end,
  }
  self.topology = topology.new(self.context, {
    any_link = function() return its_link end, slot_moved = function() end, charted = function() end,
    report = function() end,
  })
  function self.advance(seconds)
    for _ = 1, seconds * 10 do
      self.context.now = self.context.now + 0.1
      self.context.timers:run(self.context.now)
    end
  end
  return self
end

describe("websockets.pubsub.redis.topology", function()
  it("asks once, until it is told to ask again", function()
    local self = start()
    for _ = 1, 3 do self.topology:refresh() end
    self.advance(5)
    assert.equal(1, self.asked)
    self.topology:refresh()
    self.advance(5)
    assert.equal(1, self.asked)
    self.entry.lost()
    self.advance(5)
    assert.equal(2, self.asked)
  end)

  it("asks again, not often, while a link takes no question", function()
    local self = start()
    self.taken = false
    self.topology:refresh()
    self.advance(10)
    assert.is_true(self.asked >= 9 and self.asked <= 15)
    self.taken = true
    self.advance(2)
    local asked = self.asked
    self.advance(10)
    assert.equal(asked, self.asked)
  end)

  it("asks nothing after it is closed", function()
    local self = start()
    self.topology:refresh()
    self.topology:close()
    self.topology:refresh()
    self.advance(5)
    assert.equal(0, self.asked)
  end)
end)
