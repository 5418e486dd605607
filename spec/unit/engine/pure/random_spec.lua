--- Random bytes where the system has none; what they are like is in spec/unit/engine/engine_spec.lua.
-- @module spec.unit.engine.pure.random_spec

local random = require "websockets.engine.pure.random"

describe("random", function()
  it("says so where no random bytes can be had", function()
    local open = io.open
    finally(function() io.open = open end) -- luacheck: ignore
    io.open = function(name) return nil, name .. ": not here" end -- luacheck: ignore
    local bytes, message, code = random.bytes(100000)
    assert.is_nil(bytes)
    assert.equal("no random bytes: /dev/urandom: not here", message)
    assert.equal("entropy", code)
    local frames = 0
    local writer = require("websockets.engine.pure").writer { role = "client" }
    local frame, _
    repeat
      frames = frames + 1
      frame, _, code = writer:encode(1, "a")
    until not frame or frames > 100000
    assert.is_nil(frame)
    assert.equal("entropy", code)
  end)
end)
