--- Kinds of message and their opcodes.
-- @module spec.unit.protocol.kinds_spec

local kinds = require "websockets.protocol.kinds"
local websockets = require "websockets"

describe("kinds", function()
  it("have the numbers that the library publishes", function()
    for _, name in ipairs({ "TEXT", "BINARY", "CONTINUATION", "HTTP", "CLOSE", "PING", "PONG", "NO_FIN",
      "NO_COMPRESSION" }) do
      assert.equal(websockets["WRITE_" .. name], kinds[name])
    end
    assert.equal(websockets.WRITE_CLIENT_IGNORE_XOR_MASK, kinds.IGNORE_MASK)
  end)

  it("stand for opcodes, each way", function()
    local pairs_of = { { 0, 1 }, { 1, 2 }, { 2, 0 }, { 4, 8 }, { 5, 9 }, { 6, 10 } }
    for _, pair in ipairs(pairs_of) do
      assert.equal(pair[2], kinds.OPCODES[pair[1]])
      assert.equal(pair[1], kinds.OF_OPCODES[pair[2]])
    end
    assert.is_nil(kinds.OPCODES[kinds.HTTP])
  end)

  it("are taken apart into kind and flags", function()
    for _, kind in ipairs({ 0, 1, 2, 3, 4, 5, 6, 7, 63 }) do
      assert.same({ kind, true, false }, { kinds.split(kind) })
      assert.same({ kind, false, false }, { kinds.split(kind + 0x40) })
      assert.same({ kind, true, false }, { kinds.split(kind + 0x80) })
      assert.same({ kind, true, true }, { kinds.split(kind + 0x100) })
      assert.same({ kind, false, true }, { kinds.split(kind + 0x1C0) })
    end
  end)
end)
