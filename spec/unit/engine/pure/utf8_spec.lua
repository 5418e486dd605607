--- UTF-8 in the way of a Lua that has no functions for it; every rule is in spec/unit/engine/utf8_spec.lua.
-- @module spec.unit.engine.pure.utf8_spec

local support = require "spec.support.engine"

describe("utf8", function()
  it("checks UTF-8 by tables", function()
    local utf8 = support.load_without("utf8", { "utf8" }, { "find_ffi" })
    local parts = { "a", "\0", ("x"):rep(300), "\195\164", "\226\130\172", "\240\159\152\128" }
    local bad = { "\237\160\128", "\192\128", "\255", "\244\144\128\128", "\226\130" }
    local choose = support.random(5)
    for _ = 1, 300 do
      local list = {}
      for index = 1, choose(12) do
        list[index] = parts[choose(#parts)]
      end
      local text = table.concat(list)
      assert.is_true(utf8.valid(text))
      local cut = choose(#text)
      assert.equal(0, utf8.next(utf8.next(0, text, 1, cut), text, cut + 1, #text))
      local wrong = text .. bad[choose(#bad)] .. text
      assert.is_false(utf8.valid(wrong))
      assert.is_nil(utf8.next(0, wrong, 1, #wrong))
    end
  end)
end)
