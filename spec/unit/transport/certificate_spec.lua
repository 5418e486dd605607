--- Whether a certificate is for a host.
-- @module spec.unit.transport.certificate_spec

local certificate = require "websockets.transport.certificate"
local certificates = require "spec.support.certificates"
local child = require "spec.support.child"
local needs = require "spec.support.needs"

local function is_for(names, host, kind)
  return certificate.is_for({ dns = names.dns or {}, ip = names.ip or {} }, host, kind or "name")
end

describe("websockets.transport.certificate", function()
  it("compares names without regard to the case of ASCII letters, and drops the last dot of the host", function()
    local names = { dns = { "Example.COM", "b.test" } }
    for _, host in ipairs({ "example.com", "EXAMPLE.com", "example.com.", "b.test" }) do
      assert.is_true(is_for(names, host), host)
    end
    for _, host in ipairs({ "example.co", "xexample.com", "www.example.com", "com", "example.com..", "" }) do
      assert.is_false(is_for(names, host), host)
    end
    assert.is_false(is_for({ dns = { "b\195\156cher.test" } }, "b\195\188cher.test"))
    assert.is_false(is_for({ dns = { "example.com." } }, "example.com"))
  end)

  it("takes a wildcard as the whole leftmost label, for exactly one label", function()
    assert.is_true(is_for({ dns = { "*.Example.com" } }, "a.example.com"))
    assert.is_true(is_for({ dns = { "*.example.com" } }, "xn--bcher-kva.example.com."))
    for _, host in ipairs({ "example.com", ".example.com", "a.b.example.com", "a.example.com.org", "*" }) do
      assert.is_false(is_for({ dns = { "*.example.com" } }, host), host)
    end
    for _, pattern in ipairs({ "a*.example.com", "*a.example.com", "a.*.com", "*.*.com", "*", "*.", "**.example.com",
      "a.example.*" }) do
      assert.is_false(is_for({ dns = { pattern } }, "a.example.com"), pattern)
    end
  end)

  it("compares an IP address with IP addresses alone, and a name with names alone", function()
    assert.is_true(is_for({ ip = { "127.0.0.1" } }, "127.0.0.1", "ipv4"))
    assert.is_true(is_for({ ip = { "192.0.2.1", "2001:db8::5" } }, "2001:0DB8:0:0::0005", "ipv6"))
    assert.is_false(is_for({ ip = { "127.0.0.2" } }, "127.0.0.1", "ipv4"))
    assert.is_false(is_for({ dns = { "127.0.0.1", "*.0.0.1" } }, "127.0.0.1", "ipv4"))
    assert.is_false(is_for({ ip = { "localhost" } }, "localhost"))
    assert.is_false(is_for({ ip = { "::1" } }, "::2", "ipv6"))
  end)

  it("lets no name with a NUL byte match", function()
    assert.is_false(is_for({ dns = { "localhost\0.evil.org" } }, "localhost"))
    assert.is_false(is_for({ dns = { "*.test\0" } }, "a.test"))
    assert.is_false(is_for({ ip = { "127.0.0.1\0" } }, "127.0.0.1", "ipv4"))
  end)

  it("describes names on one line, without control bytes, and not endlessly many", function()
    assert.equal("no names", certificate.describe({ dns = {}, ip = {} }))
    assert.equal("DNS:a.test, DNS:b?.test, IP:::1",
      certificate.describe({ dns = { "a.test", "b\n.test" }, ip = { "::1" } }))
    local many = {}
    for i = 1, 10 do many[i] = "n" .. i end
    assert.equal("DNS:n1, DNS:n2, DNS:n3, DNS:n4, DNS:n5, DNS:n6, DNS:n7, DNS:n8 and 2 more",
      certificate.describe({ dns = many, ip = {} }))
  end)
end)

describe("the names in a certificate", function()
  local has_luasec, ssl = pcall(require, "ssl")
  local reason = needs.reason("openssl") or not has_luasec and "needs LuaSec"

  local function names_of(name)
    return certificate.names(ssl.loadcertificate(certificates.read(name .. ".pem")))
  end

  local function check(text, work)
    it(text, function()
      if reason then return pending(reason) end
      work()
    end)
  end

  check("are those of its subjectAltName", function()
    local names = names_of("good")
    assert.same({ dns = { "localhost", "one.test" }, ip = { "127.0.0.1", "::1" } }, names)
    assert.is_true(certificate.is_for(names, "::1", "ipv6"))
    assert.is_true(certificate.is_for(names_of("wildcard"), "a.localhost", "name"))
    assert.is_false(certificate.is_for(names_of("wildcard"), "a.b.localhost", "name"))
  end)

  check("are none where there is but a common name", function()
    assert.truthy(child.run("openssl x509 -noout -subject -in " .. certificates.path("cn_only.pem")):find("localhost"))
    assert.same({ dns = {}, ip = {} }, names_of("cn_only"))
  end)

  check("keep a NUL byte, which matches nothing", function()
    local names = names_of("nul")
    assert.same({ "localhost\0.org" }, names.dns)
    assert.is_false(certificate.is_for(names, "localhost", "name"))
  end)

  check("may have an IP address as a DNS name, which is none", function()
    local names = names_of("ip_as_name")
    assert.same({ dns = { "127.0.0.1" }, ip = {} }, names)
    assert.is_false(certificate.is_for(names, "127.0.0.1", "ipv4"))
  end)
end)
