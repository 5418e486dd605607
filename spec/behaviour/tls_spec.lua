--- A server that speaks TLS.
-- @module spec.behaviour.tls_spec
local certificates = require("spec.support.certificates")
local client = require("spec.support.client")
local server = require("spec.support.server")
local socket = require("socket")
local tls = require("spec.support.tls")
local websockets = require("websockets")

describe("a context with TLS", function()
  local it = tls.test(it, pending)
  local path, pair = certificates.path, certificates.pair

  after_each(server.stop_all)

  local function echo(options)
    local all = { protocols = { echo = server.echo } }
    for name, value in pairs(options or {}) do all[name] = value end
    return tls.server(all)
  end

  local function exchange(s)
    local c = client.open(s, "echo")
    c:text("x")
    assert.same({ 1, "x" }, { c:message() })
    return c
  end

  -- The certificate that a server shows to a client, as openssl would write it.
  local function certificate_of(c)
    return (c.connection.transport.socket:getpeercertificate():pem():gsub("%s", ""))
  end

  local function is_shown(name, c)
    return certificates.read(name .. ".pem"):gsub("%s", ""):find(certificate_of(c), 1, true) ~= nil
  end

  -- Why a client's connection ends before it is open.
  local function refusal(s)
    local c = client.connect(s)
    c:await_end()
    return c.ended, c.connection.transport.message
  end

  it("serves messages of any length, and ends as without TLS", function()
    local log
    local s = echo({ protocols = { echo = server.echo, log = (function()
      local handler
      handler, log = server.recorder()
      return handler
    end)() }, max_message_bytes = 5000000 })
    local c = exchange(s)
    for _, size in ipairs({ 0, 1, 8191, 8192, 16384, 16385, 65536, 4000000 }) do
      local text = ("0123456789"):rep(math.floor(size / 10) + 1):sub(1, size)
      c:text(text)
      local opcode, answer = c:message()
      assert.equal(1, opcode)
      assert.is_true(answer == text)
    end
    c = client.open(s, "log")
    c:send_close(1000, "bye")
    assert.equal(1000, (c:close_code()))
    -- A close_notify, not just the end of TCP.
    assert.equal("closed", c:await_end())
    assert.equal("closed", c.connection.transport.message)
    s:pump(function() return log.closed[1] end)
    assert.same({ log.ws[1], 1000, "bye", true, "closed" }, log.closed[1])
  end)

  it("counts messages and bytes as they are inside of TLS", function()
    local s = echo()
    local c = exchange(s)
    local before = s.context:metrics()
    c:text("12345")
    c:message()
    s:settle()
    local after = s.context:metrics()
    assert.same({ 1, 2 + 4 + 5, 1, 2 + 5 }, {
      after.received.messages - before.received.messages, after.received.bytes - before.received.bytes,
      after.sent.messages - before.sent.messages, after.sent.bytes - before.sent.bytes,
    })
    assert.is_true(after.turns.count > before.turns.count)
  end)

  it("serves HTTP, one request after the other", function()
    local s = echo({ on_http = function(ws, uri) ws:respond(200, nil, "of " .. uri) end })
    local c = client.connect(s)
    c:send(client.request("/a") .. client.request("/b"))
    assert.equal("of /a", (select(3, c:response())))
    assert.equal("of /b", (select(3, c:response())))
  end)

  it("takes the names of 2012", function()
    local s = echo({ tls = false, ssl_cert_filepath = path "good.pem", ssl_private_key_path = path "good.key" })
    exchange(s)
  end)

  it("raises where a file cannot be used, and listens on nothing", function()
    local _, message = pcall(websockets.context, { port = "any", ssl_cert_filepath = path "missing.pem",
      ssl_private_key_filepath = path "good.key" })
    assert.matches("websocket could not create context: cannot read the certificate file '.*missing.pem': No such",
      message)
  end)

  it("speaks TLS 1.2 and 1.3, and nothing older", function()
    local s = echo()
    for name, version in pairs({ tlsv1_2 = "TLSv1.2", tlsv1_3 = "TLSv1.3" }) do
      s.client_tls = { protocol = name }
      assert.equal(version, exchange(s).connection.transport.socket:info("protocol"))
    end
    local ssl = require("ssl")
    s.client_tls = assert(ssl.newcontext({ mode = "client", protocol = "tlsv1_1", ciphers = "ALL:@SECLEVEL=0" }))
    local why, message = refusal(s)
    assert.equal("tls", why)
    assert.matches("alert protocol version", message)
  end)

  it("chooses http/1.1 of the protocols that a client offers (ALPN), and goes on without", function()
    local s = echo()
    for offer, chosen in pairs({ [{ "h2", "http/1.1" }] = "http/1.1", [{ "http/1.1" }] = "http/1.1" }) do
      s.client_tls = { alpn = offer }
      assert.equal(chosen, exchange(s).connection.transport.socket:getalpn())
    end
    s.client_tls = { alpn = { "h2" } }
    assert.is_nil(exchange(s).connection.transport.socket:getalpn())
  end)

  it("chooses the certificate by the client's server name (SNI)", function()
    local s = echo({ tls = { certificates = { pair("good"), pair("wildcard"), pair("second") } } })
    for name, shown in pairs({
      ["localhost"] = "good", ["one.test"] = "good", ["two.test"] = "wildcard", ["TWO.test"] = "wildcard",
      ["second.test"] = "second", ["a.b.test"] = "good", ["elsewhere"] = "good", [false] = "good",
    }) do
      s.client_options = { server_name = name or nil }
      assert.is_true(is_shown(shown, exchange(s)), tostring(name))
    end
  end)

  describe("that requires client certificates", function()
    it("serves a client whose certificate is of its CA", function()
      local s = echo({ options = 2, ssl_ca_filepath = path "ca.pem" })
      for _, version in ipairs({ "tlsv1_2", "tlsv1_3" }) do
        s.client_tls = pair("client", { protocol = version })
        exchange(s)
        exchange(s)
      end
    end)

    it("refuses one without, and one of another CA", function()
      local s = echo({ options = 2, ssl_ca_filepath = path "ca.pem" })
      for _, version in ipairs({ "tlsv1_2", "tlsv1_3" }) do
        s.client_tls = { protocol = version }
        local why, message = refusal(s)
        assert.equal("tls", why)
        assert.matches(version == "tlsv1_3" and "certificate required" or "handshake failure", message)
        s.client_tls = pair("client_other", { protocol = version })
        why, message = refusal(s)
        assert.equal("tls", why)
        assert.matches("unknown ca", message)
      end
    end)
  end)

  describe("reload_tls", function()
    local folder, s

    local function put(name)
      for _, kind in ipairs({ ".pem", ".key" }) do
        local file = assert(io.open(folder .. "/own" .. kind, "wb"))
        file:write(certificates.read(name .. kind))
        file:close()
      end
    end

    after_each(function()
      if folder then require("spec.support.child").remove_folder(folder) end
      folder = nil
    end)

    before_each(function()
      if tls.lack() then return end
      local child = require("spec.support.child")
      folder = child.make_folder()
      put("good")
      s = echo({ tls = { certificate = folder .. "/own.pem", key = folder .. "/own.key" } })
    end)

    it("gives new connections the new certificate; the old ones go on", function()
      local old = exchange(s)
      -- One whose TLS handshake has begun.
      local between = client.connect(s)
      between.connection:send("x", 1)
      s:turns(3)
      assert.is_true(is_shown("good", old))
      put("renewed")
      assert.is_true(s.context:reload_tls())
      collectgarbage()
      collectgarbage()
      assert.is_true(is_shown("renewed", exchange(s)))
      old:text("still here")
      assert.same({ 1, "still here" }, { old:message() })
      between:send(client.request("/"))
      assert.equal(404, (between:response()))
    end)

    it("changes nothing where a file does not work", function()
      local file = assert(io.open(folder .. "/own.pem", "wb"))
      file:write(certificates.read("none.pem"))
      file:close()
      local result, message, code = s.context:reload_tls()
      assert.same({ nil, "tls" }, { result, code })
      assert.matches("cannot use the certificate file", message)
      assert.is_true(is_shown("good", exchange(s)))
    end)

    it("raises where there is no TLS", function()
      local plain = server.start({})
      assert.error_matches(function() plain.context:reload_tls() end, "this context has no listener with TLS")
    end)
  end)

  describe("that gets plain HTTP", function()
    local function ask(bytes)
      local s = echo()
      s.secure = nil
      local c = client.connect(s)
      c:send(bytes)
      return c, s
    end

    it("answers 400 and says that this is TLS", function()
      for _, method in ipairs({ "GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "CONNECT" }) do
        local c = ask(client.request("/", nil, method))
        local status, headers, body = c:response()
        assert.equal(400, status)
        assert.equal("close", headers.connection)
        assert.matches("This port speaks TLS", body)
        assert.equal("closed", c:await_end())
      end
    end)

    it("answers it also where much more comes", function()
      local c = ask(client.request("/", "Content-Length: 300000\r\n", "POST", ("x"):rep(300000)))
      assert.equal(400, (c:response()))
    end)

    it("ends without a word what is neither TLS nor HTTP", function()
      local c = ask("SSH-2.0-OpenSSH_9.2\r\n")
      assert.equal("", c:drain())
    end)
  end)

  it("logs why a TLS handshake failed", function()
    local lines = {}
    local s = echo({ log = function(level, text) lines[#lines + 1] = level .. " " .. text end })
    s.secure = nil
    client.connect(s):close()
    s:pump(function() return lines[1] end)
    assert.matches("^info TLS handshake.* failed: ", lines[1])
    client.connect(s):send("no TLS")
    s:pump(function() return lines[2] end)
    assert.equal("info TLS handshake with 127.0.0.1 failed: wrong version number", lines[2])
  end)

  it("gives the TLS handshake as long as handshake_timeout", function()
    local s = echo({ handshake_timeout = 3 })
    s:fake_time()
    s.secure = nil
    local silent, begun = client.connect(s), client.connect(s)
    begun:send("\22\3\1\1\0")
    s:settle()
    s:advance(2.9)
    silent:poll()
    assert.is_false(silent.ended)
    s:advance(0.2)
    silent:await_end()
    begun:await_end()
  end)

  it("ws:tls tells protocol, cipher and what was negotiated; nothing without TLS and after the end", function()
    local told, after = nil, "not asked"
    local s = echo({ protocols = { echo = function(ws)
      told = ws:tls()
      ws:on_closed(function() after = ws:tls() end)
    end } })
    s.client_tls = { alpn = { "http/1.1" }, protocol = "tlsv1_3" }
    s.client_options = { server_name = "one.test" }
    local c = client.open(s, "echo")
    assert.same({ "TLSv1.3", "one.test", "http/1.1", false }, { told.protocol, told.server_name, told.alpn,
      told.verified })
    assert.matches("^TLS_", told.cipher)
    assert.is_true(told.bits >= 128)
    assert.is_nil(told.certificate)
    c:close()
    s:pump(function() return after ~= "not asked" end)
    -- The descriptor is closed last.
    assert.is_true(after == nil or after.protocol == "TLSv1.3")
    local kept
    local plain = server.start({ protocols = { echo = function(ws) kept = ws end } })
    client.open(plain, "echo")
    assert.is_nil(kept:tls())
    plain:stop()
    assert.is_nil(kept:tls())
    s:settle()
  end)

  it("ws:tls tells the certificate of a client, and whether it was verified", function()
    local told
    local s = echo({ options = 2, ssl_ca_filepath = path "ca.pem", protocols = { echo = function(ws)
      told = ws:tls()
    end } })
    s.client_tls = pair("client")
    client.open(s, "echo")
    assert.is_true(told.verified)
    local one = told.certificate
    assert.same({ "CN=websockets", "CN=websockets test authority" }, { one.subject, one.issuer })
    assert.same({}, one.names)
    assert.matches("^%x+$", one.fingerprint)
    assert.equal(64, #one.fingerprint)
    local now = socket.gettime()
    assert.is_true(one.not_before <= now and now - one.not_before < 86400)
    assert.equal(9 * 86400, one.not_after - one.not_before)
    assert.equal((certificates.read("client.pem"):gsub("%s", "")), (one.pem:gsub("%s", "")))
  end)

  -- A server with two connections over TLS and one without, which got a broadcast; `handler` is called with each.
  local function both(handler)
    local s = echo({ protocols = { echo = handler or server.echo } })
    local listening = socket.bind("127.0.0.1", 0)
    s.on_stop = function() listening:close() end
    local plain = { port = select(2, listening:getsockname()), clients = s.clients }
    function plain.pump(_, ...) return s:pump(...) end
    local clients = { client.open(s, "echo"), client.open(s, "echo") }
    clients[3] = client.connect(plain)
    assert(s.context:adopt(listening:accept()))
    clients[3]:send(client.upgrade({ protocol = "echo" }))
    assert.equal(101, (clients[3]:read_head()))
    assert.equal(0, s.context:broadcast("echo", "to all"))
    for i = 1, 3 do assert.same({ 1, "to all" }, { clients[i]:message() }) end
    return s, clients
  end

  it("broadcasts to connections with and without TLS", function() both() end)

  it("publishes to connections with and without TLS", function()
    local list = {}
    local s, clients = both(function(ws)
      list[#list + 1] = ws
      ws:subscribe("t")
    end)
    for left_out = 0, 3 do
      assert.is_true(s.context:publish("t", "published", nil, { except = list[left_out] }))
      for i = 1, 3 do
        if i ~= left_out then assert.same({ 1, "published" }, { clients[i]:message() }) end
      end
      s:settle()
      for i = 1, 3 do assert.is_nil(clients[i]:try_message()) end
    end
  end)
end)
