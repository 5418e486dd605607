--- The module: its names, and what `websockets.context` says to wrong options.
-- @module spec.behaviour.websockets_spec
local server = require("spec.support.server")
local client = require("spec.support.client")
local websockets = require("websockets")

describe("websockets", function()
  after_each(server.stop_all)

  it("has the constants of 2012 with their numbers", function()
    local numbers = {
      WRITE_TEXT = 0, WRITE_BINARY = 1, WRITE_CONTINUATION = 2, WRITE_HTTP = 3, WRITE_CLOSE = 4, WRITE_PING = 5,
      WRITE_PONG = 6, WRITE_NO_FIN = 64, WRITE_CLIENT_IGNORE_XOR_MASK = 128,
      SERVER_OPTIONS_DEFEAT_CLIENT_MASK = 1, SERVER_OPTION_DEFEAT_CLIENT_MASK = 1,
      SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT = 2, SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME = 4,
      POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 16,
    }
    for name, number in pairs(numbers) do assert.equal(number, websockets[name], name) end
  end)

  it("names the engine", function()
    assert.is_true(websockets.engine == "native" or websockets.engine == "pure")
  end)

  it("sets no global", function()
    assert.is_nil(rawget(_G, "websockets"))
  end)

  it("shows a context and a websocket as in 2012 by tostring", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    client.open(s, "a")
    assert.matches("^context 0x%x+$", tostring(s.context))
    assert.matches("^websocket 0x%x+$", tostring(log.ws[1]))
    assert.equal(tostring(log.ws[1]), tostring(log.ws[1]))
    s.context:destroy()
    assert.matches("^context 0x%x+$", tostring(s.context))
    assert.matches("^websocket 0x%x+$", tostring(log.ws[1]))
  end)
end)

describe("what context is given", function()
  after_each(server.stop_all)

  local function refusal(...)
    local is_good, err = pcall(websockets.context, ...)
    assert.is_false(is_good)
    return err
  end

  it("must be a table: the error names argument, expectation and the caller's line", function()
    assert.matches("bad argument #1 to 'context' %(table expected, got no value%)", refusal())
    assert.matches("table expected, got 8", refusal(8))
    local _, err = pcall(function() websockets.context("x") end)
    assert.matches("websockets_spec.lua:%d+: bad argument", err)
  end)

  it("raises for an unknown option, naming it", function()
    local err = refusal({ prot = 8001 })
    assert.matches("unknown option 'prot'", err, 1, true)
  end)

  it("raises for a wrong value, naming option, expectation and value", function()
    assert.matches("bad option 'port'", refusal({ port = 70000 }))
    assert.matches("got 70000", refusal({ port = 70000 }))
    assert.matches("bad option 'on_http' %(function expected, got 7%)", refusal({ on_http = 7 }))
    assert.matches("bad option 'protocols'", refusal({ protocols = { a = 1 } }))
    assert.matches("bad option 'protocols'", refusal({ protocols = { function() end } }))
    assert.matches("bad option 'slow_consumer'", refusal({ slow_consumer = "wait" }))
    assert.matches("bad option 'handshake_timeout'", refusal({ handshake_timeout = 0 }))
  end)

  it("raises for http-only as a subprotocol of the application", function()
    assert.matches("http%-only", refusal({ protocols = { ["http-only"] = function() end } }))
  end)

  it("takes option numbers 1 and 4, also both", function()
    for _, number in ipairs({ 0, 1, 4, 5 }) do websockets.context({ options = number }):destroy() end
  end)

  it("raises 'websocket could not create context: ' and the reason when it cannot listen", function()
    local s = server.start({})
    assert.matches("websocket could not create context: cannot listen on 127.0.0.1:" .. s.port,
      refusal({ port = s.port, interf = "127.0.0.1" }), 1, true)
  end)

  it("raises for an interface that cannot be resolved, instead of listening on all", function()
    assert.matches("^.*websocket could not create context: ", refusal({ port = "any", interf = "no-such-interface" }))
    assert.matches("websocket could not create context: ", refusal({ port = "any", interf = "300.1.1.1" }))
  end)

  it("takes lo and IP addresses as interf", function()
    for _, interf in ipairs({ "lo", "127.0.0.1" }) do
      local s = server.start({ interf = interf, protocols = { echo = server.echo } })
      local c = client.open(s, "echo")
      c:text("x")
      assert.equal("x", select(2, c:message()))
    end
  end)

  it("listens everywhere without interf and shows IPv4 peers as such", function()
    local handler, log = server.recorder()
    local context = websockets.context({ port = "any", protocols = { a = handler } })
    local s = { context = context, port = context:get_port(), clients = {} }
    setmetatable(s, server)
    client.open(s, "a")
    assert.same({ "127.0.0.1", "127.0.0.1" }, { log.ws[1]:get_peer_addresses() })
    s:stop()
  end)
end)
