--- Frame headers as they come: read, judged, or waited for; every rule is in spec/unit/engine/breach_spec.lua.
-- @module spec.unit.engine.pure.header_spec

local header = require "websockets.engine.pure.header"
local support = require "spec.support.engine"

local bytes = support.bytes

describe("header.read", function()
  local function read(text, message)
    return header.read({ options = support.options({ max_message_bytes = 70000 }), mask_bit = 128,
      message = message or false }, bytes(text), 1)
  end

  it("gives first byte, length and the place after it", function()
    assert.same({ 0x81, 5, 3, false }, { read("81 85") })
    assert.same({ 0x82, 126, 5, false }, { read("82 fe 00 7e") })
    assert.same({ 0x82, 65536, 11, false }, { read("82 ff 00 00 00 00 00 01 00 00") })
  end)

  it("waits for what has not come", function()
    for _, text in ipairs({ "81", "82 fe", "82 fe 00", "82 ff 00 00 00 00 00 01 00" }) do
      assert.same({ nil }, { read(text) })
    end
  end)

  it("judges each byte when it comes", function()
    for text, code in pairs({
      ["83"] = 1002, ["81 05"] = 1002, ["82 fe 00 7d"] = 1002, ["82 ff 80 00 00 00 00 00 00 00"] = 1002,
      ["82 ff 00 00 00 00 00 01 11 71"] = 1009,
    }) do
      local first, found, why = read(text)
      assert.same({ text, false, code, "string" }, { text, first, found, type(why) })
    end
  end)

  it("counts what an unfinished message has already", function()
    assert.equal(0x80, (read("80 fe 03 e8", { have = 69000, fragments = 1 })))
    assert.equal(1009, (select(2, read("80 fe 03 e9", { have = 69000, fragments = 1 }))))
  end)
end)
