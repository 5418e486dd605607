--- Seconds that only go forward.
-- @module spec.unit.connection.clock_spec

local clock = require "websockets.connection.clock"
local luasocket = require "websockets.transport.luasocket"

describe("websockets.clock", function()
  local function clock_over(list)
    local at = 0
    return clock.steady(function()
      at = at + 1
      return list[at]
    end)
  end

  it("follows a wall clock that goes forward", function()
    local now = clock_over({ 100, 100.5, 101, 101 })
    assert.equal(100.5, now())
    assert.equal(101, now())
    assert.equal(101, now())
  end)

  it("stands still where the wall clock jumps back, and goes on from there", function()
    local now = clock_over({ 100, 110, 50, 51, 53, 10, 12 })
    assert.equal(110, now())
    assert.equal(110, now())
    assert.equal(111, now())
    assert.equal(113, now())
    assert.equal(113, now())
    assert.equal(115, now())
  end)

  it("never goes back, whatever the wall clock does", function()
    local wall, seed = 1000, 7
    local now = clock.steady(function()
      seed = (seed * 1103515245 + 12345) % 2147483648
      wall = wall + seed % 2001 - 1000
      return wall
    end)
    local last = now()
    for _ = 1, 5000 do
      local this = now()
      assert.is_true(this >= last)
      last = this
    end
  end)

  describe("where the running time of the system is known", function()
    local wall, running, asked, now

    before_each(function()
      wall, running, asked = 1000, 50, 0
      now = clock.steady(function() return wall end, function()
        asked = asked + 1
        return running and math.floor(running * 100) / 100
      end)
    end)

    local function pass(seconds)
      wall, running = wall + seconds, running and running + seconds
    end

    it("does not follow a wall clock that is set forward, and goes on from there", function()
      for _, jump in ipairs({ 3600, 1, 86400 * 365 * 50 }) do
        local before = now()
        pass(0.5)
        wall = wall + jump
        assert.is_true(math.abs(now() - before - 0.5) < 0.03, jump)
        pass(0.1)
        assert.is_true(math.abs(now() - before - 0.6) < 0.03, jump)
        pass(30)
        assert.is_true(math.abs(now() - before - 30.6) < 0.05, jump)
      end
    end)

    it("loses no time where the wall clock is set back", function()
      local before = now()
      pass(7)
      wall = wall - 3600
      assert.is_true(math.abs(now() - before - 7) < 0.03)
      pass(7)
      assert.is_true(math.abs(now() - before - 14) < 0.05)
    end)

    it("follows a long wait, and steps finer than the running time tells", function()
      local before = now()
      pass(500)
      assert.is_true(math.abs(now() - before - 500) < 1e-6)
      for _ = 1, 1000 do
        pass(0.001)
        now()
      end
      assert.is_true(math.abs(now() - before - 501) < 1e-6)
    end)

    it("asks for the running time a few times a second only", function()
      for _ = 1, 10000 do
        pass(0.001)
        now()
      end
      assert.is_true(asked < 45, asked)
    end)

    it("follows the wall clock where it cannot be read any more", function()
      local before = now()
      running = nil
      pass(100)
      assert.is_true(math.abs(now() - before - 100) < 1e-6)
    end)
  end)

  it("reads how long the system has been running, or nothing", function()
    local file = io.open("/proc/uptime")
    if not file then return assert.is_nil(clock.running()) end
    file:close()
    local first = clock.running()
    assert.equal("number", type(first))
    assert.is_true(clock.running() >= first)
  end)

  it("makes clocks of this system that never go back", function()
    for _ = 1, 3 do
      local now = clock.new(nil, luasocket)
      local last = now()
      assert.equal("number", type(last))
      for _ = 1, 200 do
        local this = now()
        assert.is_true(this >= last)
        last = this
      end
    end
  end)

  it("makes many clocks without using up anything", function()
    for _ = 1, 2000 do assert.equal("number", type(clock.new(nil, luasocket)())) end
  end)
end)
