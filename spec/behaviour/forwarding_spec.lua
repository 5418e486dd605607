--- Clients behind proxies: their addresses, by header fields and by the PROXY protocol.
-- @module spec.behaviour.forwarding_spec
local client = require("spec.support.client")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local SIGNATURE = "\r\n\r\n\0\r\nQUIT\n"
local LINE = "PROXY TCP4 198.51.100.1 127.0.0.1 4711 80\r\n"
local BINARY = SIGNATURE .. "\33\17\0\18\198\51\100\2\127\0\0\1\17\92\0\80\4\0\3abc"
local HEALTH = SIGNATURE .. "\32\0\0\0"

-- What a request shows of the client.
local function show(ws)
  local request = ws:request()
  local name, ip = ws:get_peer_addresses()
  assert(name == ip and ip == request.ip)
  ws:respond(200, nil, table.concat({ request.ip, request.scheme, tostring(request.host) }, " "))
end

local function ask(c, headers)
  c:send(client.request("/", headers))
  local _, _, body = c:response()
  return body
end

describe("trusted_proxies", function()
  after_each(server.stop_all)

  it("tell address, scheme and host of each request", function()
    local s = server.start({ on_http = show, trusted_proxies = { "127.0.0.0/8", "10.0.0.0/8" } })
    local c = client.connect(s)
    assert.equal("127.0.0.1 http 127.0.0.1", ask(c))
    assert.equal("198.51.100.1 http 127.0.0.1", ask(c, "X-Forwarded-For: 203.0.113.1, 198.51.100.1, 10.0.0.1\r\n"))
    assert.equal("2001:db8::1 https a.example:8443", ask(c, "X-Forwarded-For: 203.0.113.1\r\n"
      .. "X-Forwarded-For: 2001:DB8:0::1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example:8443\r\n"))
    assert.equal("127.0.0.1 http 127.0.0.1", ask(c))
    assert.equal("127.0.0.1 http 127.0.0.1", ask(c, "Forwarded: for=198.51.100.1;proto=https\r\n"))
  end)

  it("do so for an open WebSocket too, also where the request is read late", function()
    local handler, log = server.recorder()
    local s = server.start({ default = handler, trusted_proxies = { "127.0.0.1" } })
    local c = client.open(s, { headers = "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n"
      .. "X-Forwarded-Host: a.example\r\n" })
    local ws = log.ws[1]
    assert.equal("198.51.100.1", (ws:get_peer_addresses()))
    c:close()
    s:pump(function() return log.closed[1] end)
    local request = ws:request()
    assert.same({ "198.51.100.1", "https", "a.example" }, { request.ip, request.scheme, request.host })
    assert.equal("198.51.100.1", (ws:get_peer_addresses()))
  end)

  it("alone are believed", function()
    for _, options in ipairs({ {}, { trusted_proxies = { "10.0.0.0/8", "unix" } } }) do
      options.on_http = show
      local c = client.connect(server.start(options))
      assert.equal("127.0.0.1 http 127.0.0.1", ask(c, "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n"
        .. "X-Forwarded-Host: a.example\r\n"))
    end
  end)

  it("tell the host with which origins are compared", function()
    local function status(options, headers)
      options.default = server.echo
      local c = client.connect(server.start(options))
      c:send(client.upgrade({ headers = "Origin: https://a.example\r\n" .. headers }))
      return (c:read_head())
    end
    local told = "X-Forwarded-Host: a.example\r\n"
    assert.equal(403, status({ trusted_proxies = { "127.0.0.1" } }, ""))
    assert.equal(101, status({ trusted_proxies = { "127.0.0.1" } }, told))
    assert.equal(403, status({ trusted_proxies = { "127.0.0.1" } }, "X-Forwarded-Host: b.example\r\n"))
    assert.equal(403, status({ trusted_proxies = { "10.0.0.1" } }, told))
    assert.equal(403, status({}, told))
  end)

  it("are not for routes", function()
    assert.error_matches(function() server.start({ routes = { ["/"] = { trusted_proxies = { "::1" } } } }) end,
      "option 'routes%['/'%].trusted_proxies' is for the whole context")
  end)
end)

-- Servers without and with TLS, where a client sends `header` first, in such pieces.
local function each_kind(work)
  it("(plain)", function()
    work(server.start, function(s, header, size)
      local c = client.connect(s)
      for at = 1, #header, size or #header do
        c:send(header:sub(at, at + (size or #header) - 1))
        s:turns(2)
      end
      return c
    end)
  end)

  tls.test(it, pending)("(TLS)", function()
    work(tls.server, function(s, header, size)
      local secure = s.secure
      function s.secure(connection)
        for at = 1, #header, size or #header do
          connection:send(header:sub(at, at + (size or #header) - 1))
          if size then s:turns(2) end
        end
        s.secure = secure
        return secure(connection)
      end
      return client.connect(s)
    end)
  end)
end

describe("proxy_protocol", function()
  after_each(server.stop_all)

  describe("takes the address of both versions", function()
    each_kind(function(start, connect)
      local s = start({ on_http = show, default = server.echo, proxy_protocol = true })
      local scheme = start == server.start and "http" or "https"
      for header, ip in pairs({ [LINE] = "198.51.100.1", [BINARY] = "198.51.100.2", [HEALTH] = "127.0.0.1",
        ["PROXY UNKNOWN\r\n"] = "127.0.0.1", ["PROXY TCP6 2001:db8::1 ::1 1 2\r\n"] = "2001:db8::1" }) do
        local c = connect(s, header)
        assert.equal(ip .. " " .. scheme .. " 127.0.0.1", ask(c))
        c:send(client.upgrade())
        assert.equal(101, (c:read_head()))
        c:text("x")
        assert.same({ 1, "x" }, { c:message() })
      end
    end)
  end)

  describe("takes a header that comes cut at each byte", function()
    each_kind(function(start, connect)
      local s = start({ on_http = show, proxy_protocol = true })
      for header, ip in pairs({ [LINE] = "198.51.100.1", [BINARY] = "198.51.100.2", [HEALTH] = "127.0.0.1" }) do
        local c = connect(s, header, 1)
        assert.matches("^" .. ip:gsub("%.", "%%.") .. " https? 127", ask(c))
      end
    end)
  end)

  it("takes what follows it at once, cut at each byte", function()
    local s = server.start({ on_http = show, proxy_protocol = true })
    local text = BINARY .. client.request("/")
    for stop = 1, #text - 1 do
      local c = client.connect(s)
      c.connection:send(text:sub(1, stop))
      s:turns(2)
      c.connection:send(text:sub(stop + 1))
      assert.equal("198.51.100.2 http 127.0.0.1", (select(3, c:response())))
      c:close()
    end
  end)

  it("with trusted_proxies leads on to what those tell", function()
    local both = { "127.0.0.1", "198.51.100.0/24" }
    local s = server.start({ on_http = show, proxy_protocol = true, trusted_proxies = both })
    local c = client.connect(s)
    c:send(LINE)
    assert.equal("192.0.2.9 https 127.0.0.1", ask(c, "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n"))
    s = server.start({ on_http = show, proxy_protocol = true, trusted_proxies = { "127.0.0.1" } })
    c = client.connect(s)
    c:send(LINE)
    assert.equal("198.51.100.1 http 127.0.0.1", ask(c, "X-Forwarded-For: 192.0.2.9\r\n"))
  end)

  describe("ends a connection of no trusted proxy", function()
    each_kind(function(start, connect)
      local logged = {}
      local s = start({ on_http = show, proxy_protocol = true, trusted_proxies = { "10.0.0.1" },
        log = function(_, message) logged[#logged + 1] = message end })
      local is_open, c = pcall(connect, s, LINE)
      if is_open then c:await_end() end
      s:pump(function() return logged[1] end)
      assert.matches("a connection of 127.0.0.1 ends: it is none of trusted_proxies", logged[1])
    end)
  end)

  describe("ends a connection with anything else, and answers nothing", function()
    each_kind(function(start)
      local logged = {}
      local function log(_, message) logged[#logged + 1] = message end
      local s = start({ on_http = show, proxy_protocol = true, log = log })
      s.secure = nil
      for i, text in ipairs({ client.request("/"), "\22\3\1\2\0\1\0\1\252\3\3", "\0", "PROXY TCP4\r\n          ",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "PROXY " .. ("x"):rep(200),
        SIGNATURE .. "\33\18\0\12" .. ("x"):rep(12), SIGNATURE .. "\33\17\255\255" .. ("x"):rep(5000),
        SIGNATURE .. "\33\17\0\11" .. ("x"):rep(11) }) do
        local c = client.connect(s)
        c.connection:send(text)
        s:pump(function() return #logged == i end, "the end of a connection")
        assert.matches("^a connection of 127.0.0.1 ends: proxy_protocol expects a header, and what has come is ",
          logged[i])
        c:await_end()
        assert.equal("", c:take())
      end
    end)
  end)

  describe("ends a connection whose header does not come in time, and one that ends before", function()
    each_kind(function(start)
      local s = start({ on_http = show, proxy_protocol = true, handshake_timeout = 3 })
      s.secure = nil
      s:fake_time()
      local silent, slow, gone = client.connect(s), client.connect(s), client.connect(s)
      slow:send(LINE:sub(1, 20))
      gone:send(LINE:sub(1, 20))
      s:settle()
      gone:close()
      s:advance(2.9)
      slow:send(LINE:sub(21, 22))
      s:settle()
      assert.is_false(silent:poll() or slow:poll())
      assert.is_false(silent.ended or slow.ended)
      s:advance(0.2)
      silent:await_end()
      slow:await_end()
    end)
  end)

  it("does not concern connections that the application has accepted", function()
    local socket = require("socket")
    local listening = socket.bind("127.0.0.1", 0)
    local s = server.start({ port = 0, on_http = show, proxy_protocol = true })
    s.port = select(2, listening:getsockname())
    local c = client.connect(s)
    s.context:adopt(listening:accept())
    assert.equal("127.0.0.1 http 127.0.0.1", ask(c))
    listening:close()
  end)

  it("counts connections without header towards max_half_open", function()
    local s = server.start({ on_http = show, proxy_protocol = true, max_half_open = 2 })
    local first = client.connect(s)
    s:settle()
    client.connect(s)
    client.connect(s)
    first:await_end()
  end)
end)
