--- Connections through a proxy that the spec plays itself, byte by byte.
-- @module spec.behaviour.tunnel_spec
local child = require("spec.support.child")
local engine = require("websockets.engine.pure")
local peer = require("spec.support.peer")
local ports = require("spec.support.ports")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local URL = "ws://server.invalid/chat"
local CONNECTED = "HTTP/1.1 200 Connection established\r\n\r\n"
-- What a SOCKS5 proxy says to one who has a user: the method, the credentials are right, the reply.
local SOCKS_TALK = { "\5\2", "\1\0", "\5\0\0\1\0\0\0\0\0\0" }
local SOCKS_HEARD = { "\5\2\0\2", "\1\3joe\1x", "\5\1\0\3\14server.invalid\0\80" }

local function expect(p, bytes)
  p.server:pump(function()
    p:poll()
    return #p.buffer >= #bytes
  end, "bytes for the proxy")
  assert.equal(bytes, p.buffer:sub(1, #bytes))
  p.buffer = p.buffer:sub(#bytes + 1)
end

local KINDS = {
  ["an HTTP proxy"] = {
    scheme = "http", talk = { CONNECTED }, heard = {
      "CONNECT server.invalid:80 HTTP/1.1\r\nHost: server.invalid:80\r\nProxy-Authorization: Basic "
        .. engine.base64("joe:x") .. "\r\n\r\n",
    },
  },
  ["a SOCKS5 proxy"] = { scheme = "socks5", talk = SOCKS_TALK, heard = SOCKS_HEARD },
}

for name, kind in pairs(KINDS) do
  describe("a connection through " .. name, function()
    after_each(server.stop_all)

    local function start(options)
      local s = server.start({ protocols = {} })
      local p = peer.listen(s)
      if options and options.timeout then s:fake_time() end
      local all = { proxy = ("%s://joe:x@127.0.0.1:%d"):format(kind.scheme, p.port) }
      for option, value in pairs(options or {}) do all[option] = value end
      return s, p, peer.watch(s.context:connect(URL, all))
    end

    -- The proxy says everything up to the last piece of its talk.
    local function talk(p, count)
      for i = 1, count do
        expect(p, kind.heard[i])
        p:send(kind.talk[i])
      end
    end

    it("opens, and sends nothing of the server's to the proxy", function()
      local s, p, ws, log = start({ headers = { Cookie = "secret" } })
      talk(p, #kind.talk)
      local headers = p:accept()
      assert.same({ "server.invalid", "secret" }, { headers.host, headers.cookie })
      assert.is_nil(headers["proxy-authorization"])
      s:pump(function() return log.open > 0 end, "on_open")
      ws:write("hello")
      assert.same({ 1, "hello" }, { p:message() })
      p:write(2, "back")
      s:pump(function() return log.messages[1] end, "a message")
      assert.same({ { "back", 1 } }, log.messages)
    end)

    it("opens however its answers are cut, and loses nothing that comes with the last", function()
      for _, size in ipairs({ 1, 2, 1000 }) do
        local s, p, _, log = start()
        for i, bytes in ipairs(kind.talk) do
          expect(p, kind.heard[i])
          for from = 1, #bytes, size do
            p:send(bytes:sub(from, from + size - 1))
            s:turns(2)
          end
        end
        p:accept(nil, "\129\2hi")
        s:pump(function() return log.messages[1] end, "a message")
        assert.same({ { "hi", 0 } }, log.messages)
        server.stop_all()
      end
    end)

    it("takes what comes together with the last answer for the server's", function()
      local s, p, _, log = start()
      talk(p, #kind.talk - 1)
      expect(p, kind.heard[#kind.heard])
      p:send(kind.talk[#kind.talk] .. "HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")
      assert.same({ 1006, "the server answered 418 Teapot", false, "status" }, peer.await_refusal(s, log))
    end)

    it("ends where the proxy cuts its answers, at each byte", function()
      local whole = table.concat(kind.talk)
      for cut = 0, #whole - 1 do
        local s, p, _, log = start()
        local said = 0
        for i, bytes in ipairs(kind.talk) do
          if cut >= said then
            expect(p, kind.heard[i])
            p:send(bytes:sub(1, cut - said))
          end
          said = said + #bytes
        end
        p:close()
        local _, message, _, why = (table.unpack or unpack)(peer.await_refusal(s, log))
        assert.equal("proxy", why)
        assert.matches("^no way to server%.invalid: the proxy 127%.0%.0%.1:%d+ ended the connection", message)
        server.stop_all()
      end
    end)

    it("ends after the timeout where the proxy stalls, at each step", function()
      for steps = 0, #kind.talk do
        local s, p, _, log = start({ timeout = 3 })
        talk(p, steps)
        if kind.heard[steps + 1] then expect(p, kind.heard[steps + 1]) else p:read_request() end
        s:advance(2.5)
        assert.same({}, log.closed)
        s:advance(1)
        local _, message, _, why = (table.unpack or unpack)(peer.await_refusal(s, log))
        assert.equal("timeout", why)
        local expected = "no connection to server.invalid in time"
        if steps < #kind.talk then expected = expected .. ", by way of the proxy 127.0.0.1:" .. p.port end
        assert.equal(expected, message)
        server.stop_all()
      end
    end)

    it("can be closed while the proxy works", function()
      local s, p, ws, log = start()
      expect(p, kind.heard[1])
      ws:close()
      assert.same({ 1006, "", false, "closed" }, peer.await_refusal(s, log))
      assert.equal("closed", p:await_end())
    end)

    it("names the proxy where nobody listens there", function()
      local s = server.start({ protocols = {} })
      local port = ports.refusing()
      local _, log = peer.watch(s.context:connect(URL, { proxy = ("%s://127.0.0.1:%d"):format(kind.scheme, port) }))
      assert.same({ 1006, ("cannot connect to the proxy 127.0.0.1:%d: connection refused"):format(port), false,
        "proxy" }, peer.await_refusal(s, log))
    end)

    it("names the proxy that cannot be resolved", function()
      local s = server.start({ protocols = {} })
      local _, log = peer.watch(s.context:connect(URL, { proxy = kind.scheme .. "://proxy.invalid", timeout = false }))
      local ended = peer.await_refusal(s, log)
      assert.equal("proxy", ended[4])
      assert.matches("^cannot resolve proxy%.invalid: ", ended[2])
    end)
  end)
end

describe("a connection through a proxy that refuses", function()
  after_each(server.stop_all)

  for what, case in pairs({
    ["an HTTP status"] = { "http", "HTTP/1.1 403 Filtered\r\n\r\nno", "answered 403 Filtered" },
    ["HTTP, wants credentials"] = {
      "http", "HTTP/1.1 407 Auth\r\n\r\n", "answered 407 Auth: it wants a user and a password",
    },
    ["HTTP, what is no answer"] = { "http", "\5\255", "gave an answer that is not HTTP" },
    ["SOCKS5, wants credentials"] = { "socks5", "\5\255", "wants a user and a password" },
    ["SOCKS5, what is no answer"] = { "socks5h", "HTTP/1.1 400 Bad\r\n\r\n", "does not speak SOCKS5" },
    ["SOCKS5, a reply"] = { "socks5h", "\5\0\5\4", "answered host unreachable (SOCKS5 reply 4)" },
  }) do
    it("is told what: " .. what, function()
      local s = server.start({ protocols = {} })
      local p = peer.listen(s)
      local _, log = peer.watch(s.context:connect(URL, { proxy = ("%s://127.0.0.1:%d"):format(case[1], p.port) }))
      s:pump(function()
        p:poll()
        return #p.buffer > 2
      end)
      p:send(case[2])
      local expected = ("no way to server.invalid: the proxy 127.0.0.1:%d %s"):format(p.port, case[3])
      assert.same({ 1006, expected, false, "proxy" }, peer.await_refusal(s, log))
      assert.equal("closed", p:await_end())
    end)
  end

  tls.test(it, pending)("may send nothing before a TLS handshake", function()
    local s = server.start({ protocols = {} })
    local p = peer.listen(s)
    local _, log = peer.watch(s.context:connect("wss://server.invalid/", { proxy = "http://127.0.0.1:" .. p.port }))
    assert.matches("^CONNECT server%.invalid:443 ", (p:read_request()))
    p:send(CONNECTED .. "x")
    assert.same({ 1006, ("no way to server.invalid: the proxy 127.0.0.1:%d sent bytes before the TLS handshake"):format(
      p.port), false, "proxy" }, peer.await_refusal(s, log))
  end)

  it("is not flooded", function()
    local s = server.start({ protocols = {} })
    local p = peer.listen(s)
    local _, log = peer.watch(s.context:connect(URL, { proxy = "http://127.0.0.1:" .. p.port }))
    p:read_request()
    p:send("HTTP/1.1 200 OK\r\n")
    local count = 0
    s:pump(function()
      p.connection:send("X: " .. ("x"):rep(1000) .. "\r\n")
      count = count + 1
      return log.closed[1]
    end, "the end of a flood")
    assert.equal("proxy", peer.await_refusal(s, log)[4])
    assert.matches("gave an answer that has too long a head$", log.closed[1][2])
    assert.is_true(count < 1000)
  end)
end)

describe("a proxy of the environment", function()
  -- A server and a client in one program; it writes why the connection ended.
  local PROGRAM = [[
    local websockets = require("websockets")
    local context = websockets.context({ port = "any", interf = "127.0.0.1", default = function() end })
    local ws, message, code = context:connect("ws://127.0.0.1:" .. context:get_port(), { proxy = OPTION })
    if not ws then
      io.write(code, " ", message)
      os.exit(0)
    end
    ws:on_open(function() ws:close(1000) end)
    ws:on_closed(function(_, _, reason, clean, why)
      io.write(clean and "open" or why .. " " .. reason)
      context:stop()
    end)
    context:run()
    context:destroy()
  ]]

  local function outcome(environment, option)
    local paths = ("LUA_PATH=%s LUA_CPATH=%s"):format(child.quote("lua/?.lua;lua/?/init.lua;" .. package.path),
      child.quote(package.cpath))
    return (child.run(("env -u no_proxy -u NO_PROXY %s %s %s -e %s"):format(environment, paths,
      child.quote(child.this_lua()), child.quote((PROGRAM:gsub("OPTION", option or "nil"))))))
  end

  it("is used, but not for what no_proxy names, and not where the option says otherwise", function()
    local port = ports.refusing()
    local refused = ("proxy cannot connect to the proxy 127.0.0.1:%d: connection refused"):format(port)
    local url = "http://127.0.0.1:" .. port
    assert.equal("open", outcome(""))
    assert.equal(refused, outcome("http_proxy=" .. url))
    assert.equal(refused, outcome("ALL_PROXY=socks5://127.0.0.1:" .. port))
    assert.equal("open", outcome("HTTP_PROXY=" .. url))
    assert.equal("open", outcome(("http_proxy=%s no_proxy=localhost,127.0.0.0/8"):format(url)))
    assert.equal("open", outcome("http_proxy=" .. url, "false"))
    assert.equal(refused, outcome("http_proxy=http://other.invalid no_proxy='*'", ("%q"):format(url)))
  end)

  it("that cannot be used makes connect fail, without its password", function()
    local text = outcome("http_proxy=https://joe:secret@proxy")
    assert.matches("^proxy the proxy in the environment variable http_proxy cannot be used: ", text)
    assert.is_nil(text:find("secret", 1, true))
  end)
end)
