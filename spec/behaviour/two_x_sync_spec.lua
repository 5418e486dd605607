--- The client of the API of 2.x that waits, `websocket.client.sync`.
-- @module spec.behaviour.two_x_sync_spec
local certificates = require("spec.support.certificates")
local ports = require("spec.support.ports")
local scripted = require("spec.support.scripted")
local socket = require("socket")
local tls = require("spec.support.tls")
local websocket = require("websocket")

local ECHO = "ws:on_receive(function(_, data, kind) ws:write(data, kind) end)"
local ECHO_AS_X = [[server:open(nil, { ["Sec-WebSocket-Protocol"] = "x" })
  while true do local opcode, payload = server:message() if opcode == 8 then break end server:write(opcode, payload) end
  server:write(8, "\3\232")]]

local check = tls.test(it, pending)

local function secure_echo(certificate)
  local peer = scripted.start(("server:secure(%q, %q) %s"):format(certificates.path(certificate .. ".pem"),
    certificates.path(certificate .. ".key"), [[server:open() local opcode, payload = server:message()
    if opcode == 1 then server:write(opcode, payload) server:message() end server:write(8, "\\3\\232")]]))
  peer.url = ("wss://localhost:%d/"):format(peer.port)
  return peer
end

local function connected(peer, options, ...)
  local client = websocket.client.sync(options)
  assert(client:connect(peer.url, ...))
  return client
end

describe("websocket.client.sync", function()
  after_each(scripted.stop_all)

  it("connects, sends, receives and closes", function()
    local peer = scripted.serve(ECHO .. "ws:on_closed(function(_, ...) say(...) end)")
    local client = websocket.client.new()
    assert.equal("CLOSED", client.state)
    assert.is_true((client:connect(peer.url)))
    assert.equal("OPEN", client.state)
    assert.is_true(client:send("text"))
    assert.same({ "text", websocket.TEXT }, { client:receive() })
    assert.is_true(client:send("\0\255", websocket.BINARY))
    assert.same({ "\0\255", websocket.BINARY }, { client:receive() })
    for _, size in ipairs({ 0, 127, 65534, 65536, 300000 }) do
      client:send(("m"):rep(size))
      assert.equal(("m"):rep(size), (client:receive()))
    end
    assert.same({ true, 4001, "" }, { client:close(4001, "bye") })
    assert.equal("CLOSED", client.state)
    assert.equal("4001 bye true closed", peer:said())
  end)

  it("gives the subprotocol and the headers of the answer", function()
    for _, offer in ipairs({ "x", { "y", "x" } }) do
      local peer = scripted.start(ECHO_AS_X)
      local client = websocket.client.sync()
      local is_open, protocol, headers = client:connect(peer.url, offer)
      assert.same({ true, "x" }, { is_open, protocol })
      assert.same({ "x", "websocket" }, { headers["sec-websocket-protocol"], headers.upgrade })
      assert.is_string(headers["sec-websocket-accept"])
      assert.same({ true, 1000, "" }, { client:close() })
    end
  end)

  it("offers no subprotocol where none is given", function()
    for _, offer in ipairs({ "", { "" }, false }) do
      local peer = scripted.start([[server:open() server.say(server.head:find("Protocol") and "offered" or "none")]])
      connected(peer, nil, offer or nil)
      assert.equal("none", peer:said())
    end
  end)

  it("answers in a closed state with the shapes of 2.x", function()
    local client = websocket.client.sync({ timeout = 1 })
    for _ = 1, 2 do
      assert.same({ nil, false, 1006, "wrong state" }, { client:send("x") })
      assert.same({ nil, nil, false, 1006, "wrong state" }, { client:receive() })
      assert.same({ false, 1006, "wrong state" }, { client:close() })
      client = connected(scripted.serve(ECHO))
      assert.same({ nil, "wrong state" }, { client:connect("ws://127.0.0.1:1/") })
      client:close()
    end
  end)

  it("says why there is no connection, and may connect again", function()
    local client = websocket.client.sync()
    assert.same({ nil, "connection refused" }, { client:connect("ws://127.0.0.1:" .. ports.refusing()) })
    assert.same({ nil, "bad protocol" }, { client:connect("wsx://127.0.0.1/") })
    assert.error_matches(function() client:connect("127.0.0.1") end, "Invalid URL:127.0.0.1", 1, true)
    local peer = scripted.start([[server:request()
      server:send("HTTP/1.1 403 No\r\nA: b\r\nContent-Length: 0\r\n\r\n")]])
    local is_open, why, headers = client:connect(peer.url)
    assert.same({ "the server answered 403 No", "b" }, { why, headers.a })
    assert.is_nil(is_open)
    assert.is_true((client:connect(scripted.serve(ECHO).url)))
  end)

  it("tells how the connection ended", function()
    local client = connected(scripted.start([[server:open(server.frame(1, "a") .. server.frame(8, "\15\161bye"))
      server:message()]]))
    local closed = 0
    function client:on_close()
      assert(self == client)
      closed = closed + 1
    end
    assert.equal("a", (client:receive()))
    assert.same({ nil, nil, true, 4001, "bye" }, { client:receive() })
    assert.same({ "CLOSED", 1 }, { client.state, closed })
    client = connected(scripted.start([[server:open() server:close()]]))
    assert.same({ nil, nil, false, 1006, "closed" }, { client:receive() })
    client = connected(scripted.start([[server:open(server.frame(1, "\255")) server:message()]]))
    local message, opcode, was_clean, code = client:receive()
    assert.same({ false, 1007 }, { was_clean, code })
    assert.is_nil(message or opcode)
  end)

  it("lives on after a timeout, which is the fifth result", function()
    local peer = scripted.start([[server:open() server:await_signal() server:write(1, "late") server:message()]])
    -- Connecting has to be done within this too.
    local client = connected(peer, { timeout = 2 })
    assert.same({ nil, nil, false, 1006, "timeout" }, { client:receive() })
    client.sock:settimeout(0)
    assert.same({ nil, nil, false, 1006, "timeout" }, { client:receive() })
    assert.equal("OPEN", client.state)
    peer:go_on()
    client.sock:settimeout(10)
    assert.same({ "late", 1 }, { client:receive() })
  end)

  it("has its timeout for connect", function()
    local peer = scripted.start([[server:request() server:await_signal()]])
    local begin = socket.gettime()
    assert.same({ nil, "timeout" }, { websocket.client.sync({ timeout = 0.1 }):connect(peer.url) })
    assert.is_true(socket.gettime() - begin < 10)
    peer:go_on()
  end)

  it("has a field sock that programs may poll and ask", function()
    local peer = scripted.start([[server:open() server:await_signal()
      server:send(server.frame(1, "a") .. server.frame(1, "b"))
      server:message()]])
    local client = connected(peer)
    local sock = client.sock
    assert.same({ "127.0.0.1", peer.port }, { sock:getpeername() })
    assert.matches("^tcp{client}: ", tostring(sock))
    assert.equal(1, sock:setoption("tcp-nodelay", true))
    assert.same({}, { (next((socket.select({ sock }, nil, 0)))) })
    peer:go_on()
    local got = {}
    while #got < 2 do
      assert.equal(sock, socket.select({ sock }, nil, 10)[1])
      local message = client:receive()
      got[#got + 1] = message
    end
    assert.same({ "a", "b" }, got)
    sock:close()
    assert.same({ false, 1006 }, { select(3, client:receive()), (select(4, client:receive())) })
    assert.equal("CLOSED", client.state)
  end)

  it("answers pings by itself, and hands out no control frame", function()
    local peer = scripted.start([[server:open(server.frame(9, "") .. server.frame(1, "he", false)
        .. server.frame(9, "p") .. server.frame(10, "q") .. server.frame(0, "llo"))
      server.say(server:message()) server.say(server:message()) server.say(server:message())]])
    local client = connected(peer)
    assert.same({ "hello", 1 }, { client:receive() })
    assert.is_true(client:send("mine", websocket.PING))
    assert.same({ "10 ", "10 p", "9 mine" }, { peer:said(), peer:said(), peer:said() })
  end)

  it("refuses what may not be sent, and goes on", function()
    local client = connected(scripted.serve(ECHO))
    assert.same({ nil, false, 1007, "utf8" }, { client:send("\255") })
    assert.same({ nil, false, 1006, "type" }, { client:send("x", 3) })
    assert.same({ nil, false, 1006, "type" }, { client:send(("x"):rep(126), websocket.PING) })
    assert.error_matches(function() client:send({}) end, "bad argument #1 to 'send'")
    assert.is_true(client:send(12))
    assert.same({ "12", 1 }, { client:receive() })
  end)

  it("leaves a close code that may not be sent, and a reason, out", function()
    for _, arguments in ipairs({ { 1006, "x" }, { 1005 }, { 42 }, { 1000, "\255" }, { 1000, ("x"):rep(124) } }) do
      local peer = scripted.serve("ws:on_closed(function(_, code, reason) say(code, #reason) end)")
      assert.is_true((connected(peer):close(arguments[1], arguments[2])))
      assert.equal(arguments[1] == 1000 and "1000 0" or "1005 0", peer:said())
    end
  end)

  check("speaks wss, with the parameters of LuaSec that 2.x takes", function()
    local peer = secure_echo("good")
    local client = websocket.client.sync({ timeout = 5 })
    assert.is_true((client:connect(peer.url, nil, {
      mode = "client", protocol = "tlsv1", options = "all", verify = "peer", cafile = certificates.path("ca.pem"),
    })))
    client:send("secret")
    assert.same({ "secret", 1 }, { client:receive() })
    client:close()
  end)

  check("verifies a server unless it is told not to", function()
    for _, params in ipairs({ { cafile = certificates.path("ca.pem") }, {} }) do
      local client = websocket.client.sync({ timeout = 5 })
      assert.is_nil((client:connect(secure_echo("unknown").url, nil, params)))
      assert.equal("CLOSED", client.state)
    end
    assert.is_nil((websocket.client.sync({ timeout = 5 }):connect(secure_echo("good").url)))
    local client = websocket.client.sync({ timeout = 5 })
    assert.is_true((client:connect(secure_echo("unknown").url, nil, { verify = "none" })))
    client:close()
  end)
end)
