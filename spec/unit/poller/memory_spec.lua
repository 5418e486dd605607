--- Waiting for ends of connections in memory.
-- @module spec.unit.poller.memory_spec

local memory = require "websockets.transport.memory"
local memory_poller = require "websockets.poller.memory"

describe("websockets.poller.memory", function()
  -- What passes: functions, taken from the front; each gives the seconds that have passed.
  local steps, waits, poller, one, other

  before_each(function()
    steps, waits = {}, {}
    poller = memory_poller.new(function(_, seconds)
      waits[#waits + 1] = seconds or false
      local step = table.remove(steps, 1)
      return step and step()
    end)
    one, other = memory.pair({ capacity = 2 })
  end)

  local function wait(seconds)
    local readable, writable = {}, {}
    local reads, writes = poller.wait(poller.source, seconds, {}, readable, writable)
    assert.equal(reads, #readable)
    assert.equal(writes, #writable)
    return readable, writable
  end

  it("finds what is ready, in the order in which it was watched", function()
    local third, fourth = memory.pair()
    poller:watch(third, "third", true, false)
    poller:watch(one, "one", true, true)
    assert.is_true(poller:is_ready())
    assert.same({ {}, { "one" } }, { wait(0) })
    other:send("a", 1)
    fourth:send("a", 1)
    assert.same({ { "third", "one" }, { "one" } }, { wait() })
    assert.same({}, waits)
  end)

  it("watches the socket of a listener, and what it is told last", function()
    local source = { is_readable = function() return true end, is_writable = function() return true end }
    poller:watch({ socket = source }, "listener", true, false)
    assert.same({ { "listener" }, {} }, { wait(0) })
    poller:watch({ socket = source }, "listener", false, true)
    assert.same({ {}, { "listener" } }, { wait(0) })
    poller:watch({ socket = source }, "listener", false, false)
    poller:watch({ socket = source }, "listener", false, false)
    assert.is_false(poller:is_ready())
    assert.is_true(poller:can_watch(5000000))
  end)

  it("lets others do something and time pass until something is ready", function()
    poller:watch(one, "one", true, false)
    steps = { function() return 0 end, function() return 0.5 end, function()
      other:send("a", 1)
      return 0
    end }
    assert.same({ { "one" }, {} }, { wait(2) })
    assert.same({ 2, 2, 1.5 }, waits)
  end)

  it("waits no longer than it may, and ends where nothing can happen", function()
    steps = { function() return 2 end }
    assert.same({ {}, {} }, { wait(2) })
    assert.same({ 2 }, waits)
    assert.same({ {}, {} }, { wait() })
    assert.same({ 2, false }, waits)
    assert.same({ {}, {} }, { wait(0) })
    assert.equal(2, #waits)
  end)

  it("ends one wait when it is interrupted", function()
    poller:interrupt()
    wait(5)
    assert.same({}, waits)
    steps = { function()
      poller:interrupt()
      return 1
    end }
    wait(5)
    assert.same({ 5 }, waits)
  end)

  it("forgets everything when it is closed", function()
    poller:watch(one, "one", false, true)
    poller:close()
    assert.is_false(poller:is_ready())
  end)
end)
