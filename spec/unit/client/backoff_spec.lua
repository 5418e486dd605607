--- How long to wait before the next try.
-- @module spec.unit.client.backoff_spec
local backoff = require("websockets.client.backoff")

local function new(changes, random)
  local settings = { min = 1, max = 30, jitter = 0, attempts = false }
  for name, value in pairs(changes or {}) do settings[name] = value end
  return backoff.new(settings, random or function() return 0.5 end)
end

describe("websockets.client.backoff", function()
  it("waits twice as long each time, from min to max", function()
    local waits, found = new(), {}
    for i = 1, 8 do found[i] = waits:next() end
    assert.same({ 1, 2, 4, 8, 16, 30, 30, 30 }, found)
    for _ = 1, 5000 do waits:next() end
    assert.equal(30, waits:next())
  end)

  it("is shorter by a random part, of at most jitter", function()
    local number = 0
    local waits = new({ jitter = 0.5, min = 8, max = 8 }, function() return number end)
    for _, case in ipairs({ { 0, 8 }, { 0.5, 6 }, { 0.75, 5 } }) do
      number = case[1]
      assert.equal(case[2], waits:next())
    end
    number = 0.999
    assert.is_true(new({ jitter = 1 }, function() return number end):next() > 0)
  end)

  it("ends after so many tries in a row", function()
    local waits = new({ attempts = 2 })
    assert.same({ 1, 2 }, { waits:next(), (waits:next()) })
    assert.is_nil(waits:next())
    assert.is_nil(waits:next(5))
    waits:reset()
    assert.equal(1, waits:next())
  end)

  it("waits no less than the server asks for, and spreads those who were told the same", function()
    assert.equal(90, new():next(90))
    assert.equal(1, new():next(0.5))
    local waits = new({ jitter = 1, min = 2 }, function() return 0.25 end)
    assert.equal(90.5, waits:next(90))
    assert.equal(3, waits:next())
  end)
end)
