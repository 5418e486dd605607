--- What trusted proxies tell of a client.
-- @module spec.unit.protocol.forwarded_spec

local forwarded = require "websockets.protocol.forwarded"

local function networks(...)
  local list = {}
  for i, text in ipairs({ ... }) do list[i] = assert(forwarded.network(text)) end
  return list
end

describe("forwarded.network", function()
  it("reads addresses, networks and unix", function()
    for _, text in ipairs({ "127.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "::1", "fd00::/8", "::/0",
      "::1/128", "unix" }) do
      assert.is_table(forwarded.network(text), text)
    end
  end)

  it("refuses anything else", function()
    for _, bad in ipairs({ "", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0/8", "/8", "10.0.0.0/8 ",
      "10.0.0.0/-1", "10.0.0.0/0x8", "Unix", 7, true, {}, "::ffff:10.0.0.0/129" }) do
      local network, hint = forwarded.network(bad)
      assert.same({}, { network, hint }, tostring(bad))
    end
  end)

  it("takes IPv4 addresses inside IPv6 as what they are", function()
    for mapped, plain in pairs({ ["::ffff:10.0.0.0/104"] = "10.0.0.0/8", ["::ffff:a00:0/104"] = "10.0.0.0/8",
      ["::ffff:10.1.2.3"] = "10.1.2.3", ["::FFFF:10.1.2.3/128"] = "10.1.2.3/32", ["::ffff:0:0/96"] = "0.0.0.0/0" }) do
      assert.same(forwarded.network(plain), forwarded.network(mapped), mapped)
    end
    for _, bad in ipairs({ "::ffff:10.0.0.0/8", "::ffff:0.0.0.0/95", "::ffff:0:0/0" }) do
      local network, hint = forwarded.network(bad)
      assert.is_nil(network)
      assert.equal("IPv4 addresses inside IPv6 have 96 bits more", hint)
    end
  end)

  it("refuses an address for a network, and says what may be meant", function()
    for bad, hint in pairs({
      ["10.1.2.3/8"] = '"10.1.2.3" is one address, "10.0.0.0/8" a network',
      ["::ffff:10.1.2.3/104"] = '"10.1.2.3" is one address, "10.0.0.0/8" a network',
      ["192.0.2.1/31"] = '"192.0.2.1" is one address, "192.0.2.0/31" a network',
      ["192.0.2.255/25"] = '"192.0.2.255" is one address, "192.0.2.128/25" a network',
      ["1.2.3.4/0"] = '"1.2.3.4" is one address, "0.0.0.0/0" a network',
      ["2001:db8::1/33"] = '"2001:db8::1" is one address, "2001:db8::/33" a network',
      ["::1/0"] = '"::1" is one address, "::/0" a network',
    }) do
      local network, said = forwarded.network(bad)
      assert.same({ nil, hint }, { network, said })
    end
  end)
end)

describe("forwarded.trusts", function()
  it("compares families and bits", function()
    local list = networks("10.0.0.0/8", "192.0.2.7", "fd00::/8")
    for _, ip in ipairs({ "10.0.0.0", "10.255.255.255", "192.0.2.7", "fd00::1" }) do
      assert.is_true(forwarded.trusts(list, ip), ip)
    end
    for _, ip in ipairs({ "11.0.0.0", "192.0.2.8", "fe00::1", "::1", "unix", "" }) do
      assert.is_false(forwarded.trusts(list, ip), ip)
    end
    assert.is_true(forwarded.trusts(networks("::ffff:10.0.0.0/104"), "10.1.2.3"))
    assert.is_true(forwarded.trusts(list, "::ffff:10.1.2.3"))
    assert.is_false(forwarded.trusts(networks("::ffff:10.0.0.0/104"), "11.1.2.3"))
    -- The one is for IPv4 alone, the other for IPv6.
    assert.same({ true, false }, { forwarded.trusts(networks("0.0.0.0/0"), "1.2.3.4"),
      forwarded.trusts(networks("0.0.0.0/0"), "::1") })
    assert.same({ false, true }, { forwarded.trusts(networks("::/0"), "1.2.3.4"),
      forwarded.trusts(networks("::/0"), "::1") })
    assert.is_true(forwarded.trusts(networks("unix"), "unix"))
    assert.is_false(forwarded.trusts(networks("0.0.0.0/0", "::/0"), "unix"))
  end)
end)

describe("forwarded.read", function()
  local list = networks("127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix")

  local function client(header, peer)
    return forwarded.read(list, peer or "127.0.0.1", { ["x-forwarded-for"] = header }).ip
  end

  it("tells nothing of a peer that is no proxy", function()
    assert.is_false(forwarded.read(list, "192.0.2.1", { ["x-forwarded-for"] = "198.51.100.1" }))
    assert.is_false(forwarded.read(list, "", { ["x-forwarded-for"] = "198.51.100.1" }))
  end)

  it("takes the last address that is not a proxy's: what is before it may be invented", function()
    for header, ip in pairs({
      ["198.51.100.1"] = "198.51.100.1",
      ["203.0.113.9, 198.51.100.1"] = "198.51.100.1",
      ["203.0.113.9, 198.51.100.1, 10.0.0.1"] = "198.51.100.1",
      ["203.0.113.9,198.51.100.1 ,10.0.0.1,10.0.0.2"] = "198.51.100.1",
      ["127.0.0.1, 198.51.100.1"] = "198.51.100.1",
      ["10.0.0.3, 10.0.0.1"] = "10.0.0.3",
      ["10.0.0.1"] = "10.0.0.1",
      ["2001:DB8::0001"] = "2001:db8::1", ["[2001:db8::1]:4711"] = "2001:db8::1", ["[2001:db8::1]"] = "2001:db8::1",
      ["198.51.100.1:4711"] = "198.51.100.1", ["::ffff:198.51.100.1"] = "198.51.100.1",
      ["2001:db8::1, fd00::7"] = "2001:db8::1",
    }) do
      assert.equal(ip, client(header), header)
    end
    assert.equal("198.51.100.1", client("198.51.100.1", "unix"))
  end)

  it("stays with the proxy where that tells no address", function()
    for _, header in ipairs({ "", ",", " , ", "unknown", "_hidden", "198.51.100.1, unknown", "198.51.100.1, localhost",
      "198.51.100.256", "1.2.3.4:x", "[::1", "198.51.100.1;", ("1"):rep(5000) }) do
      assert.equal("127.0.0.1", client(header), header:sub(1, 40))
    end
    assert.equal("10.0.0.1", client("198.51.100.1, unknown, 10.0.0.1"))
    assert.equal("127.0.0.1", client(nil))
  end)

  local function read(headers)
    headers["x-forwarded-for"] = headers["x-forwarded-for"] or "198.51.100.1"
    local found = forwarded.read(list, "127.0.0.1", headers)
    return { found.scheme or false, found.host or false }
  end

  it("takes scheme and host", function()
    assert.same({ false, false }, read({}))
    for value, scheme in pairs({ https = "https", HTTPS = "https", http = "http", wss = "https", ws = "http",
      gopher = false, [""] = false }) do
      assert.equal(scheme, read({ ["x-forwarded-proto"] = value })[1], value)
    end
    assert.same({ false, "example.org:8443" }, read({ ["x-forwarded-host"] = "example.org:8443" }))
    assert.same({ false, "[2001:db8::1]:80" }, read({ ["x-forwarded-host"] = "[2001:db8::1]:80" }))
    -- As of Host: what has other characters is no host.
    for _, bad in ipairs({ "a b", "a/b", "<b>", "user@a", "a\127", "\195\164", '"a"' }) do
      assert.same({ false, false }, read({ ["x-forwarded-host"] = bad }), bad)
    end
  end)

  it("takes those that the first of the proxies has told", function()
    assert.same({ "https", "b" }, read({ ["x-forwarded-proto"] = "http, https", ["x-forwarded-host"] = "a, b" }))
    local two = { ["x-forwarded-for"] = "203.0.113.9, 198.51.100.1, 10.0.0.1", ["x-forwarded-host"] = "a, b, c",
      ["x-forwarded-proto"] = "https" }
    assert.same({ "https", "b" }, read(two))
  end)
end)
