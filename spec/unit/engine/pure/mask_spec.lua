--- Masking, in each way that a Lua may have.
-- @module spec.unit.engine.pure.mask_spec

local support = require "spec.support.engine"

local WAYS = {
  { "the way of this Lua", {} }, { "without the foreign function interface", { "find_ffi" } },
  { "by tables", { "find_ffi", "has_operators" } },
}

for _, way in ipairs(WAYS) do
  local mask = support.load_without("mask", {}, way[2])

  describe("mask, " .. way[1] .. ",", function()
    it("masks as the definition does, at lengths 0 to 700 and each turn of the key", function()
      local random = support.random(11)
      local list = {}
      for index = 1, 700 do
        list[index] = string.char(random(256) - 1)
      end
      local payload = table.concat(list)
      for _, key in ipairs { "\1\128\255\55", "\128\255\55\1", "\255\55\1\128", "\55\1\128\255", "\0\0\0\0" } do
        local expected = support.mask(payload, key)
        for length = 0, 700 do
          assert.is_true(mask.whole(payload:sub(1, length), key) == expected:sub(1, length), "length " .. length)
        end
      end
    end)

    it("masks large payloads", function()
      local key, unit = "\200\1\90\255", "0123456789abcdef\0\255"
      local expected = support.mask(unit .. unit, key)
      for _, size in ipairs { 16383, 16384, 16385, 65535, 65536, 65537, 1048576 } do
        local payload = unit:rep(math.floor(size / #unit) + 1):sub(1, size)
        local whole = expected:rep(math.floor(size / #expected) + 1):sub(1, size)
        assert.is_true(mask.whole(payload, key) == whole, "size " .. size)
      end
    end)

    it("masks a part of a string", function()
      local bytes = "abcdefghijklmnopqrstuvwxyz"
      for first = 1, 26 do
        for last = first - 1, 26 do
          assert.equal(support.mask(bytes:sub(first, last), "\1\2\3\255"), mask.range(bytes, first, last, 1, 2, 3, 255))
        end
      end
    end)
  end)
end
