--- Close codes that may be sent.
-- @module spec.unit.engine.close_spec

local close = require "websockets.engine.close"

describe("close.may_send", function()
  it("takes the codes that RFC 6455 lets into a frame", function()
    for code = 0, 70000 do
      local expected = (code >= 1000 and code <= 1014 and (code < 1004 or code > 1006))
        or (code >= 3000 and code < 5000)
      if close.may_send(code) ~= expected then error("close code " .. code) end
    end
    for _, code in ipairs({ 1000.5, -1000, "1000", 0 / 0, math.huge, true }) do
      assert.is_false(close.may_send(code))
    end
    assert.is_false(close.may_send(nil))
  end)
end)
