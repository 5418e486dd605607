--- Which addresses are known, and how answers are read.
-- @module spec.unit.client.resolver_spec

local resolver = require "websockets.client.resolver"

local LOCALHOST = { { "tcp4", "127.0.0.1" }, { "tcp6", "::1" } }

describe("websockets.client.resolver", function()
  it("asks no resolver for IP addresses, localhost and names below it", function()
    assert.same({ { "tcp4", "192.0.2.1" } }, resolver.known({ kind = "ipv4", host = "192.0.2.1" }))
    assert.same({ { "tcp6", "2001:db8::1" } }, resolver.known({ kind = "ipv6", host = "2001:db8::1" }))
    assert.same(LOCALHOST, resolver.known({ kind = "name", host = "localhost" }))
    assert.same(LOCALHOST, resolver.known({ kind = "name", host = "a.localhost" }))
    for _, name in ipairs({ "example.com", "localhost.example.com", "mylocalhost" }) do
      assert.is_nil(resolver.known({ kind = "name", host = name }))
    end
  end)

  it("reads the addresses of an answer in their order", function()
    assert.same({ { "tcp6", "2001:db8::1" }, { "tcp4", "192.0.2.1" }, { "tcp6", "fe80::1%2" } },
      resolver.read("[2001:db8::1]:0\n192.0.2.1:0\n[fe80::1%2]:0\n"))
  end)

  it("reads what failed, and the end of an answer that never came", function()
    assert.same({ nil, "Name or service not known" },
      { resolver.read("failed to lookup address information: Name or service not known") })
    assert.same({ nil, "no words" }, { resolver.read("no words") })
    assert.same({ nil, "no answer" }, { resolver.read("") })
  end)

  it("alternates between the kinds of addresses, and begins with that of the first", function()
    local function four(i) return { "tcp4", "192.0.2." .. i } end
    local function six(i) return { "tcp6", "2001:db8::" .. i } end
    assert.same({ six(1), four(1), six(2), four(2), six(3) },
      resolver.alternate({ six(1), six(2), six(3), four(1), four(2) }))
    assert.same({ four(1), six(1), four(2) }, resolver.alternate({ four(1), four(2), six(1) }))
    assert.same({ four(1), four(2) }, resolver.alternate({ four(1), four(2) }))
    local many = {}
    for i = 1, 40 do many[i] = four(i) end
    many[41] = six(1)
    local made = resolver.alternate(many)
    assert.equal(32, #made)
    assert.same(six(1), made[2])
  end)
end)
