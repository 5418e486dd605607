local engine = require("websockets.engine.pure")
local inside = require("spec.support.inside")
local peer = require("spec.support.peer")
local ports = require("spec.support.ports")
local server = require("spec.support.server")
local socket = require("socket")

local function start(options)
  local s = server.start(options or { protocols = {} })
  return s, peer.listen(s)
end

local function closed(s, log)
  s:pump(function() return log.closed[1] end, "on_closed")
  assert.equal(1, #log.closed)
  return log.closed[1]
end

local function opened(s, log)
  s:pump(function() return log.open > 0 end, "on_open")
end

describe("connect", function()
  after_each(server.stop_all)

  it("shares the loop with servers: open, text, binary, close", function()
    local handler, seen = server.recorder(server.echo)
    local s = server.start({ protocols = { a = handler } })
    local ws, log = peer.watch(s.context:connect(("ws://127.0.0.1:%d/"):format(s.port), { protocols = { "x", "a" } }))
    assert.equal(0, log.open)
    opened(s, log)
    assert.equal("a", ws:get_protocol())
    assert.equal(0, ws:write("text"))
    assert.equal(0, ws:write("\0\255", 1))
    s:pump(function() return log.messages[2] end)
    assert.same({ { "text", 0 }, { "\0\255", 1 } }, log.messages)
    ws:close(4000, "done")
    assert.same({ 4000, "", true, "closed" }, closed(s, log))
    s:pump(function() return seen.closed[1] end)
    assert.same({ 4000, "done", true, "closed" }, { select(2, (table.unpack or unpack)(seen.closed[1])) })
    assert.equal(1, log.open)
    assert.equal(-1, ws:get_socket_fd())
  end)

  it("works from inside callbacks", function()
    local log
    local s
    s = server.start({ protocols = { a = function(accepted)
      local upstream = s.context:connect(("ws://127.0.0.1:%d/"):format(s.port), { protocols = { "b" } })
      log = select(2, peer.watch(upstream))
      accepted:close()
    end, b = server.echo } })
    peer.watch(s.context:connect(("ws://127.0.0.1:%d/"):format(s.port), { protocols = { "a" } }))
    s:pump(function() return log and log.open == 1 end)
  end)

  it("works on a context without a listener", function()
    local websockets = require("websockets")
    local s, p = start()
    local context = websockets.context({})
    local _, log = peer.watch(context:connect("ws://127.0.0.1:" .. p.port))
    p.server = { pump = function(_, condition, what)
      return s:pump(function()
        context:service(0)
        return condition()
      end, what)
    end }
    p:accept()
    s:pump(function()
      context:service(0)
      return log.open == 1
    end)
    context:destroy()
    assert.same({ 1001, "", false, "destroyed" }, log.closed[1])
  end)

  it("asks with target, Host, Origin, subprotocols and headers as given", function()
    local _, p = start()
    p:connect({
      protocols = { "chat", "superchat" }, origin = "https://example.com", timeout = 3,
      headers = { Cookie = "a=b", ["X-List"] = { "1", 2 } },
    }, "/path/to?query=%20x")
    local head, headers = p:read_request()
    assert.matches("^GET /path/to%?query=%%20x HTTP/1%.1\r\n", head)
    assert.equal("127.0.0.1:" .. p.port, headers.host)
    assert.equal("websocket", headers.upgrade)
    assert.equal("Upgrade", headers.connection)
    assert.equal("13", headers["sec-websocket-version"])
    assert.equal("chat, superchat", headers["sec-websocket-protocol"])
    assert.equal("https://example.com", headers.origin)
    assert.equal("a=b", headers.cookie)
    assert.matches("\r\nX%-List: 1\r\nX%-List: 2\r\n", head)
    assert.is_nil(headers["sec-websocket-extensions"])
  end)

  it("sends user information of the URL as Basic credentials", function()
    local s, p = start()
    for information, expected in pairs({
      ["joe:a%3Ab"] = "joe:a:b", joe = "joe:", [":x"] = ":x", ["%C3%A4:"] = "\195\164:",
    }) do
      local _, log = peer.watch(s.context:connect(("ws://%s@127.0.0.1:%d/"):format(information, p.port)))
      local headers = p:accept()
      assert.equal("Basic " .. engine.base64(expected), headers.authorization)
      assert.equal("127.0.0.1:" .. p.port, headers.host)
      opened(s, log)
      p = peer.listen(s)
    end
    local ws = s.context:connect(("ws://@127.0.0.1:%d/"):format(p.port))
    assert.is_nil(p:accept().authorization)
    assert.is_nil(tostring(ws):find("joe", 1, true))
  end)

  it("asks without Origin and subprotocol by default, each time with another key of 16 bytes", function()
    local s = start()
    local keys = {}
    for _ = 1, 2 do
      local p = peer.listen(s)
      p:connect()
      local _, headers = p:read_request()
      assert.is_nil(headers.origin)
      assert.is_nil(headers["sec-websocket-protocol"])
      local key = headers["sec-websocket-key"]
      assert.equal(16, #engine.unbase64(key))
      assert.is_nil(keys[key])
      keys[key] = true
    end
  end)

  it("takes an answer cut anywhere, and messages right after it", function()
    local s = start()
    local frames = "\129\2hi\130\1x"
    local p = peer.listen(s)
    local _, log = p:connect()
    local _, headers = p:read_request()
    for byte in (peer.answer(headers) .. frames):gmatch(".") do
      p:send(byte)
      s:turns(2)
    end
    s:pump(function() return log.messages[2] end)
    assert.same({ { "hi", 0 }, { "x", 1 } }, log.messages)

    p = peer.listen(s)
    _, log = p:connect()
    p:accept(nil, frames)
    s:pump(function() return log.messages[2] end)
    assert.equal(1, log.open)
  end)

  it("is refused: on_closed hears 1006, a message and 'refused', after connect has returned", function()
    local s, p = start()
    p.port = ports.refusing()
    local _, log = p:connect()
    assert.same({}, log.closed)
    local code, message, clean, why = (table.unpack or unpack)(closed(s, log))
    assert.same({ 1006, false, "refused" }, { code, clean, why })
    assert.equal(("cannot connect to 127.0.0.1:%d: connection refused"):format(p.port), message)
    assert.equal(0, log.open)
  end)

  it("tries the next address where the first one refuses", function()
    local s = start()
    local p = peer.listen(s, "::1")
    if not p then pending("needs IPv6") end
    local ws, log = peer.watch(s.context:connect("ws://localhost:" .. p.port))
    p:accept()
    opened(s, log)
    assert.equal("::1", (ws:get_peer_addresses()))
  end)

  it("connects to an IPv6 address", function()
    local s = start()
    local p = peer.listen(s, "::1")
    if not p then pending("needs IPv6") end
    local _, log = peer.watch(s.context:connect(("ws://[::1]:%d/"):format(p.port)))
    local headers = p:accept()
    opened(s, log)
    assert.equal(("[::1]:%d"):format(p.port), headers.host)
  end)

  it("without an answer ends after timeout, which counts from connect to open", function()
    local s, p = start()
    s:fake_time()
    local _, log = p:connect({ timeout = 3 })
    p:read_request()
    s:advance(2.9)
    assert.same({}, log.closed)
    s:advance(0.2)
    assert.same({ 1006, ("no connection to 127.0.0.1:%d in time"):format(p.port), false, "timeout" }, log.closed[1])
    assert.equal(0, log.open)
  end)

  it("has handshake_timeout as its default timeout", function()
    local s, p = start({ handshake_timeout = 2 })
    s:fake_time()
    local _, log = p:connect()
    p:read_request()
    s:advance(2.1)
    assert.equal("timeout", log.closed[1][4])
  end)

  it("hears of a server that ends instead of answering", function()
    local s, p = start()
    local _, log = p:connect()
    p:read_request()
    p:close()
    local ended = closed(s, log)
    assert.same({ 1006, false }, { ended[1], ended[3] })
    assert.is_true(ended[4] == "closed" or ended[4] == "reset")
  end)

  -- LuaSocket is asked only where there is no accelerator; `spec/behaviour/lookup_spec.lua` has the accelerator's own.
  local function with_names(getaddrinfo, work)
    local dns = socket.dns
    socket.dns = { getaddrinfo = getaddrinfo }
    local is_good, first, second = pcall(work)
    socket.dns = dns
    assert(is_good, first)
    return first, second
  end

  it("tells that a name cannot be resolved", function()
    local s = start()
    local _, log = with_names(function() return nil, "not known" end, function()
      return peer.watch(s.context:connect("ws://nothing.invalid/", { timeout = false }))
    end)
    assert.same({}, log.closed)
    local code, message, clean, why = (table.unpack or unpack)(closed(s, log))
    assert.same({ 1006, false, "host" }, { code, clean, why })
    assert.matches("^cannot resolve nothing%.invalid: %a", message)
    if not server.is_native then assert.matches(": not known$", message) end
    assert.equal(0, log.open)
  end)

  if not server.is_native then
    it("resolves a name in order of its addresses", function()
      local s, p = start()
      local _, log = with_names(function(name)
        assert(name == "some.test")
        return { { family = "inet6", addr = "::1" }, { family = "inet", addr = "127.0.0.1" } }
      end, function()
        return peer.watch(s.context:connect(("ws://some.test:%d/"):format(p.port)))
      end)
      assert.equal("some.test:" .. p.port, p:accept().host)
      opened(s, log)
    end)
  end

  it("without random bytes fails with a clear error", function()
    local s, p = start()
    local undo = inside.replace(s.context, "engine",
      { random = function() return nil, "no random bytes: gone", "entropy" end })
    local _, log = p:connect()
    assert.same({ 1006, "no random bytes: gone", false, "entropy" }, closed(s, log))
    undo()
  end)

  it("gives nil, message and 'limit' where no descriptor can be watched", function()
    local s, p = start()
    local undo = inside.replace(s.context, "poller", { can_watch = function() return false end })
    local ws, message, code = s.context:connect("ws://127.0.0.1:" .. p.port)
    undo()
    assert.is_nil(ws)
    assert.equal("no more connections can be watched", message)
    assert.equal("limit", code)
  end)
end)

describe("a connection that is not open yet", function()
  after_each(server.stop_all)

  it("takes no messages", function()
    local s, p = start()
    local ws, log = p:connect()
    assert.same({ -1, "type" }, { ws:write("early") })
    assert.same({ -1, "type" }, { ws:ping() })
    assert.same({ -1, "type" }, { ws:write("raw", 3) })
    assert.same({ -1, "type" }, { ws:respond(200) })
    assert.equal(1, ws:rx_flow_control(false))
    p:accept()
    opened(s, log)
    assert.equal(0, ws:write("now"))
    assert.same({ 1, "now" }, { p:message() })
  end)

  it("can be closed: on_closed without on_open", function()
    for _, code in ipairs({ 0, 1000, false }) do
      local s, p = start()
      local ws, log = p:connect()
      p:read_request()
      ws:close(code or nil)
      assert.same({ 1006, "", false, "closed" }, closed(s, log))
      assert.equal(0, log.open)
      assert.equal("closed", p:await_end())
      server.stop_all()
    end
  end)

  it("ends with the context", function()
    local s, p = start()
    local _, log = p:connect()
    s.context:destroy()
    assert.same({ { 1006, "", false, "destroyed" } }, log.closed)
  end)
end)
