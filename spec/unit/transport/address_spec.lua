--- Addresses as libraries of sockets tell them.
-- @module spec.unit.transport.address_spec
local address = require("websockets.transport.address")

describe("websockets.transport.address", function()
  it("shows an IPv4 address inside IPv6 as IPv4, and nothing as nothing", function()
    assert.same({ "10.0.0.1", 80 }, { address.shown("::ffff:10.0.0.1", "80") })
    assert.same({ "10.0.0.1", 80 }, { address.shown("::FFFF:10.0.0.1", 80) })
    assert.same({ "::1", 81 }, { address.shown("::1", "81") })
    assert.same({ "", 0 }, { address.shown(nil, nil) })
  end)

  it("tells whether both ends are the same, whether a port is a number or a string", function()
    assert.is_true(address.is_same("127.0.0.1", "80", "127.0.0.1", 80))
    assert.is_false(address.is_same("127.0.0.1", 80, "127.0.0.1", 81))
    assert.is_false(address.is_same("127.0.0.2", 80, "127.0.0.1", 80))
  end)
end)
