--- Clients of the API of 2.x over TLS, under lua-ev and copas: nothing waits for them.
-- @module spec.behaviour.two_x_secure_spec
local certificates = require("spec.support.certificates")
local peer = require("spec.support.peer")
local tls = require("spec.support.tls")
local two_x = require("spec.support.two_x")
local websocket = require("websocket")

local check = tls.test(it, pending)

-- A raw server over TLS, and a client's URL of it.
local function listen(host, certificate)
  local p = peer.listen(host, nil, {
    certificate = certificates.path(certificate .. ".pem"), key = certificates.path(certificate .. ".key"),
  })
  return p, ("wss://localhost:%d/"):format(p.port)
end

local function params() return { mode = "client", protocol = "any", cafile = certificates.path("ca.pem") } end

-- Echoes a message and answers a close frame; the request must have named the host.
local function serve(p)
  p:accept()
  local opcode, payload = p:message()
  p:write(opcode, payload)
  assert.equal(8, (p:message()))
  p:write(8, "\3\232")
  p:drop()
end

describe("a client of 2.x over TLS", function()
  after_each(two_x.stop_all)

  check("speaks wss under lua-ev, and verifies", function()
    local host, why = two_x.ev()
    if not host then return pending(why) end
    local p, url = listen(host, "good")
    local ws, got, ended = websocket.client.ev({ loop = host.loop }), nil, nil
    ws:on_open(function() ws:send("secret") end)
    ws:on_message(function(_, message)
      got = message
      ws:close()
    end)
    ws:on_close(function(_, ...) ended = { ... } end)
    ws:connect(url, nil, params())
    serve(p)
    host:pump(function() return ended end)
    assert.same({ "secret", true, 1000 }, { got, ended[1], ended[2] })
    p, url = listen(host, "unknown")
    local errors = {}
    ws:on_error(function(_, err) errors[#errors + 1] = err end)
    ws:connect(url, nil, params())
    host:pump(function()
      p:poll()
      return errors[1]
    end)
    assert.matches("certificate", errors[1])
    assert.equal("CLOSED", ws.state)
  end)

  check("speaks wss under copas, and verifies", function()
    local host, why = two_x.copas()
    if not host then return pending(why) end
    local p, url = listen(host, "good")
    local got, ended, refused
    host.copas.addthread(function()
      local ws = websocket.client.copas()
      assert(ws:connect(url, nil, params()))
      ws:send("secret")
      got = ws:receive()
      ended = { ws:close() }
    end)
    serve(p)
    host:pump(function() return ended end)
    assert.same({ "secret", true, 1000 }, { got, ended[1], ended[2] })
    p, url = listen(host, "unknown")
    host.copas.addthread(function() refused = { websocket.client.copas():connect(url, nil, params()) } end)
    host:pump(function()
      p:poll()
      return refused
    end)
    assert.is_nil(refused[1])
    assert.matches("certificate", refused[2])
  end)
end)
