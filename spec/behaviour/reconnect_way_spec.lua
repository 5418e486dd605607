--- With the option `reconnect` each try goes the whole way to the server again.
-- @module spec.behaviour.reconnect_way_spec
local certificates = require("spec.support.certificates")
local inside = require("spec.support.inside")
local peer = require("spec.support.peer")
local ports = require("spec.support.ports")
local reconnecting = require("spec.support.reconnecting")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local await, connect = reconnecting.await, reconnecting.connect

describe("a connection that is opened again", function()
  after_each(server.stop_all)

  local check = tls.test(it, pending)

  check("goes by TLS again, until the server's certificate is refused", function()
    local s, other = server.start({ port = 0 }), nil
    local function serve(port, name)
      other = server.start({
        port = port, tls = certificates.pair(name), default = server.echo, log = function() end,
      })
    end
    function s:turn(ms)
      self.context:service(ms)
      if not inside.is_destroyed(other.context) then other.context:service(0) end
    end
    serve(ports.closed(), "good")
    local port = other.port
    local ws, log = connect(s, ("wss://localhost:%d/"):format(port), nil, {
      tls = { cafile = certificates.path("ca.pem") },
    })
    for round = 1, 3 do
      await(s, log.opened, round)
      assert.is_true(ws:tls().verified)
      ws:write("round " .. round)
      await(s, log.messages, round)
      log.waits = {}
      other.context:destroy()
      s:pump(function() return log.waits[2] end)
      assert.same({ "closed", "refused" }, { log.waits[1][2], log.waits[2][2] })
      assert.is_nil(ws:tls())
      serve(port, round < 3 and "good" or "expired")
    end
    await(s, log.closed)
    assert.same({ "certificate", 3 }, { log.closed[1][4], #log.opened })
    assert.matches("expired", log.closed[1][2])
    s:settle()
    assert.equal(0, inside.connections(s.context))
    assert.is_nil(s.context:timeout())
  end)

  it("follows redirects again, from the first place, and ends at one that leads nowhere", function()
    local s = server.start({ port = 0 })
    local first, second = peer.listen(s), peer.listen(s)
    local ws, log = connect(s, first.port)
    local function redirect(location)
      first:read_request()
      first:send("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " .. location .. "\r\n\r\n")
      first:drop()
    end
    for round = 1, 3 do
      redirect(("ws://127.0.0.1:%d/there"):format(second.port))
      second:accept()
      await(s, log.opened, round)
      second:drop()
      await(s, log.waits, round)
    end
    redirect("ftp://127.0.0.1/")
    await(s, log.closed)
    assert.equal("redirect", log.closed[1][4])
    assert.equal(302, (ws:response()))
  end)

  for what, case in pairs({
    HTTP = { "http", "HTTP/1.1 503 Busy\r\n\r\n", "HTTP/1.1 407 Auth\r\n\r\n", "it wants a user and a password" },
    ["HTTP with credentials"] = {
      "http", "HTTP/1.1 502 Bad\r\n\r\n", "HTTP/1.1 407 Auth\r\n\r\n", "it refuses these credentials", "joe:x@",
    },
    SOCKS5 = { "socks5", "\5\0\5\4", "\5\255", "wants a user and a password" },
    ["SOCKS5 with credentials"] = { "socks5", "\5\0\5\5", "\5\2\1\1", "refuses these credentials", "joe:x@" },
  }) do
    it("ends at a proxy that refuses its credentials, and goes on after what else a proxy does: " .. what, function()
      local s = server.start({ port = 0 })
      local p = peer.listen(s)
      local _, log = connect(s, "ws://server.invalid/", nil, {
        proxy = ("%s://%s127.0.0.1:%d"):format(case[1], case[5] or "", p.port),
      })
      for _, answer in ipairs({ case[2], case[3] }) do
        s:pump(function()
          p:poll()
          return #p.buffer > 2
        end, "a client at the proxy")
        p:send(answer)
        p:drop()
      end
      await(s, log.closed)
      assert.same({ 1006, false, "proxy" }, { log.closed[1][1], log.closed[1][3], log.closed[1][4] })
      assert.equal(case[4], log.closed[1][2]:sub(-#case[4]))
      assert.same({ 1, "proxy" }, { #log.waits, log.waits[1][2] })
    end)
  end

  it("tells in response what the server answered to the last try", function()
    local s = server.start({ port = 0 })
    local p = peer.listen(s)
    local ws, log = connect(s, p.port)
    local told = {}
    ws:on_reconnect(function(...)
      told[#told + 1] = { ws:response() }
      log.waits[#log.waits + 1] = { select(2, ...) }
    end)
    p:accept({ ["X-Round"] = "1" })
    await(s, log.opened)
    p:drop()
    p:read_request()
    p:send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
    p:drop()
    await(s, log.waits, 2)
    p:read_request()
    p:drop()
    await(s, log.waits, 3)
    p:close()
    ws:close()
    assert.same({ 101, "1" }, { told[1][1], told[1][2]["x-round"] })
    assert.same({ 503, "busy" }, { told[2][1], told[2][3] })
    assert.same({}, told[3])
  end)

  it("counts what max_connections allows as one connection, and none while it is away", function()
    local s = server.start({ port = 0 })
    local p = peer.listen(s)
    local ws, log = connect(s, p.port, { min = 0.02, max = 0.02 })
    for round = 1, 3 do
      p:accept()
      await(s, log.opened, round)
      assert.equal(1, inside.connections(s.context))
      p:drop()
      await(s, log.waits, round)
      assert.equal(0, inside.connections(s.context))
    end
    ws:close()
    assert.equal(0, inside.connections(s.context))
  end)
end)
