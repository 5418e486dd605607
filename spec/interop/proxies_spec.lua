--- Connections through proxies of other people.
-- @module spec.interop.proxies_spec

local certificates = require "spec.support.certificates"
local needs = require "spec.support.needs"
local peer = require "spec.support.peer"
local ports = require "spec.support.ports"
local proxies = require "spec.support.proxies"
local server = require "spec.support.server"
local socket = require "socket"
local tls = require "spec.support.tls"

local MIB = 1024 * 1024

local KINDS = {
  tinyproxy = {
    none = "answered 407 [^:]*: it wants a user and a password$",
    wrong = "answered 40[17] [^:]*: it refuses these credentials$",
    refused = "answered 50%d ", unknown = "answered %d%d%d ",
  },
  microsocks = {
    none = "wants a user and a password$", wrong = "refuses these credentials$",
    refused = "answered connection refused %(SOCKS5 reply 5%)$",
    unknown = "answered %a[%a ]+ %(SOCKS5 reply %d%)$",
  },
}

for name, kind in pairs(KINDS) do
  describe("a connection through " .. name, function()
    local missing = needs.reason(name)
    if missing then
      pending(missing)
      return
    end

    after_each(function()
      server.stop_all()
      proxies.stop_all()
    end)

    local function start()
      return server.start({ default = server.echo, max_message_bytes = 2 * MIB })
    end

    local function connect(s, url, proxy)
      return peer.watch(s.context:connect(url, { proxy = proxy, timeout = 20 }))
    end

    local function url_of(s, host) return ("ws://%s:%d/"):format(host or "127.0.0.1", s.port) end

    local function expect_failure(s, log, pattern)
      s:pump(function() return log.closed[1] end, "on_closed")
      local code, message, clean, why = (table.unpack or unpack)(log.closed[1])
      assert.same({ 1006, false, "proxy", 0 }, { code, clean, why, log.open })
      assert.matches("^no way to [%w.]+:%d+: the proxy 127%.0%.0%.1:%d+ " .. pattern, message)
    end

    local function expect_echo(s, ws, log)
      s:pump(function() return log.open > 0 or log.closed[1] end, "on_open")
      assert.same({}, log.closed)
      local text = ("x"):rep(MIB)
      ws:write("hello")
      ws:write(text, 1)
      s:pump(function() return log.messages[2] end, "echoes")
      assert.same({ "hello", 0 }, log.messages[1])
      assert.is_true(log.messages[2][1] == text)
      ws:close(1000, "done")
      s:pump(function() return log.closed[1] end, "on_closed")
      assert.same({ 1000, "", true, "closed" }, log.closed[1])
    end

    it("opens, echoes a short message and 1 MiB, and closes in order", function()
      local s, proxy = start(), proxies[name]()
      local ws, log = connect(s, url_of(s), proxy.url)
      expect_echo(s, ws, log)
    end)

    it("opens with credentials", function()
      local s, proxy = start(), proxies[name]("joe", "secret")
      local ws, log = connect(s, url_of(s), proxy:url_with("joe", "secret"))
      expect_echo(s, ws, log)
    end)

    it("has the proxy look the name up", function()
      local s, proxy = start(), proxies[name]()
      local ws, log = connect(s, url_of(s, "localhost"), proxy.url)
      expect_echo(s, ws, log)
      local dns = socket.dns
      socket.dns = { getaddrinfo = function() error("looked up here") end }
      local is_good, _, unknown = pcall(connect, s, "ws://nothing.invalid:8080/", proxy.url)
      socket.dns = dns
      assert(is_good, unknown)
      expect_failure(s, unknown, kind.unknown)
    end)

    it("is refused without credentials, and with wrong ones", function()
      local s, proxy = start(), proxies[name]("joe", "secret")
      expect_failure(s, select(2, connect(s, url_of(s), proxy.url)), kind.none)
      expect_failure(s, select(2, connect(s, url_of(s), proxy:url_with("joe", "wrong"))), kind.wrong)
    end)

    it("hears of a server that nobody listens for", function()
      local s, proxy = start(), proxies[name]()
      local _, log = connect(s, ("ws://127.0.0.1:%d/"):format(ports.refusing()), proxy.url)
      expect_failure(s, log, kind.refused)
    end)

    tls.test(it, pending)("leads to a wss server, whose certificate is verified", function()
      local s, proxy = start(), proxies[name]("joe", "secret")
      local function dial(certificate)
        local other = peer.listen(s, nil, certificates.pair(certificate))
        return other, peer.watch(s.context:connect(("wss://localhost:%d/"):format(other.port),
          { proxy = proxy:url_with("joe", "secret"), tls = { cafile = certificates.path("ca.pem") } }))
      end
      local other, ws, log = dial("good")
      local headers = other:accept()
      assert.equal("localhost:" .. other.port, headers.host)
      s:pump(function() return log.open > 0 end, "on_open")
      ws:write("hello")
      assert.same({ 1, "hello" }, { other:message() })
      local bad, _, ended = dial("expired")
      s:pump(function()
        bad:poll()
        return ended.closed[1]
      end, "on_closed")
      assert.equal("certificate", ended.closed[1][4])
    end)

    it("ends after the timeout where the proxy stalls, and opens when it goes on", function()
      local s, proxy = start(), proxies[name]()
      proxy:stall(true)
      local _, log = peer.watch(s.context:connect(url_of(s), { proxy = proxy.url, timeout = 0.3 }))
      s:pump(function() return log.closed[1] end, "on_closed")
      assert.equal("timeout", log.closed[1][4])
      assert.matches("^no connection to 127%.0%.0%.1:%d+ in time, by way of the proxy ", log.closed[1][2])
      local ws
      ws, log = connect(s, url_of(s), proxy.url)
      s:settle()
      proxy:stall(false)
      expect_echo(s, ws, log)
    end)

    it("ends with the proxy", function()
      local s, proxy = start(), proxies[name]()
      local _, log = connect(s, url_of(s), proxy.url)
      s:pump(function() return log.open > 0 end, "on_open")
      proxy:stop()
      s:pump(function() return log.closed[1] end, "on_closed")
      assert.equal(1006, log.closed[1][1])
    end)
  end)
end
