--- The option `reconnect`: checks and defaults.
-- @module spec.unit.options.reconnect_spec
local reconnect = require("websockets.options.reconnect")

local MIB = 1024 * 1024

describe("websockets.options.reconnect", function()
  it("takes booleans and tables of what is known, within their limits", function()
    for _, value in ipairs({
      true, false, {}, { min = 0.1, max = 0.1 }, { jitter = 0 }, { jitter = 1, attempts = 1, queue_bytes = 0 },
      { min = 5, max = 600, jitter = 0.3, attempts = 10, queue_bytes = 5e6 },
    }) do
      assert.is_true(reconnect.check(value))
    end
    for _, value in ipairs({ 1, "yes", print }) do assert.is_false((reconnect.check(value))) end
    for _, value in ipairs({
      { min = 0 }, { max = -1 }, { max = math.huge }, { min = 0 / 0 }, { jitter = 1.1 }, { jitter = -0.1 },
      { attempts = 0 }, { attempts = 1.5 }, { attempts = math.huge }, { queue_bytes = -1 }, { queue_bytes = 0.5 },
      { retries = 3 }, { 5 },
      { min = "1" },
    }) do
      local is_good, culprit = reconnect.check(value)
      assert.is_false(is_good)
      assert.matches("^%[.*%] = ", culprit)
    end
    assert.equal('["min"] = 3 above max', (select(2, reconnect.check({ min = 3, max = 2 }))))
  end)

  it("fills in the defaults, so that min is not above max", function()
    local all = { min = 1, max = 30, jitter = 0.5, attempts = false, queue_bytes = MIB }
    assert.same(all, reconnect.settle(true, 16 * MIB, 1))
    assert.same(all, reconnect.settle({}, 16 * MIB, 1))
    assert.is_false(reconnect.settle(false, MIB, 1))
    assert.equal(0.5, reconnect.settle({ max = 0.5 }, MIB, 1).min)
    assert.equal(60, reconnect.settle({ min = 60 }, MIB, 1).max)
  end)

  it("lets no more wait than finds room in the connection", function()
    assert.equal(1000, reconnect.settle(true, 1000, 1).queue_bytes)
    assert.equal(1000, reconnect.settle({ queue_bytes = 1000 }, 1000, 1).queue_bytes)
    assert.error_matches(function() reconnect.settle({ queue_bytes = 1001 }, 1000, 1) end,
      "bad option 'reconnect' %(queue_bytes of at most max_buffered_bytes expected, got %[\"queue_bytes\"%] = 1001%)")
  end)
end)
