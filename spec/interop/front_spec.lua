--- Servers behind nginx and HAProxy, with the configurations of docs/deployment.md.
-- @module spec.interop.front_spec

local certificates = require "spec.support.certificates"
local child = require "spec.support.child"
local client = require "spec.support.client"
local front = require "spec.support.front"
local needs = require "spec.support.needs"
local peer = require "spec.support.peer"
local ports = require "spec.support.ports"
local server = require "spec.support.server"
local socket = require "socket"
local tls = require "spec.support.tls"
local uv = require("spec.support.luv").library()

local SIZE = 512 * 1024
-- After so long a proxy cuts a silent connection.
local CUT_SECONDS = 2
local TRUSTED = { "127.0.0.1" }

-- What a request shows of the client.
local function show(ws)
  local request = ws:request()
  ws:respond(200, nil, table.concat({ ws:get_peer_addresses(), request.scheme, request.host }, " "))
end

-- A client of a proxy, from an address of its own.
local function connect(s, proxy)
  return client.connect(setmetatable({ port = proxy.port }, { __index = s }), function(connection)
    connection:bind("127.0.0.2", 0)
  end)
end

for _, name in ipairs({ "nginx", "haproxy" }) do
  describe("a server behind " .. name, function()
    local missing = needs.reason(name)
    if missing then
      pending(missing)
      return
    end

    after_each(function()
      server.stop_all()
      front.stop_all()
    end)

    local function start(options, given)
      options.default = options.default or server.echo
      options.trusted_proxies = TRUSTED
      local s = server.start(options)
      return s, front[name](s.port, given or {})
    end

    local function dial(s, proxy, options, scheme)
      return peer.watch(s.context:connect(("%s://localhost:%d/"):format(scheme or "ws", proxy.port), options))
    end

    local function opened(s, log)
      s:pump(function() return log.open == 1 or log.closed[1] end, "on_open")
      assert.same({}, log.closed)
    end

    local function echo(s, ws, log)
      local text = ("0123456789abcdef"):rep(SIZE / 16)
      ws:write("hello")
      ws:write(text, 1)
      s:pump(function() return log.messages[2] end, "echoes")
      assert.same({ "hello", 0 }, log.messages[1])
      assert.is_true(log.messages[2][1] == text)
    end

    it("echoes messages, and closes in order", function()
      local s, proxy = start({})
      local ws, log = dial(s, proxy)
      opened(s, log)
      echo(s, ws, log)
      ws:close(1000)
      s:pump(function() return log.closed[1] end, "on_closed")
      assert.same({ 1000, "", true, "closed" }, log.closed[1])
    end)

    it("compresses", function()
      local has_codec = pcall(server.start, { compression = true })
      if not has_codec then return pending("needs lua-zlib or the accelerator") end
      local s, proxy = start({ compression = true })
      local ws, log = dial(s, proxy, { compression = true })
      opened(s, log)
      local _, headers = ws:response()
      assert.matches("permessage%-deflate", headers["sec-websocket-extensions"])
      echo(s, ws, log)
    end)

    it("knows the client's address, also of one that invents another, and the host", function()
      local s, proxy = start({ on_http = show })
      local c = connect(s, proxy)
      c:send(client.request("/", "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: gopher\r\n"
        .. "X-Forwarded-Host: b.example\r\n"))
      assert.equal("127.0.0.2 http 127.0.0.1", (select(3, c:response())))
      local handler, log = server.recorder()
      s, proxy = start({ default = handler })
      c = connect(s, proxy)
      c:send(client.upgrade({ headers = "Origin: http://127.0.0.1\r\n" }))
      assert.equal(101, (c:read_head()))
      s:pump(function() return log.ws[1] end)
      assert.equal("127.0.0.2", (log.ws[1]:get_peer_addresses()))
    end)

    it("refuses pages of another host there too", function()
      local s, proxy = start({})
      local c = connect(s, proxy)
      c:send(client.upgrade({ headers = "Origin: http://other.example\r\n" }))
      assert.equal(403, (c:response()))
    end)

    tls.test(it, pending)("has TLS by the proxy, and knows of it", function()
      local schemes = {}
      local s, proxy = start({ default = function(ws)
        schemes[#schemes + 1] = ws:request().scheme
        server.echo(ws)
      end }, { tls = certificates.pair("good") })
      local ws, log = dial(s, proxy, { tls = { cafile = certificates.path("ca.pem") } }, "wss")
      opened(s, log)
      echo(s, ws, log)
      assert.same({ "https" }, schemes)
    end)

    -- A silent connection with pings and one without, until the proxy has cut the second and might have cut the first.
    local function be_silent()
      local s, proxy = start({ ping_interval = 0.3 }, { seconds = CUT_SECONDS })
      local quiet, cut = start({ ping_interval = false }, { seconds = CUT_SECONDS })
      local _, log = dial(s, proxy, { ping_interval = false })
      local _, other = dial(quiet, cut, { ping_interval = false })
      opened(s, log)
      local is_open, since = false, socket.gettime()
      quiet:pump(function()
        s:turn(0)
        is_open = is_open or other.open == 1
        return other.closed[1] and socket.gettime() > since + 1.5 * CUT_SECONDS
      end, "the end of the connection without pings")
      assert.is_true(is_open)
      assert.equal(1006, other.closed[1][1])
      return log
    end

    it("keeps silent connections by pings, which the proxy would cut", function()
      local log
      -- A machine with much else to do may keep the pings of one try back.
      for _ = 1, 3 do
        log = be_silent()
        if not log.closed[1] then break end
        server.stop_all()
        front.stop_all()
      end
      assert.same({}, log.closed)
    end)

    it("ends for the clients when it goes, and is there again for the next", function()
      -- First: in plain Lua a program that is started keeps the sockets that are open.
      local port = ports.closed()
      local proxy = front[name](port, {})
      local s = server.start({ port = port, default = server.echo, trusted_proxies = TRUSTED })
      local outside = server.start({ port = 0, interf = nil })
      -- HAProxy may have noticed that the server was away.
      local function reach()
        local log = select(2, dial(outside, proxy))
        outside:pump(function()
          pcall(s.turn, s, 0)
          if log.closed[1] then log = select(2, dial(outside, proxy)) end
          return log.open == 1
        end, "an open connection")
        return log
      end
      local log = reach()
      s.context:drain(20)
      outside:pump(function()
        pcall(s.turn, s, 0)
        return log.closed[1]
      end, "on_closed")
      assert.same({ 1001, true }, { log.closed[1][1], log.closed[1][3] })
      s = server.start({ port = port, default = server.echo, trusted_proxies = TRUSTED })
      reach()
    end)

    it("may be several workers that are replaced: no client is refused", function()
      if not uv then return pending("needs lua-luv") end
      local s = server.start({ port = 0 })
      local path = "LUA_PATH_" .. _VERSION:match("%d+%.%d+"):gsub("%.", "_")
      for _, variable in ipairs({ "LUA_PATH", path }) do uv.os_setenv(variable, os.getenv("PWD") .. "/lua/?.lua;;") end
      local rolled, failures, open, is_over = 0, {}, 0, false
      local launcher = require("websockets").workers({
        port = "any", interf = "127.0.0.1", count = 2, drain_seconds = 10, command = { child.this_lua(), "-e", [[
          require("websockets").context{ socket = "worker", trusted_proxies = { "127.0.0.1" },
            default = function(ws) ws:write("hello") end }:run()
        ]] },
        log = function(_, message)
          if message == "all workers have been replaced" then rolled = rolled + 1 end
        end,
      })
      launcher:start()
      local proxy = front[name](launcher:get_port(), {})
      local function again()
        local is_open = false
        local ws = s.context:connect(("ws://127.0.0.1:%d/"):format(proxy.port), { timeout = 20 })
        ws:on_receive(function() is_open, open = true, open + 1 end)
        ws:on_closed(function(_, _, reason)
          if is_open then open = open - 1 else failures[#failures + 1] = reason end
          if not is_over then again() end
        end)
      end
      local turn = s.turn
      function s.turn(self, ms)
        uv.run("nowait")
        turn(self, ms)
      end
      for _ = 1, 10 do again() end
      s:pump(function() return open == 10 end, "all clients")
      for round = 1, 2 do
        launcher:roll()
        s:pump(function() return rolled == round end, "other workers")
        s:pump(function() return open == 10 end, "all clients again")
      end
      is_over = true
      launcher:stop()
      s:pump(function() return launcher.launcher.state == "ended" end, "the end of the workers")
      for _, variable in ipairs({ "LUA_PATH", path }) do uv.os_unsetenv(variable) end
      assert.same({}, failures)
    end)
  end)
end

describe("a server with proxy_protocol behind haproxy", function()
  local missing = needs.reason("haproxy")
  if missing then
    pending(missing)
    return
  end

  after_each(function()
    server.stop_all()
    front.stop_all()
  end)

  for _, version in ipairs({ "send-proxy", "send-proxy-v2" }) do
    it("knows the client's address by " .. version, function()
      local options = { on_http = show, default = server.echo, proxy_protocol = true, trusted_proxies = TRUSTED }
      local s = server.start(options)
      local c = connect(s, front.haproxy_bytes(s.port, version))
      c:send(client.request("/"))
      assert.equal("127.0.0.2 http 127.0.0.1", (select(3, c:response())))
      c:send(client.upgrade())
      assert.equal(101, (c:read_head()))
      c:text(("x"):rep(SIZE))
      assert.equal(SIZE, #select(2, c:message()))
    end)

    tls.test(it, pending)("has TLS of its own, and knows the client's address by " .. version, function()
      local s = tls.server({ on_http = show, proxy_protocol = true })
      local c = connect(s, front.haproxy_bytes(s.port, version))
      c:send(client.request("/"))
      assert.equal("127.0.0.2 https 127.0.0.1", (select(3, c:response())))
    end)
  end
end)
