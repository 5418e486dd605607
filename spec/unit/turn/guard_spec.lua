--- A turn inside a coroutine is not suspended by what it calls.
-- @module spec.unit.turn.guard_spec
local guard = require("websockets.turn.guard")

describe("guard.choose", function()
  it("gives pcall where nothing can yield, or what is like it", function()
    local protected = guard.choose()
    assert.same({ true, 1, nil, 3 }, { protected(function(...) return ... end, 1, nil, 3) })
    local is_good, err = protected(error, "text", 0)
    assert.same({ false, "text" }, { is_good, err })
  end)

  it("makes a yield inside a coroutine an error in the coroutine that yields", function()
    local results
    local thread = coroutine.create(function()
      local protected = guard.choose()
      results = { protected(coroutine.yield, "away") }
      return "done", select("#", protected(function(...) return ... end, nil, 2, nil))
    end)
    local resumed, what, count = coroutine.resume(thread)
    assert.same({ true, "done", 4 }, { resumed, what, count })
    assert.is_false(results[1])
    assert.truthy(tostring(results[2]):find("yield"))
  end)
end)
