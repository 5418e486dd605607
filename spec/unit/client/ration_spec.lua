--- How many steps of TLS handshakes a turn has.
-- @module spec.unit.client.ration_spec

local ration = require "websockets.client.ration"

describe("websockets.client.ration", function()
  it("allows four in a turn, and four in the next", function()
    local context = { turn = 7 }
    local may_begin = ration.new(context)
    for _ = 1, 2 do
      local count = 0
      for _ = 1, 10 do
        if may_begin() then count = count + 1 end
      end
      assert.equal(4, count)
      context.turn = context.turn + 1
    end
    assert.is_true(may_begin())
  end)
end)
