--- A blocking client over TLS.
-- @module spec.behaviour.blocking_secure_spec
local certificates = require("spec.support.certificates")
local scripted = require("spec.support.scripted")
local tls = require("spec.support.tls")
local websockets = require("websockets")

local check = tls.test(it, pending)

-- A raw server over TLS that takes steps.
local function start(code, certificate)
  local peer = scripted.start(("server:secure(%q, %q) %s"):format(certificates.path((certificate or "good") .. ".pem"),
    certificates.path((certificate or "good") .. ".key"), code))
  peer.url = ("wss://localhost:%d/"):format(peer.port)
  return peer
end

local function connect(peer, also)
  local options = { tls = { cafile = certificates.path("ca.pem") }, timeout = 5 }
  for name, value in pairs(also or {}) do options[name] = value end
  return websockets.connect(peer.url, options)
end

describe("a blocking client over TLS", function()
  after_each(scripted.stop_all)

  check("sends, receives, waits, answers pings and closes", function()
    local peer = start([[
      server:open()
      local opcode, payload = server:message()
      server:write(opcode, payload)
      server:write(9, "ping")
      server:message()
      local bytes = server.frame(1, "in pieces")
      for i = 1, #bytes do
        server:send(bytes:sub(i, i))
        server:await_signal()
      end
      server:message()
      server:write(8, "\3\232bye")
      server:close()]])
    local ws = assert(connect(peer))
    local message = ("x"):rep(1024 * 1024)
    assert.equal(0, ws:write(message, 1))
    assert.equal(0, ws:buffered())
    assert.is_true(ws:receive(20) == message)
    for _ = 1, 10 do
      assert.same({ nil, "timeout" }, { ws:receive(0.02) })
      peer:go_on()
    end
    assert.same({ "in pieces", 0 }, { ws:receive(20) })
    peer:go_on()
    assert.same({ true, 1000, "bye" }, { ws:close(1000) })
    assert.same({ nil, "closed", 1000, "bye" }, { ws:receive() })
  end)

  check("takes messages of one record one by one", function()
    local ws = assert(connect(start([[server:open(server.frame(1, "1") .. server.frame(1, "2") .. server.frame(1, "3"))
      server:message()]])))
    for i = 1, 3 do assert.equal(tostring(i), (ws:receive(20))) end
    assert.same({ nil, "timeout" }, { ws:receive(0) })
  end)

  check("tells why there is no connection", function()
    for expected, one in pairs({
      certificate = { start("pcall(server.open, server)", "expired") },
      ["certificate "] = { start("pcall(server.open, server)", "wrong_host") },
      tls = { scripted.start("server:take() server:send('HTTP/1.1 400 No\\r\\n\\r\\n') server:drain()") },
      timeout = { scripted.start("server:take() server:drain()"), { timeout = 0.3 } },
      closed = { start("server:request() server:close()") },
    }) do
      local peer = one[1]
      peer.url = ("wss://localhost:%d/"):format(peer.port)
      local ws, message, code = connect(peer, one[2])
      assert.same({ nil, (expected:gsub(" ", "")) }, { ws, code }, message)
      assert.is_true(#message > 10)
    end
  end)
end)
