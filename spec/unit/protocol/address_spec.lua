--- IP addresses as bytes, and networks.
-- @module spec.unit.protocol.address_spec

local address = require "websockets.protocol.address"

local function hex(text)
  return (text:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end))
end

describe("address.pack", function()
  for text, bytes in pairs({
    ["0.0.0.0"] = "00000000", ["127.0.0.1"] = "7f000001", ["255.255.255.255"] = "ffffffff",
    ["::"] = ("00"):rep(16), ["::1"] = ("00"):rep(15) .. "01", ["1::"] = "0001" .. ("00"):rep(14),
    ["2001:DB8::7:0"] = "20010db8" .. ("00"):rep(8) .. "00070000",
    ["1:2:3:4:5:6:7:8"] = "00010002000300040005000600070008",
    ["1:2:3:4:5:6:7::"] = "00010002000300040005000600070000",
    ["::2:3:4:5:6:7:8"] = "00000002000300040005000600070008",
    ["::ffff:192.0.2.1"] = ("00"):rep(10) .. "ffffc0000201",
    ["1:2:3:4:5:6:192.0.2.1"] = "000100020003000400050006c0000201",
    ["fe80::a:0:0:1"] = "fe80000000000000000a000000000001",
  }) do
    it("reads " .. text, function() assert.equal(hex(bytes), address.pack(text)) end)
  end

  for _, text in ipairs({
    "", ".", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.", "1.2.3.x", "01.2.3.4", "1.2.3.004", " 1.2.3.4",
    "0x1.2.3.4", "1.2.3.4\0", ":", ":::", "1::2::3", "1:::2", "12345::", "g::", ":1::", "::1:", "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "::1.2.3", "1.2.3.4::", "::1.2.3.4:5",
    "1:2:3:4:5:6:7:1.2.3.4", "::ffff:01.2.3.4", "[::1]", "fe80::1%lo", ("1:"):rep(1000),
  }) do
    it(("refuses %q"):format(text:sub(1, 30)), function() assert.is_nil(address.pack(text)) end)
  end
end)

describe("address.format", function()
  it("writes addresses as browsers do", function()
    for text, written in pairs({
      ["127.0.0.1"] = "127.0.0.1", ["::"] = "::", ["::1"] = "::1", ["2001:DB8:0:0::0001"] = "2001:db8::1",
      ["1:0:0:2:0:0:0:3"] = "1:0:0:2::3", ["::ffff:192.0.2.1"] = "::ffff:c000:201",
    }) do
      assert.equal(written, address.format(address.pack(text)))
    end
    assert.equal("192.0.2.1", address.format(address.unmap(address.pack("::ffff:192.0.2.1"))))
    assert.equal("::1", address.format(address.unmap(address.pack("::1"))))
    assert.equal("192.0.2.1", address.format(address.unmap(address.pack("192.0.2.1"))))
  end)
end)

describe("address.network", function()
  local function shown(text)
    local packed, bits = address.network(text)
    return packed and address.format(packed) .. "/" .. bits or bits
  end

  it("reads an address, and how many bits count", function()
    for text, expected in pairs({
      ["10.0.0.0/8"] = "10.0.0.0/8", ["10.1.2.3"] = "10.1.2.3/32", ["1.2.3.4/0"] = "1.2.3.4/0", ["::1"] = "::1/128",
      ["fd00::/8"] = "fd00::/8", ["::/0"] = "::/0", ["::ffff:10.0.0.0/104"] = "10.0.0.0/8",
      ["::ffff:1.2.3.4"] = "1.2.3.4/32", ["::ffff:0:0/96"] = "0.0.0.0/0",
    }) do
      assert.equal(expected, shown(text), text)
    end
  end)

  it("refuses anything else, and tells where IPv4 inside IPv6 has too few bits", function()
    for _, bad in ipairs({ "", "a", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "::/129", "10.0.0.0/1000" }) do
      assert.is_false(shown(bad), bad)
    end
    assert.is_true(shown("::ffff:10.0.0.0/8"))
    assert.is_true(shown("::ffff:0:0/95"))
  end)
end)

describe("address.first", function()
  it("has no bits after those that count", function()
    for text, expected in pairs({
      ["10.1.2.3/8"] = "10.0.0.0", ["10.1.2.3/32"] = "10.1.2.3", ["10.1.2.255/25"] = "10.1.2.128",
      ["255.255.255.255/0"] = "0.0.0.0", ["2001:db8:ffff::1/33"] = "2001:db8:8000::", ["::1/128"] = "::1",
    }) do
      assert.equal(expected, address.format(address.first(address.network(text))), text)
    end
  end)
end)

describe("address.is_within", function()
  local function is_within(one, network, bits)
    return address.is_within(assert(address.pack(one)), assert(address.pack(network)), bits)
  end

  it("compares as many bits as it is told", function()
    for _, case in ipairs({
      { "10.1.2.3", "10.0.0.0", 8 }, { "192.168.17.1", "192.168.16.0", 20 }, { "1.2.3.4", "9.9.9.9", 0 },
      { "1.2.3.4", "1.2.3.4", 32 }, { "1.2.3.5", "1.2.3.4", 31 }, { "2001:db8::1", "2001:db8::", 32 },
      { "2001:db8:8000::", "2001:db8:ffff::", 33 }, { "::1", "::1", 128 },
    }) do
      assert.is_true(is_within((table.unpack or unpack)(case)))
    end
    for _, case in ipairs({
      { "11.1.2.3", "10.0.0.0", 8 }, { "192.168.32.1", "192.168.16.0", 20 }, { "1.2.3.6", "1.2.3.4", 31 },
      { "1.2.3.4", "1.2.3.4", 33 }, { "2001:db8:7fff::", "2001:db8:ffff::", 33 }, { "::1", "0.0.0.1", 0 },
      { "::1", "::1", 129 },
    }) do
      assert.is_false(is_within((table.unpack or unpack)(case)))
    end
  end)
end)
