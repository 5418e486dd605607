--- Peers that keep the rules, and that break them.
-- @module spec.unit.testing.peer_spec

local testing = require "websockets.testing"
local websockets = require "websockets"

describe("websockets.testing.peer", function()
  local context, ws, ends

  local function new_context(given)
    ends, given = {}, given or {}
    given.default = function(one)
      ws = one
      ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
      ws:on_closed(function(_, code, reason, clean, why)
        ends[#ends + 1] = { code, reason, clean, why }
      end)
    end
    context = testing.context(given)
    return assert(context:peer())
  end

  it("closes, and hears how", function()
    local peer = new_context()
    assert.same({ true, 1000, "" }, { peer:close(1000, "bye") })
    assert.same({ { 1000, "bye", true, "closed" } }, ends)
    assert.is_false(peer:is_open())
    assert.same({ nil, "closed", 1000, "" }, { peer:receive() })
    assert.same({ nil, "closed" }, { peer:send("x") })
    assert.same({ nil, "closed" }, { peer:ping() })
    assert.same({ true, 1000, "" }, { peer:close() })
  end)

  it("answers a close frame by itself", function()
    local peer = new_context()
    ws:write("last")
    ws:close(1001, "over")
    assert.equal("last", peer:receive())
    assert.same({ nil, "closed", 1001, "over" }, { peer:receive() })
    assert.same({ { 1001, "", true, "closed" } }, ends)
  end)

  it("is told where no close frame comes", function()
    local peer = new_context()
    ws:close(0)
    assert.same({ nil, "closed" }, { peer:close() })
    local mute = new_context()
    mute:vanish()
    assert.same({ nil, "timeout" }, { mute:close() })
  end)

  it("receives in time, and takes all at once", function()
    local peer = new_context()
    context:after(3, function() ws:write("late") end)
    assert.same({ nil, "timeout" }, { peer:receive(2) })
    assert.equal("late", peer:receive(2))
    peer:send("a")
    peer:send("b")
    assert.same({ "a", "b" }, peer:receive_all())
    assert.same({}, peer:receive_all())
  end)

  it("pings, and keeps what pings and pongs came", function()
    local peer = new_context()
    peer:ping("are you there")
    assert.same({ "are you there" }, peer.pongs)
    ws:ping("and you")
    local pong
    ws:on_pong(function(_, data) pong = data end)
    context:settle()
    assert.same({ { "and you" }, "and you" }, { peer.pings, pong })
  end)

  it("breaks the protocol", function()
    for code, frame in pairs({
      [1002] = { masked = false }, [1007] = { payload = "\255" }, [1009] = { payload = ("x"):rep(11) },
    }) do
      local peer = new_context({ max_message_bytes = 10 })
      peer:send_frame(frame)
      assert.same({ nil, "closed", code }, { peer:receive(), select(2, peer:receive()), (select(3, peer:receive())) })
      assert.equal(code, ends[1][1])
    end
    for _, frame in ipairs({ { rsv = 4 }, { opcode = 3 }, { opcode = 0 }, { opcode = 9, fin = false } }) do
      local peer = new_context()
      peer:send_frame(frame)
      assert.equal(1002, (select(3, peer:receive())))
    end
  end)

  it("sends fragments, half a frame, and any bytes", function()
    local peer = new_context({ ping_interval = 20, ping_timeout = 20 })
    peer:send_frame({ payload = "a", fin = false })
    peer:send_frame({ payload = "b", opcode = 0 })
    assert.equal("ab", peer:receive())
    peer:send_frame({ payload = ("x"):rep(100), first_bytes = 20 })
    assert.same({ nil, "timeout" }, { peer:receive() })
    peer:disconnect()
    assert.same({ { 1006, "", false, "closed" } }, ends)
    local other = context:peer({ handshake = false })
    other:send_bytes("no HTTP\r\n\r\n")
    assert.matches("^HTTP/1.1 400 ", other:receive_bytes())
    assert.is_false(other:is_open())
    assert.same({ nil, "closed", 1006, "" }, { other:receive() })
  end)

  it("says nothing inside of a frame of which it has sent a half, until the test sends more", function()
    local peer = new_context({ ping_interval = 20, ping_timeout = 20, message_timeout = false })
    peer:send_frame({ payload = ("x"):rep(100), first_bytes = 20 })
    context:advance(60)
    assert.same({ { 1006, "", false, "timeout" } }, ends)
    assert.equal(1, #peer.pings)
    peer = new_context({ ping_interval = 20, ping_timeout = 20, message_timeout = false })
    peer:send_frame({ opcode = 2, payload = "abc", first_bytes = 8 })
    peer:send_bytes("x")
    context:advance(60)
    assert.is_true(#peer.pings >= 2)
    assert.is_true(peer:is_open())
  end)

  it("drips a request until the context has enough", function()
    new_context({ handshake_timeout = 10 })
    local slow = context:peer({ handshake = false })
    slow:send_bytes("GET / HTTP/1.1\r\n")
    context:advance(9)
    assert.same({ nil, "timeout" }, { slow:receive() })
    context:advance(2)
    assert.equal("closed", (select(2, slow:receive())))
  end)

  it("resets, vanishes and disconnects", function()
    new_context():reset()
    assert.same({ { 1006, "", false, "reset" } }, ends)
    new_context():disconnect()
    assert.same({ { 1006, "", false, "closed" } }, ends)
    local peer = new_context({ ping_interval = 20, ping_timeout = 20 })
    peer:vanish()
    peer:send("into the void")
    context:advance(41)
    assert.same({ { 1006, "", false, "timeout" } }, ends)
  end)

  it("reads nothing until the context has to wait", function()
    new_context({ max_buffered_bytes = 5000, slow_consumer = "close" })
    local peer = context:peer({ capacity = 1000 })
    local drained = 0
    ws:on_drain(function() drained = drained + 1 end)
    peer:pause()
    ws:write(("x"):rep(3000))
    context:settle()
    assert.is_true(ws:buffered() >= 2000)
    assert.same({ nil, "timeout" }, { peer:receive() })
    peer:resume()
    assert.equal(3000, #peer:receive())
    assert.same({ 0, 1 }, { ws:buffered(), drained })
    peer:pause()
    for _ = 1, 10 do ws:write(("x"):rep(3000)) end
    context:advance(6)
    assert.same({ { 1013, "", false, "slow" } }, ends)
  end)

  it("waits itself where the context reads nothing", function()
    local peer = new_context()
    ws:rx_flow_control(false)
    for _ = 1, 40 do peer:send(("x"):rep(10000)) end
    assert.same({}, peer:receive_all())
    ws:rx_flow_control(true)
    assert.equal(40, #peer:receive_all())
  end)

  it("raises for what it cannot send, at the caller's line", function()
    local peer = new_context()
    for expected, call in pairs({
      ["bad argument #1 to 'send' (string expected, got 5)"] = function() peer:send(5) end,
      ["bad argument #1 to 'send' (UTF-8 expected"] = function() peer:send("\255") end,
      ["bad argument #2 to 'send' (WRITE_TEXT or WRITE_BINARY expected, got 5)"] =
        function() peer:send("x", websockets.WRITE_PING) end,
      ["unknown option 'code'"] = function() peer:send_frame({ code = 1 }) end,
      ["bad option 'opcode' (number 0 to 15 expected, got 16)"] = function() peer:send_frame({ opcode = 16 }) end,
      ["bad argument #1 to 'send_frame' (table expected, got no value)"] = function() peer:send_frame() end,
      ["bad argument #1 to 'send_bytes' (string expected, got no value)"] = function() peer:send_bytes() end,
      ["bad argument #1 to 'receive' (number of seconds from 0 expected, got -1)"] = function() peer:receive(-1) end,
    }) do
      local is_good, err = pcall(call)
      assert.is_false(is_good)
      assert.matches("peer_spec.lua:%d+: ", err)
      assert.matches(expected, err, 1, true)
    end
    assert.matches("peer:send must be called with a colon", (select(2, pcall(peer.send, "x"))), 1, true)
  end)
end)
