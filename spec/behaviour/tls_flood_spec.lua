--- Peers that send without end what OpenSSL passes over: it does not return to its caller meanwhile.
-- @module spec.behaviour.tls_flood_spec
local child = require("spec.support.child")
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

describe("a flood inside of TLS", function()
  local test = tls.test(it, pending, "Python")

  after_each(server.stop_all)

  local function it(text, work)
    test(text, function()
      if not server.is_native then return pending("needs the accelerator") end
      work()
    end)
  end

  local function start(command)
    local program = child.start("python3 spec/support/flood.py " .. command)
    finally(function() program:stop() end)
    return program
  end

  it("of KeyUpdate, by a client, is ended, and others are served", function()
    local handler = server.recorder(function(ws)
      ws:on_receive(function(from, data) from:write(data) end)
    end)
    local s = tls.server({ protocols = { a = handler } })
    local other = client.open(s, "a")
    local program = start("updates " .. s.port)
    s:pump(function() return inside.connections(s.context) == 2 end, "the client of the flood")
    s:pump(function() return inside.connections(s.context) == 1 end, "its end")
    other:text("x")
    assert.same({ 1, "x" }, { other:message() })
    assert.equal("flood", program:expect("^(%a+)$"))
    assert.equal("ended", program:expect("^(%a+ ?%a*)$"))
  end)

  it("of HelloRequest, by a server, is ended", function()
    local s = server.start({})
    local program = start("hellos")
    local ws = s.context:connect(("wss://127.0.0.1:%s/"):format(program:expect("^port (%d+)")))
    local why
    ws:on_closed(function(_, _, _, _, word) why = word end)
    s:pump(function() return why end, "on_closed")
    assert.equal("closed", why)
    assert.equal(0, inside.connections(s.context))
  end)
end)
