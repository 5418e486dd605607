--- The wire of a connection that has none: it answers what is asked of any wire, and does nothing.
-- @module spec.unit.wire.nowhere_spec
local nowhere = require("websockets.wire.nowhere")
local stream = require("websockets.wire.stream")

describe("websockets.wire.nowhere", function()
  it("reads, sends and holds nothing", function()
    assert.same({ nil, "timeout" }, { nowhere.receive() })
    assert.same({ 0, false }, { nowhere.flush() })
    assert.same({ 0, -1, "", 0 }, { nowhere.buffered(), nowhere.getfd(), nowhere.peer() })
    assert.is_false(nowhere.heard())
    nowhere.release()
    nowhere.close()
  end)

  it("has nothing that a wire or a transport has not", function()
    for name in pairs(nowhere) do
      assert.is_true(stream[name] ~= nil or require("websockets.transport.luasocket")[name] ~= nil, name)
    end
  end)
end)
