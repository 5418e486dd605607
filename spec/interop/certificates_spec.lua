--- Which certificates are accepted, and what is said of those that are not. The servers are LuaSec's own, and `openssl
-- s_server`.
-- @module spec.interop.certificates_spec

local certificates = require "spec.support.certificates"
local peer = require "spec.support.peer"
local server = require "spec.support.server"
local tls = require "spec.support.tls"
local websockets = require "websockets"

local TEXT = 1
local unpack = table.unpack or unpack
local check = tls.test(it, pending)

describe("a certificate of a server", function()
  local one, log

  before_each(function()
    log = {}
    one = server.start({ log = function(...) log[#log + 1] = { ... } end })
  end)

  after_each(server.stop_all)

  -- Connects to a host that has the certificate; `options` are `tls` of the client.
  local function connect(name, host, options, server_options)
    local other = peer.listen(one, nil, certificates.pair(name, server_options))
    local ws, heard = peer.watch(one.context:connect(("wss://%s:%d/"):format(host, other.port), { tls = options }))
    return other, ws, heard
  end

  local function ours(also)
    local options = { cafile = certificates.path("ca.pem") }
    for name, value in pairs(also or {}) do options[name] = value end
    return options
  end

  local function accepts(name, host, options, server_options)
    local other, ws, heard = connect(name, host, options, server_options)
    other:accept()
    one:pump(function() return heard.open == 1 or heard.closed[1] end, "the connection")
    assert.same({}, heard.closed)
    ws:write("hello")
    assert.same({ TEXT, "hello" }, { other:message() })
    other:write(TEXT, "there")
    one:pump(function() return heard.messages[1] end, "a message")
    assert.equal("there", heard.messages[1][1])
    return heard
  end

  -- Nothing that an application sends may have come to the server.
  local function refuses(name, host, expected, options, server_options)
    local other, _, heard = connect(name, host, options, server_options)
    one:pump(function()
      other:poll()
      return heard.closed[1] or heard.open > 0
    end, "the refusal")
    assert.equal(0, heard.open)
    assert.same({ 1006, "the certificate of " .. host .. " was refused: " .. expected, false, "certificate" },
      heard.closed[1])
    one:pump(function()
      other:poll()
      return other.ended
    end, "the end")
    assert.equal("", other.buffer)
  end

  local GOOD = {
    { "for the host", "good", "localhost" },
    { "for the IPv4 address", "good", "127.0.0.1" },
    { "with a wildcard for the leftmost label", "wildcard", "a.localhost" },
    { "with a wildcard, and the host in other letters", "wildcard", "B.LocalHost" },
    { "from an intermediate authority that the server sends", "chained", "localhost" },
    { "with the purpose of a server", "server_only", "localhost" },
  }

  for _, case in ipairs(GOOD) do
    check("is accepted " .. case[1], function() accepts(case[2], case[3], ours()) end)
  end

  check("is accepted for the IPv6 address", function()
    local other = peer.listen(one, "::1", certificates.pair("good"))
    if not other then return pending("needs IPv6") end
    local _, heard = peer.watch(one.context:connect(("wss://[0:0::1]:%d/"):format(other.port), { tls = ours() }))
    other:accept()
    one:pump(function() return heard.open == 1 end, "the connection")
  end)

  check("that is self-signed is accepted where it is named as an authority", function()
    accepts("self_signed", "localhost", { cafile = certificates.path("self_signed.pem") })
  end)

  check("is accepted in TLS 1.2 and in TLS 1.3", function()
    for _, version in ipairs({ "tlsv1_2", "tlsv1_3" }) do
      accepts("good", "localhost", ours(), { protocol = version, options = {} })
    end
  end)

  check("that is not revoked is accepted with a list of revoked ones", function()
    accepts("good", "localhost", { cafile = certificates.path("ca_crl.pem"), verifyext = { "crl_check" } })
  end)

  local UNKNOWN = 'unknown authority or missing intermediate: it was issued by "%s", which is not trusted here, and '
    .. 'the server sent no certificate for that'
  local PURPOSE = "it is not meant for servers (wrong purpose)"
  local BAD = {
    { "has expired", "expired", "localhost", "it expired on Jan  1 00:00:00 2021 GMT" },
    { "is not yet valid", "early", "localhost", "it is not valid before Jan  1 00:00:00 2099 GMT" },
    { "is for another host", "wrong_host", "localhost", "wrong host: it is for DNS:elsewhere.test, IP:192.0.2.1" },
    { "is for another address", "wrong_host", "127.0.0.1", "wrong host: it is for DNS:elsewhere.test, IP:192.0.2.1" },
    { "has a wildcard one label too far right", "wildcard", "a.b.localhost",
      "wrong host: it is for DNS:*.localhost, DNS:*.test" },
    { "has a wildcard, for a host without that label", "wildcard", "localhost",
      "wrong host: it is for DNS:*.localhost, DNS:*.test" },
    { "has the IP address as a DNS name", "ip_as_name", "127.0.0.1", "wrong host: it is for DNS:127.0.0.1" },
    { "has the host as its common name alone", "cn_only", "localhost", "wrong host: it is for no names" },
    { "has the host and a NUL byte", "nul", "localhost", "wrong host: it is for DNS:localhost?.org" },
    { "is self-signed", "self_signed", "localhost", "it is self-signed, and not trusted here" },
    { "is from an authority that is not known", "unknown", "localhost", UNKNOWN:format("another authority") },
    { "is from an authority that is not known but sent", "rooted", "localhost",
      'unknown authority: its chain ends with "another authority", which is not trusted here' },
    { "is from an authority that has expired", "stale", "localhost",
      'its authority "old_between" expired on Jan  1 00:00:00 2021 GMT' },
    { "comes without its intermediate", "unchained", "localhost", UNKNOWN:format("between") },
    { "has the purpose of a client alone", "client_only", "localhost", PURPOSE },
  }

  for _, case in ipairs(BAD) do
    check("is refused that " .. case[1], function() refuses(case[2], case[3], case[4], ours()) end)
  end

  check("is refused where its chain leads to an authority that is not known", function()
    refuses("chained", "localhost",
      'unknown authority: its chain leads to "websockets test authority", which is not trusted here',
      { cafile = certificates.path("other_ca.pem") })
  end)

  check("is refused that is signed by somebody with the name of an authority", function()
    refuses("forged", "localhost", UNKNOWN:format("websockets test authority"), ours())
  end)

  check("is refused that has been revoked", function()
    refuses("revoked", "localhost", "it has been revoked",
      { cafile = certificates.path("ca_crl.pem"), verifyext = { "crl_check" } })
  end)

  check("is refused in TLS 1.2 too", function()
    refuses("expired", "localhost", "it expired on Jan  1 00:00:00 2021 GMT", ours(),
      { protocol = "tlsv1_2", options = {} })
  end)

  check("is refused although a client certificate is sent, without a reason", function()
    local other, _, heard = connect("expired", "localhost", ours(certificates.pair("client")))
    one:pump(function()
      other:poll()
      return heard.closed[1]
    end, "the refusal")
    assert.same({ 1006, "the certificate of localhost was refused; with a client certificate of ours OpenSSL does not "
      .. "tell why", false, "certificate" }, heard.closed[1])
  end)

  check("is not looked at with verify = \"none\", which is logged each time", function()
    for i = 1, 2 do
      accepts("expired", "127.0.0.1", { verify = "none" })
      assert.equal("warning", log[i][1])
      assert.matches('the certificate of 127.0.0.1:%d+ is not verified: tls.verify is "none"', log[i][2])
    end
  end)
end)

describe("a certificate of a client", function()
  local one

  before_each(function() one = server.start({}) end)
  after_each(server.stop_all)

  local function connect(name, version)
    local other = peer.listen(one, nil, certificates.pair("good", {
      cafile = certificates.path("ca.pem"), verify = { "peer", "fail_if_no_peer_cert" }, protocol = version,
      options = {},
    }))
    local options = { tls = { cafile = certificates.path("ca.pem") } }
    if name then
      options.tls.certificate, options.tls.key = certificates.path(name .. ".pem"), certificates.path(name .. ".key")
    end
    return other, peer.watch(one.context:connect(("wss://localhost:%d/"):format(other.port), options))
  end

  local CASES = {
    -- name, what TLS 1.2 says, what TLS 1.3 says
    { false, "the TLS handshake with %s failed", "%s wants a client certificate" },
    { "client_other", "%s refused the client certificate: unknown ca",
      "%s refused the client certificate: unknown ca" },
    { "server_only", "%s refused the client certificate: unsupported certificate",
      "%s refused the client certificate: unsupported certificate" },
    { "expired", "%s refused the client certificate: certificate expired",
      "%s refused the client certificate: certificate expired" },
  }

  for at, version in ipairs({ "tlsv1_2", "tlsv1_3" }) do
    check("is sent in " .. version, function()
      local other, ws, heard = connect("client", version)
      other:accept()
      one:pump(function() return heard.open == 1 end, "the connection")
      ws:write("hello")
      assert.same({ TEXT, "hello" }, { other:message() })
      assert.same({}, heard.closed)
    end)

    for _, case in ipairs(CASES) do
      local what = case[1] and "refused: " .. case[1] or "missing"
      check(("is %s in %s, and the client is told"):format(what, version), function()
        local other, _, heard = connect(case[1], version)
        one:pump(function()
          other:poll()
          if other.ended and other.connection then other:close() end
          return heard.closed[1]
        end, "the refusal")
        assert.equal(0, heard.open)
        local code, message, clean, why = unpack(heard.closed[1])
        assert.same({ 1006, false, "tls" }, { code, clean, why })
        local expected = case[at + 1]:format("localhost:" .. other.port)
        assert.equal(expected, message:sub(1, #expected))
      end)
    end
  end
end)

describe("a certificate of a client of our server", function()
  local one, handler, log, words

  before_each(function()
    if tls.lack() then return end
    words = {}
    handler, log = server.recorder(server.echo)
    one = server.start({
      tls = certificates.pair("good", { cafile = certificates.path("ca.pem") }), default = handler,
      options = websockets.SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT,
      log = function(level, message) words[#words + 1] = level .. ": " .. message end,
    })
  end)

  after_each(server.stop_all)

  local function connect(name)
    local options = certificates.pair(name or "client", { cafile = certificates.path("ca.pem") })
    if not name then options.certificate, options.key = nil, nil end
    return peer.watch(one.context:connect(("wss://localhost:%d/"):format(one.port), { tls = options }))
  end

  check("is accepted, and echoes come back", function()
    local ws, heard = connect("client")
    one:pump(function() return heard.open == 1 or heard.closed[1] end, "the connection")
    ws:write("hello")
    one:pump(function() return heard.messages[1] end, "an echo")
    assert.equal("hello", heard.messages[1][1])
    assert.equal(1, #log.ws)
  end)

  local CASES = {
    { false, "wants a client certificate", "peer did not return a certificate" },
    { "client_other", "refused the client certificate: unknown ca", "certificate verify failed" },
    { "server_only", "refused the client certificate: unsupported certificate", "certificate verify failed" },
    { "expired", "refused the client certificate: certificate expired", "certificate verify failed" },
    { "self_signed", "refused the client certificate: unknown ca", "certificate verify failed" },
  }

  for _, case in ipairs(CASES) do
    check(("is %s: both sides are told"):format(case[1] and "refused: " .. case[1] or "missing"), function()
      local _, heard = connect(case[1])
      one:pump(function() return heard.closed[1] and words[1] end, "the refusal")
      assert.same({ 1006, false, "tls" }, { heard.closed[1][1], heard.closed[1][3], heard.closed[1][4] })
      assert.matches(case[2], heard.closed[1][2], 1, true)
      assert.matches("^info: TLS handshake with [%d.:a-f]+ failed: " .. case[3], words[1])
      assert.equal(0, #log.ws)
    end)
  end
end)
