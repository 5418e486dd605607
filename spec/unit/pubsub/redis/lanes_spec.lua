--- How messages for histories wait for the server.
-- @module spec.unit.pubsub.redis.lanes_spec
local lanes = require("websockets.pubsub.redis.lanes")
local timers = require("websockets.connection.timers")

-- Lanes to a server alone, with time under control; `is_taken` tells whether its link takes a command.
local function start()
  local self = { is_taken = true, is_up = true, sent = {}, stored = {} }
  self.context = {
    now = 0, timers = timers.new(),
    agenda = { call = function(_, _, fn, ...) fn(...) end },
  }
  self.link = {
    send = function(_, command, entry)
      if self.is_taken then self.sent[#self.sent + 1] = { command, entry } end
      return self.is_taken
    end,
  }
  self.store = { answered = function() end }
  self.plane = { carrier = { link_at = function() return self.is_up and self.link end }, report = function() end }
  self.lanes = lanes.new(self.context, self.plane, self.store)
  function self.add(command)
    return self.lanes:add(false, {
      name = "topic", number = 1, command = command,
      on_stored = function(id) self.stored[#self.stored + 1] = command .. " " .. tostring(id) end,
    })
  end
  -- Answers what was sent, in order.
  local function answer(value)
    local entry = table.remove(self.sent, 1)[2]
    entry.reply(self.link, value, entry)
  end
  function self.answer(id) answer({ id }) end
  function self.refuse(fault) answer({ fault = fault }) end
  function self.commands()
    local list = {}
    for i, one in ipairs(self.sent) do list[i] = one[1] end
    return list
  end
  function self.advance(seconds)
    self.context.now = self.context.now + seconds
    self.context.timers:run(self.context.now)
  end
  return self
end

describe("websockets.pubsub.redis.lanes", function()
  it("sends the first message alone, and all others once it is answered", function()
    local self = start()
    for _, command in ipairs({ "a", "b", "c" }) do assert.is_true(self.add(command)) end
    assert.same({ "a" }, self.commands())
    self.answer("1-0")
    assert.same({ "b", "c" }, self.commands())
    self.answer("2-0")
    self.answer("3-0")
    assert.same({ "a 1-0", "b 2-0", "c 3-0" }, self.stored)
    assert.same({ 0, 0 }, { self.lanes.count, self.lanes.bytes })
  end)

  it("sends what waits once the link takes it again", function()
    local self = start()
    for _, command in ipairs({ "a", "b", "c" }) do assert.is_true(self.add(command)) end
    self.is_taken = false
    self.answer("1-0")
    assert.same({}, self.commands())
    assert.equal("full", select(3, self.add("d")))
    self.advance(1)
    self.is_taken = true
    self.advance(1)
    assert.same({ "b", "c" }, self.commands())
    self.advance(1)
    assert.same({ "b", "c" }, self.commands())
  end)

  it("refuses what comes while the server is away", function()
    local self = start()
    self.is_up = false
    assert.equal("unavailable", select(3, self.add("a")))
    assert.same({ 0, 0 }, { self.lanes.count, self.lanes.bytes })
  end)

  it("sends what a node has referred elsewhere once more, and not what was refused after it", function()
    local self = start()
    self.plane.carrier.redirected, self.plane.carrier.link_for = function() end, function() end
    assert.is_true(self.add("a"))
    self.answer("1-0")
    for _, command in ipairs({ "b", "c", "d" }) do assert.is_true(self.add(command)) end
    self.refuse("TRYAGAIN later")
    self.refuse("ERR no")
    self.refuse("TRYAGAIN later")
    self.lanes:ready()
    assert.same({ "b" }, self.commands())
    self.answer("2-0")
    assert.same({ "d" }, self.commands())
    self.answer("3-0")
    assert.is_true(self.add("e"))
    self.answer("4-0")
    assert.same({ "a 1-0", "c nil", "b 2-0", "d 3-0", "e 4-0" }, self.stored)
    assert.same({ 0, 0 }, { self.lanes.count, self.lanes.bytes })
  end)

  it("goes on after an error amid an answer, of which the message is told", function()
    local self = start()
    for _, command in ipairs({ "a", "b" }) do assert.is_true(self.add(command)) end
    self.store.answered = function() error("not enough memory", 0) end
    assert.is_false(pcall(self.answer, "1-0"))
    self.store.answered = function() end
    self.lanes:ready()
    assert.same({ "b" }, self.commands())
    self.answer("2-0")
    assert.is_true(self.add("c"))
    self.answer("3-0")
    assert.same({ "a 1-0", "b 2-0", "c 3-0" }, self.stored)
  end)
end)
