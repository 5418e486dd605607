--- Redirects: chains, loops, other origins, from and to TLS.
-- @module spec.behaviour.redirect_spec
local certificates = require("spec.support.certificates")
local engine = require("websockets.engine.pure")
local inside = require("spec.support.inside")
local peer = require("spec.support.peer")
local ports = require("spec.support.ports")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

-- Answers the next request with a redirect; gives its head and headers.
local function redirect(p, location, status)
  local head, headers = p:read_request()
  p:send(("HTTP/1.1 %d There\r\nLocation: %s\r\nContent-Length: 5\r\n\r\nthere"):format(status or 302, location))
  return head, headers
end

-- One server after the other, as many as there are.
local function chain(count)
  local s, list = server.start({ default = server.echo }), {}
  for i = 1, count do list[i] = peer.listen(s) end
  return s, list
end

describe("a redirect", function()
  after_each(server.stop_all)

  for _, status in ipairs({ 301, 302, 303, 307, 308 }) do
    it(status .. " is followed to another server, of ours, with the same connection", function()
      local s, list = chain(1)
      local before = inside.leftovers(s.context)
      local ws, log = list[1]:connect()
      redirect(list[1], ("http://127.0.0.1:%d/next"):format(s.port), status)
      s:pump(function() return log.open > 0 or log.closed[1] end, "on_open")
      assert.same({ 1, {} }, { log.open, log.closed })
      assert.equal(101, (ws:response()))
      ws:write("hello")
      s:pump(function() return log.messages[1] end, "a message")
      assert.equal("closed", list[1]:await_end())
      ws:close(1000)
      peer.await_refusal(s, { closed = log.closed, open = 0 })
      s:pump(function() return inside.connections(s.context) == 0 end, "the server's end")
      assert.equal(before, inside.leftovers(s.context))
    end)
  end

  it("may be relative, and asks again with the same headers and credentials", function()
    local s = server.start({ protocols = {} })
    local p = peer.listen(s)
    local ws, log = peer.watch(s.context:connect(("ws://joe:x@127.0.0.1:%d/a/b?c"):format(p.port),
      { headers = { Cookie = "s=1", ["X-Key"] = "k" }, protocols = { "chat" } }))
    local _, first = redirect(p, "../d?e=f#g")
    p:await_end()
    p:take_next()
    local head, headers = p:read_request()
    assert.matches("^GET /d%?e=f HTTP", head)
    for _, name in ipairs({ "host", "cookie", "x-key", "sec-websocket-protocol", "authorization" }) do
      assert.equal(first[name], headers[name])
    end
    assert.equal("Basic " .. engine.base64("joe:x"), headers.authorization)
    assert.are_not.equal(first["sec-websocket-key"], headers["sec-websocket-key"])
    p:send(peer.answer(headers, { ["Sec-WebSocket-Protocol"] = "chat" }))
    s:pump(function() return log.open > 0 end, "on_open")
    assert.equal("chat", ws:get_protocol())
  end)

  it("to another origin carries no credentials and cookies, nor does one back", function()
    local s, list = chain(2)
    for _, information in ipairs({ "joe:x@", "" }) do
      local _, log = peer.watch(s.context:connect(("ws://%s127.0.0.1:%d/"):format(information, list[1].port), {
        headers = { Cookie = "s=1", ["X-Key"] = "k", Authorization = information == "" and "Bearer t" or nil },
        origin = "http://here",
      }))
      local _, first = redirect(list[1], ("//127.0.0.1:%d/"):format(list[2].port))
      assert.same({ "s=1", "k" }, { first.cookie, first["x-key"] })
      assert.is_string(first.authorization)
      local _, second = redirect(list[2], ("http://ann:y@127.0.0.1:%d/"):format(list[1].port))
      assert.same({ "k", "http://here" }, { second["x-key"], second.origin })
      assert.same({}, { second.cookie, second.authorization })
      list[1]:take_next()
      local headers = list[1]:accept()
      assert.same({}, { headers.cookie, headers.authorization })
      s:pump(function() return log.open > 0 end, "on_open")
      for i = 1, 2 do list[i]:take_next() end
    end
  end)

  it("leads to another peer, also where the first one has been asked for", function()
    local s = server.start({ interf = "127.0.0.2", default = server.echo })
    local p = peer.listen(s)
    local ws, log = p:connect()
    local head = p:read_request()
    assert.same({ "string", "127.0.0.1" }, { type(head), (ws:get_peer_addresses()) })
    p:send(("HTTP/1.1 302 There\r\nLocation: http://127.0.0.2:%d/\r\n\r\n"):format(s.port))
    s:pump(function() return log.open > 0 or log.closed[1] end, "on_open")
    assert.same({ 1, "127.0.0.2" }, { log.open, (ws:get_peer_addresses()) })
  end)

  it("keeps the option host within the origin", function()
    local s, list = chain(2)
    list[1]:connect({ host = "chat.example" })
    assert.equal("chat.example", select(2, redirect(list[1], "/next")).host)
    list[1]:await_end()
    list[1]:take_next()
    local other = ("127.0.0.1:%d"):format(list[2].port)
    assert.equal("chat.example", select(2, redirect(list[1], "http://" .. other)).host)
    assert.equal(other, list[2]:accept().host)
    assert.equal(2, #list)
    s:settle()
  end)

  it("is followed five times, not six times", function()
    local s, list = chain(6)
    for _, count in ipairs({ 5, 6 }) do
      local ws, log = list[1]:connect()
      for i = 1, count do
        redirect(list[i], ("ws://127.0.0.1:%d/"):format(list[i + 1] and list[i + 1].port or s.port))
      end
      if count == 5 then
        list[6]:accept()
        s:pump(function() return log.open > 0 end, "on_open")
      else
        assert.same({ 1006, "the server answered 302 There: more than 5 redirects", false, "redirect" },
          peer.await_refusal(s, log))
        local status, headers, body = ws:response()
        assert.same({ 302, ("ws://127.0.0.1:%d/"):format(s.port), "there" }, { status, headers.location, body })
      end
      for _, p in ipairs(list) do p:take_next() end
    end
  end)

  it("in a loop ends", function()
    local count = 0
    local s = server.start({ on_http = function() end, on_handshake = function()
      count = count + 1
      return false, 307, { Location = "/" }
    end, default = function() end })
    local _, log = peer.watch(s.context:connect(("ws://127.0.0.1:%d/"):format(s.port), { max_redirects = 20 }))
    assert.same({ 1006, "the server answered 307 Temporary Redirect: more than 20 redirects", false, "redirect" },
      peer.await_refusal(s, log))
    assert.equal(21, count)
  end)

  it("is a refusal with max_redirects = 0", function()
    local s, list = chain(1)
    local ws, log = list[1]:connect({ max_redirects = 0 })
    redirect(list[1], "/next")
    assert.same({ 1006, "the server answered 302 There", false, "status" }, peer.await_refusal(s, log))
    assert.equal("/next", select(2, ws:response()).location)
  end)

  it("goes on with the deadline of the first", function()
    local s, list = chain(2)
    s:fake_time()
    local _, log = list[1]:connect({ timeout = 3 })
    list[1]:read_request()
    s:advance(2)
    list[1]:send(("HTTP/1.1 302 x\r\nLocation: ws://127.0.0.1:%d/\r\n\r\n"):format(list[2].port))
    list[2]:read_request()
    s:advance(0.9)
    assert.same({}, log.closed)
    s:advance(0.2)
    assert.same({ 1006, ("no connection to 127.0.0.1:%d in time"):format(list[2].port), false, "timeout" },
      peer.await_refusal(s, log))
  end)

  it("to where nobody listens fails as connecting does", function()
    local s, list = chain(2)
    local port, _, log = ports.refusing(), list[1]:connect()
    redirect(list[1], ("ws://127.0.0.1:%d/"):format(port))
    assert.same({ 1006, ("cannot connect to 127.0.0.1:%d: connection refused"):format(port), false, "refused" },
      peer.await_refusal(s, log))
  end)

  it("to a name looks it up", function()
    local s, list = chain(1)
    local _, log = list[1]:connect({ timeout = false })
    redirect(list[1], "http://nothing.invalid/")
    assert.equal("host", peer.await_refusal(s, log)[4])
  end)

  it("goes through the proxy, by another tunnel", function()
    local s, list = chain(1)
    local p = list[1]
    local _, log = peer.watch(s.context:connect("ws://one.invalid/", { proxy = "http://127.0.0.1:" .. p.port }))
    assert.matches("^CONNECT one%.invalid:80 ", (p:read_request()))
    p:send("HTTP/1.1 200 OK\r\n\r\n")
    redirect(p, "//two.invalid:81/x")
    p:await_end()
    p:take_next()
    assert.matches("^CONNECT two%.invalid:81 ", (p:read_request()))
    p:send("HTTP/1.1 200 OK\r\n\r\n")
    assert.equal("two.invalid:81", p:accept().host)
    s:pump(function() return log.open > 0 end, "on_open")
  end)

  it("tells an outside loop of each descriptor, and of its end", function()
    local watched, most = {}, 0
    local s = server.start({
      default = server.echo,
      on_add_fd = function(fd)
        assert.is_nil(watched[fd])
        watched[fd] = true
        most = most + 1
      end,
      on_del_fd = function(fd)
        assert.is_true(watched[fd])
        watched[fd] = nil
      end,
    })
    local before = {}
    for fd in pairs(watched) do before[fd] = true end
    most = 0
    local p = peer.listen(s)
    local ws, log = p:connect()
    redirect(p, ("ws://127.0.0.1:%d/"):format(s.port))
    s:pump(function() return log.open > 0 end, "on_open")
    ws:close()
    s:pump(function() return log.closed[1] and inside.connections(s.context) == 0 end, "both ends")
    assert.equal(3, most)
    assert.same(before, watched)
  end)

  it("is followed again after the connection broke, with credentials for the first server only", function()
    local s, list = chain(2)
    local _, log = list[1]:connect({
      reconnect = { min = 0.01, max = 0.02 }, max_redirects = 1, headers = { Cookie = "s=1" },
    })
    for i = 1, 2 do
      assert.equal("s=1", select(2, redirect(list[1], ("ws://127.0.0.1:%d/"):format(list[2].port))).cookie)
      assert.is_nil(list[2]:accept().cookie)
      s:pump(function() return log.open == i end, "on_open")
      list[2].connection:close()
      list[1]:take_next()
      list[2]:take_next()
    end
    assert.same({}, log.closed)
  end)

  it("can be cut short by close", function()
    local s, list = chain(2)
    local ws, log = list[1]:connect()
    redirect(list[1], ("ws://127.0.0.1:%d/"):format(list[2].port))
    list[2]:read_request()
    ws:close()
    assert.same({ 1006, "", false, "closed" }, peer.await_refusal(s, log))
  end)
end)

describe("a redirect of a wss server", function()
  after_each(server.stop_all)
  local check = tls.test(it, pending)

  check("leads from ws to wss", function()
    local s, list = chain(1)
    local secure = peer.listen(s, nil, certificates.pair("good"))
    local _, log = list[1]:connect({ tls = { cafile = certificates.path("ca.pem") } })
    redirect(list[1], ("https://localhost:%d/"):format(secure.port))
    secure:accept()
    s:pump(function() return log.open > 0 end, "on_open")
  end)

  check("leads from wss to wss, where the certificate is verified anew", function()
    local s = server.start({ protocols = {} })
    for _, name in ipairs({ "good", "wrong_host" }) do
      local first = peer.listen(s, nil, certificates.pair("good"))
      local second = peer.listen(s, nil, certificates.pair(name))
      local _, log = peer.watch(s.context:connect(("wss://localhost:%d/"):format(first.port),
        { tls = { cafile = certificates.path("ca.pem") }, headers = { Cookie = "a" } }))
      redirect(first, ("//localhost:%d/"):format(second.port))
      if name == "good" then
        assert.is_nil(second:accept().cookie)
        s:pump(function() return log.open > 0 end, "on_open")
      else
        s:pump(function()
          second:poll()
          return log.closed[1]
        end, "on_closed")
        assert.equal("certificate", log.closed[1][4])
      end
    end
  end)

  check("never leads to ws", function()
    local s, list = chain(1)
    local secure = peer.listen(s, nil, certificates.pair("good"))
    local _, log = peer.watch(s.context:connect(("wss://localhost:%d/"):format(secure.port),
      { tls = { cafile = certificates.path("ca.pem") } }))
    redirect(secure, ("ws://127.0.0.1:%d/"):format(list[1].port))
    local expected = "the server answered 302 There: it leads from wss to ws, to 127.0.0.1:" .. list[1].port
    assert.same({ 1006, expected, false, "redirect" }, peer.await_refusal(s, log))
    list[1]:poll()
    assert.is_false(list[1].connection)
  end)
end)
