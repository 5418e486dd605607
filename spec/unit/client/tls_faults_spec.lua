--- What a failed TLS handshake is called.
-- @module spec.unit.client.tls_faults_spec

local tls_faults = require "websockets.client.tls_faults"

local PLACE = { host = "a.test", authority = "a.test:8443" }

local function describe_fault(why, text)
  return { tls_faults.describe(PLACE, why, text) }
end

describe("websockets.client.tls_faults", function()
  it("says what OpenSSL means, and what it says", function()
    local cases = {
      ["wrong version number"] = "a.test:8443 does not speak TLS",
      ["tlsv13 alert certificate required"] = "a.test:8443 wants a client certificate",
      ["tlsv1 alert protocol version"] = "a.test:8443 has no TLS version in common with us",
      ["ssl/tls alert bad certificate"] = "a.test:8443 refused the client certificate: bad certificate",
      ["sslv3 alert certificate expired"] = "a.test:8443 refused the client certificate: certificate expired",
      ["tlsv1 alert unknown ca"] = "a.test:8443 refused the client certificate: unknown ca",
      ["tlsv1 unrecognized name"] = "a.test:8443 does not know that host name",
      ["bad record mac"] = "the TLS handshake with a.test:8443 failed",
    }
    for text, meaning in pairs(cases) do
      assert.same({ ("%s (%s)"):format(meaning, text), "tls" }, describe_fault("tls", text))
    end
  end)

  it("tells an end of the connection from a fault of TLS", function()
    local message = "a.test:8443 ended the connection before the TLS handshake was done"
    assert.same({ message, "closed" }, describe_fault("closed", "unexpected eof while reading"))
    assert.same({ message, "closed" }, describe_fault("closed", nil))
  end)

  it("leaves what was said of a certificate as it is, and knows a refusal without a reason", function()
    assert.same({ "it is bad", "certificate" }, describe_fault("certificate", "it is bad"))
    assert.same({ "the certificate of a.test was refused; with a client certificate of ours OpenSSL does not tell why",
      "certificate" }, describe_fault("tls", "certificate verify failed"))
  end)
end)
