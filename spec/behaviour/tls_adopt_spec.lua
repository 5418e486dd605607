--- LuaSec connections that the application hands over.
-- @module spec.behaviour.tls_adopt_spec
local await = require("spec.support.await")
local certificates = require("spec.support.certificates")
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local socket = require("socket")
local tls = require("spec.support.tls")
local tls_context = require("websockets.transport.tls_context")

describe("context:adopt", function()
  local it = tls.test(it, pending)

  after_each(server.stop_all)

  -- A context without a listener, a client, and the LuaSec connection that the application has accepted.
  local function start(options)
    local listening = socket.bind("127.0.0.1", 0)
    local all = { port = 0, protocols = { echo = server.echo } }
    for name, value in pairs(options or {}) do all[name] = value end
    local s = server.start(all)
    s.port = select(2, listening:getsockname())
    s.secure = function(plain) return tls.wrap(plain) end
    local c = client.connect(s)
    local accepted = assert(listening:accept())
    listening:close()
    return s, c, assert(require("ssl").wrap(accepted, assert(tls_context.server(certificates.pair("good")))))
  end

  local function exchange(c)
    c:send(client.upgrade({ protocol = "echo" }))
    assert.equal(101, (c:read_head()))
    c:text("x")
    assert.same({ 1, "x" }, { c:message() })
  end

  it("takes a LuaSec connection before its TLS handshake", function()
    local s, c, secured = start()
    assert(s.context:adopt(secured))
    exchange(c)
  end)

  it("takes one amid its TLS handshake, and one after it", function()
    for _, steps in ipairs({ 1, math.huge }) do
      local s, c, secured = start()
      secured:settimeout(0)
      local done, count = false, 0
      await(function()
        c.connection.transport:handshake()
        count = count + 1
        done = secured:dohandshake()
        return done or count >= steps
      end, "TLS handshake")
      assert.equal(steps ~= 1, done == true)
      local ws = assert(s.context:adopt(secured))
      exchange(c)
      assert.is_table(ws:tls())
    end
  end)

  it("takes what was read already, and what LuaSec has read ahead", function()
    local s, c, secured = start()
    secured:settimeout(0)
    await(function()
      c.connection.transport:handshake()
      return secured:dohandshake()
    end, "TLS handshake")
    c.connection:send(client.upgrade({ protocol = "echo" }) .. c:frame(1, "one") .. c:frame(1, "two"), 1)
    secured:settimeout(20)
    local head = assert(secured:receive("*l")) .. "\r\n"
    assert.is_true(secured:dirty())
    assert(s.context:adopt(secured, head))
    assert.equal(101, (c:read_head()))
    assert.same({ 1, "one" }, { c:message() })
    assert.same({ 1, "two" }, { c:message() })
  end)

  it("refuses one where there is no room, without waiting for it", function()
    local s, c, secured = start({ max_connections = 1 })
    assert(s.context:adopt(secured))
    exchange(c)
    local one, other = tls.sockets()
    secured = assert(require("ssl").wrap(other, assert(tls_context.server(certificates.pair("good")))))
    local ws, message, code = s.context:adopt(secured)
    assert.same({ nil, "no more connections can be taken", "limit" }, { ws, message, code })
    assert.equal(-1, secured:getfd())
    one:close()
  end)

  it("raises for one that is closed", function()
    local s, c, secured = start()
    secured:close()
    c:close()
    assert.error_matches(function() s.context:adopt(secured) end, "bad argument #1 to 'adopt'")
    assert.equal(0, inside.connections(s.context))
  end)
end)
