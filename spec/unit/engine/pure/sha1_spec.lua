--- SHA-1, in the way of this Lua and by tables.
-- @module spec.unit.engine.pure.sha1_spec

local sha1 = require "websockets.engine.pure.sha1"
local support = require "spec.support.engine"

local by_tables = support.load_without("sha1", { "jit", "bit32" }, { "has_operators" })

local function hexadecimal(digest)
  return (digest:gsub(".", function(octet) return ("%02x"):format(octet:byte()) end))
end

describe("sha1", function()
  it("computes what FIPS 180 gives as examples", function()
    for text, digest in pairs({
      [""] = "da39a3ee5e6b4b0d3255bfef95601890afd80709", abc = "a9993e364706816aba3e25717850c26c9cd0d89d",
      abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq = "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
    }) do
      assert.equal(digest, hexadecimal(sha1(text)))
      assert.equal(digest, hexadecimal(by_tables(text)))
    end
  end)

  it("computes the same by tables, whatever the length", function()
    for length = 0, 130 do
      local text = ("\0\255k"):rep(50):sub(1, length)
      assert.equal(sha1(text), by_tables(text))
    end
  end)
end)
