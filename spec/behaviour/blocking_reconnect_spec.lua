--- A blocking client with the option `reconnect`.
-- @module spec.behaviour.blocking_reconnect_spec
local ports = require("spec.support.ports")
local scripted = require("spec.support.scripted")
local socket = require("socket")
local websockets = require("websockets")

local FAST = { min = 0.05, max = 0.1 }

describe("a blocking client that reconnects", function()
  after_each(scripted.stop_all)

  it("goes on receiving and sending over the next connection", function()
    local peer = scripted.start([[
      server:open(server.frame(1, "first"))
      server:message()
      server:reset()
      server:open(server.frame(1, "second"))
      server.say(select(2, server:message()))
      server:close()
      server:open()
      server.say(select(2, server:message()))
      server:write(8, "\3\240")
      server:message()
      server:close()]])
    local ws = assert(websockets.connect(peer.url, { reconnect = FAST }))
    local opened, tries = {}, 0
    ws:on_open(function(_, again) opened[#opened + 1] = again end)
    ws:on_reconnect(function() tries = tries + 1 end)
    assert.equal("first", (ws:receive(10)))
    assert.equal(0, ws:write("goes into the reset"))
    assert.equal("second", (ws:receive(10)))
    assert.equal(0, ws:write("over the second"))
    assert.equal("over the second", peer:said())
    -- 1008 ends it: the server judges the client.
    while #opened < 2 do assert.same({ nil, "timeout" }, { ws:receive(0.05) }) end
    ws:write("over the third")
    assert.equal("over the third", peer:said())
    assert.same({ nil, "closed", 1008, "" }, { ws:receive(10) })
    assert.same({ true, true }, opened)
    assert.is_true(tries >= 2)
    assert.same({ true, 1008, "" }, { ws:close() })
    assert.same({ -1, "closed" }, { ws:write("x") })
  end)

  it("connects when the server can be reached, or tells why not after its attempts", function()
    local _
    local ws, message, code = websockets.connect(("ws://127.0.0.1:%d/"):format(ports.refusing()),
      { reconnect = { min = 0.02, max = 0.02, attempts = 3 } })
    assert.same({ nil, "refused" }, { ws, code })
    assert.is_string(message)
    ws = assert(websockets.connect(scripted.start([[
      server:take() server:reset()
      server:request() server:send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") server:close()
      server:open() server:message()]]).url, { reconnect = FAST }))
    assert.same({ nil, "timeout" }, { ws:receive(0) })
    local status
    ws, _, code, status = websockets.connect(scripted.start([[
      server:request() server:send("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")]]).url, { reconnect = true })
    assert.same({ nil, "status", 401 }, { ws, code, status })
  end)

  it("keeps what is written meanwhile, and can be closed", function()
    for queue_bytes, expected in pairs({ [1000] = { 0 }, [0] = { -1, "away" } }) do
      local peer = scripted.start("server:open() server:await_signal() server.listener:close() server:reset()")
      local ws = assert(websockets.connect(peer.url,
        { reconnect = { min = 60, max = 60, queue_bytes = queue_bytes } }))
      local is_away = false
      ws:on_reconnect(function() is_away = true end)
      local begin = socket.gettime()
      peer:go_on()
      while not is_away do ws:receive(0.05) end
      assert.same(expected, { ws:write("kept") })
      assert.same({ nil, "timeout" }, { ws:receive(0.05) })
      assert.same({ nil, "closed", 1006, "" }, { ws:close(1000) })
      assert.same({ nil, "closed", 1006, "" }, { ws:receive() })
      assert.is_true(socket.gettime() - begin < 15)
    end
  end)
end)
