--- The least that must work on every Lua, with a client that shares no code: handshake, echo, fan-out.
-- @module spec.behaviour.smoke_spec
local plain_client = require("spec.support.plain_client")
local server = require("spec.support.server")

describe("smoke", function()
  local started, clients

  local function connect()
    local client = plain_client.connect(started.port, function() started:turn(1) end)
    clients[#clients + 1] = client
    return client
  end

  before_each(function()
    clients = {}
    started = server.start({
      default = server.echo,
      protocols = {
        all = function(ws)
          ws:on_receive(function(from, data) from:broadcast(data) end)
        end,
      },
    })
  end)

  after_each(function()
    for _, client in ipairs(clients) do client:close() end
    server.stop_all()
  end)

  it("handshake: the RFC's own key gets the RFC's own answer, with the subprotocol", function()
    assert.is_nil(connect():upgrade():find("sec-websocket-protocol", 1, true))
    assert.truthy(connect():upgrade("all"):find("\r\nsec-websocket-protocol: all\r\n", 1, true))
  end)

  it("echo: every text comes back in order, a binary one too", function()
    local client = connect()
    client:upgrade()
    for length = 0, 125 do client:write(("x"):rep(length)) end
    for length = 0, 125 do
      local payload, opcode = client:read_message()
      assert.equal(("x"):rep(length), payload)
      assert.equal(1, opcode)
    end
    local bytes = ("\0\255\128z"):rep(20000)
    client:send("\130\255\0\0\0\0\0\1\56\128\0\0\0\0" .. bytes)
    local payload, opcode = client:read_message()
    assert.is_true(payload == bytes)
    assert.equal(2, opcode)
  end)

  it("fan-out: what one sends reaches all of its subprotocol and no others", function()
    local aside = connect()
    aside:upgrade()
    local all = {}
    for at = 1, 20 do
      all[at] = connect()
      all[at]:upgrade("all")
    end
    all[1]:write("one")
    all[7]:write("two")
    for _, client in ipairs(all) do
      local seen = { (client:read_message()), (client:read_message()) }
      table.sort(seen)
      assert.same({ "one", "two" }, seen)
    end
    aside:write("mine")
    assert.equal("mine", (aside:read_message()))
  end)
end)
