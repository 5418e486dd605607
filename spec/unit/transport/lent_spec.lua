--- Calls on a descriptor of another object.
-- @module spec.unit.transport.lent_spec

local lent = require "websockets.transport.lent"
local tls = require "spec.support.tls"

describe("websockets.transport.lent", function()
  it("calls LuaSocket's methods on a descriptor that stays its owner's", function()
    local one, other = tls.sockets()
    local fd = one:getfd()
    assert.equal("127.0.0.1", (lent.call(fd, "getpeername")))
    assert.equal(fd, one:getfd())
    lent.call(fd, "shutdown", "send")
    other:settimeout(20)
    assert.same({ nil, "closed" }, { other:receive(1), (select(2, other:receive(1))) })
    collectgarbage()
    collectgarbage()
    assert.equal(2, other:send("hi"))
    one:settimeout(20)
    assert.equal("hi", one:receive(2))
    one:close()
    other:close()
  end)

  it("gives why where a method raises, and nothing for a descriptor that is closed", function()
    local one, other = tls.sockets()
    local result, why = lent.call(one:getfd(), "setoption", "no such option", true)
    assert.is_nil(result)
    assert.matches("no such option", why)
    assert.same({ nil, "closed" }, { lent.call(-1, "getpeername") })
    one:close()
    other:close()
  end)
end)
