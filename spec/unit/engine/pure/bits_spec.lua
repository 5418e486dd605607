--- The tools for bit work that each Lua has or lacks.
-- @module spec.unit.engine.pure.bits_spec

local bits = require "websockets.engine.pure.bits"
local support = require "spec.support.engine"

describe("websockets.engine.pure.bits", function()
  it("compiles source with arguments, and names it in errors", function()
    assert.equal(7, bits.compile("sum", "local a, b = ... return a + b", 3, 4))
    assert.error_matches(function() bits.compile("wrong", "return (") end, "^wrong:1: ")
  end)

  it("has rows of the exclusive or of all bytes", function()
    for a = 0, 255, 5 do
      local row = bits.rows[a]
      for b = 0, 255 do
        assert.equal(support.mask(string.char(a), string.char(b, 0, 0, 0)):byte(), row[b])
      end
    end
  end)

  it("finds bit operators from Lua 5.3 on", function()
    local version = tonumber(_VERSION:match("%d+%.%d+"))
    assert.equal(version >= 5.3, bits.has_operators())
  end)

  it("finds the foreign function interface in LuaJIT while its compiler is on", function()
    if not rawget(_G, "jit") then
      assert.is_false(bits.find_ffi())
      return
    end
    assert.equal(require("ffi"), bits.find_ffi())
    jit.off()
    local found = bits.find_ffi()
    jit.on()
    assert.is_false(found)
  end)

  it("lists names for generated source", function()
    assert.equal("b1, b2, b3", bits.list("b", 3))
    assert.equal("r[b1], r[b2]", bits.list("b", 2, "r[b%d]"))
    assert.equal("", bits.list("b", 0))
  end)
end)
