--- Seconds that only go forward.
-- @module spec.unit.connection.clock_spec

local clock = require "websockets.connection.clock"

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

  it("makes clocks of this system that never go back", function()
    for _ = 1, 3 do
      local now = clock.new()
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
    for _ = 1, 2000 do assert.equal("number", type(clock.new()())) end
  end)
end)
