--- What is told of a certificate, of objects that answer as LuaSec's do.
-- @module spec.unit.transport.tls_facts_spec

local tls_facts = require "websockets.transport.tls_facts"

local function object_with(certificate)
  local x509 = certificate and {
    subject = function() return certificate.subject or {} end,
    issuer = function() return certificate.issuer or {} end,
    extensions = function() return certificate.extensions end, digest = function() return "00ff" end,
    notbefore = function() return certificate.before or "" end,
    notafter = function() return certificate.after or "" end,
    pem = function() return "PEM" end,
  }
  return {
    info = function() return { protocol = "TLSv1.3", cipher = "X", bits = 256 } end,
    getpeercertificate = function() return x509 end, getsniname = function() end, getalpn = function() end,
    getpeerverification = function() return certificate == nil or certificate.verified end,
  }
end

local function told_of(certificate) return tls_facts.of(object_with(certificate)).certificate end

describe("websockets.transport.tls_facts", function()
  it("verifies only a certificate that is there", function()
    assert.is_false(tls_facts.of(object_with(nil)).verified)
    assert.is_true(tls_facts.of(object_with({ verified = true })).verified)
    assert.is_false(tls_facts.of(object_with({ verified = false })).verified)
  end)

  it("writes names so that no value looks like a further attribute", function()
    assert.equal("CN=a\\, O\\=b, O=x\\0Ay, 1.2.3=\\#z, emailAddress=", told_of({ subject = {
      { name = "commonName", value = "a, O=b" }, { name = "organizationName", value = "x\ny" },
      { oid = "1.2.3", value = "#z" }, { name = "emailAddress" },
    } }).subject)
  end)

  it("lists names and addresses", function()
    assert.same({ "a.test", "::1" }, told_of({
      extensions = { ["2.5.29.17"] = { dNSName = { "a.test" }, iPAddress = { "::1" } } },
    }).names)
    assert.same({}, told_of({}).names)
  end)

  it("reads dates", function()
    for text, seconds in pairs({
      ["Jan  1 00:00:00 1970 GMT"] = 0, ["Feb 29 23:59:59 2024 GMT"] = 1709251199,
      ["Mar  1 00:00:00 2024 GMT"] = 1709251200, ["Dec 31 23:59:59 2026 GMT"] = 1798761599,
      ["Jan  1 00:00:00 2100 GMT"] = 4102444800, ["Mar  1 00:00:00 2100 GMT"] = 4107542400,
    }) do
      local read = told_of({ before = text }).not_before
      assert.equal(seconds, read, text)
      if math.type then assert.equal("integer", math.type(read)) end
    end
    assert.is_nil(told_of({ after = "Bad time value" }).not_after)
  end)
end)
