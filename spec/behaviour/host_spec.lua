--- The option host: the name of a server, where the URL has only its address.
-- @module spec.behaviour.host_spec
local certificates = require("spec.support.certificates")
local peer = require("spec.support.peer")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

describe("the option host", function()
  after_each(server.stop_all)

  it("is asked for in place of the URL's, at the address of the URL", function()
    local s = server.start({ protocols = {} })
    for host, expected in pairs({
      ["Chat.example"] = "chat.example", ["chat.example:8080"] = "chat.example:8080", ["[::1]:80"] = "[::1]",
    }) do
      local p = peer.listen(s)
      local _, log = p:connect({ host = host })
      assert.equal(expected, p:accept().host)
      s:pump(function() return log.open > 0 end, "on_open")
    end
  end)

  tls.test(it, pending)("is what the certificate is chosen by and has to be for", function()
    local function pair(name)
      return { certificate = certificates.path(name .. ".pem"), key = certificates.path(name .. ".key") }
    end
    local options, host = pair("good"), nil
    options.certificates = { pair("second") }
    local s = server.start({ default = function(ws) host = ws:request().headers.host end, tls = options })
    local function connect(name)
      local _, log = peer.watch(s.context:connect(("wss://127.0.0.1:%d/"):format(s.port),
        { host = name, tls = { cafile = certificates.path("ca.pem") } }))
      s:pump(function() return log.open > 0 or log.closed[1] end, "on_open or on_closed")
      return log
    end
    assert.same({ 1, {} }, { connect(nil).open, {} })
    assert.equal("127.0.0.1:" .. s.port, host)
    assert.equal(1, connect("second.test").open)
    assert.equal("second.test", host)
    assert.equal(1, connect("one.test:99").open)
    assert.equal("one.test:99", host)
    local log = connect("elsewhere.test")
    assert.same({ 0, "certificate" }, { log.open, log.closed[1][4] })
    assert.matches("the certificate of elsewhere.test was refused", log.closed[1][2], 1, true)
  end)
end)
