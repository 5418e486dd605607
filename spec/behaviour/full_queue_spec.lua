--- What still has to get through to a peer that reads slowly or not at all: pongs, and the closing handshake.
-- @module spec.behaviour.full_queue_spec
local client = require("spec.support.client")
local server = require("spec.support.server")

local unpack = table.unpack or unpack
local WRITE_BINARY = 1
local BINARY, CLOSE, PONG = 2, 8, 10
local KIB, MIB = 1024, 1024 * 1024
local PIECE = ("p"):rep(64 * KIB)
local CLOSE_SECONDS, STEP_SECONDS = 5, 2
-- The system keeps this size; left alone it takes more and more at a time.
local SOCKET_BYTES = 64 * KIB

local function start(options)
  local handler, log = server.recorder()
  options.protocols = { a = handler }
  local s = server.start(options)
  local peer = client.open(s, {
    protocol = "a", prepare = function(connection) connection:setoption("recv-buffer-size", SOCKET_BYTES) end,
  })
  return s, peer, log.ws[1], log
end

-- Writes until more waits than so many bytes, and the system takes no more.
local function fill(s, ws, bytes)
  repeat
    s:pump(function()
      ws:write(PIECE, WRITE_BINARY)
      return ws:buffered() > bytes
    end, "a full queue")
    s:calm(ws)
  until ws:buffered() > bytes
end

describe("a full queue", function()
  after_each(server.stop_all)

  for _, policy in ipairs({ "drop_old", "conflate" }) do
    it(("with %s: the pong that answers a ping gets through, in place of messages"):format(policy), function()
      local s, peer, ws, log = start({ slow_consumer = policy, max_buffered_bytes = 256 * KIB })
      fill(s, ws, 256 * KIB)
      local before = ws:buffered()
      peer:write(9, "are you there?")
      s:pump(function() return ws:buffered() < before end, "dropped messages")
      local opcode, payload
      repeat
        opcode, payload = peer:message()
        assert.is_true(opcode == BINARY and payload == PIECE or opcode == PONG)
      until opcode == PONG
      assert.equal("are you there?", payload)
      assert.equal(0, ws:write("after"))
      repeat opcode, payload = peer:message() until opcode ~= BINARY
      assert.same({ 1, "after" }, { opcode, payload })
      assert.equal(0, #log.closed)
    end)
  end
end)

describe("the closing handshake with a full queue", function()
  after_each(server.stop_all)

  it("has its deadline while the peer takes nothing: one that reads slowly gets all, and the close frame", function()
    local s, peer, ws, log = start({ close_timeout = CLOSE_SECONDS })
    s:fake_time()
    local began, big = s.fake_now, ("0123456789abcdef"):rep(12 * MIB / 16)
    assert.equal(0, ws:write(big, WRITE_BINARY))
    ws:close(1000)
    while ws:buffered() > 0 do
      -- The clock stands still until the system has taken some bytes, however few the peer had to read for that.
      local before = ws:buffered()
      s:pump(function()
        peer:poll()
        return ws:buffered() < before
      end, "bytes to be taken")
      s:advance(STEP_SECONDS)
      assert.equal(0, #log.closed)
    end
    assert.is_true(s.fake_now - began > 2 * CLOSE_SECONDS, s.fake_now - began .. " s")
    local opcode, payload = peer:message()
    assert.is_true(opcode == BINARY and payload == big)
    assert.same({ CLOSE, "\3\232" }, { peer:message() })
    peer:send_close(1000)
    s:pump(function() return log.closed[1] end, "on_closed")
    assert.same({ 1000, "", true, "closed" }, { unpack(log.closed[1], 2, 5) })
  end)

  it("ends at its deadline once the peer takes nothing any more", function()
    local s, peer, ws, log = start({ close_timeout = CLOSE_SECONDS })
    s:fake_time()
    ws:write(("x"):rep(12 * MIB), WRITE_BINARY)
    ws:close(1000)
    s:advance(CLOSE_SECONDS - 1)
    local before = ws:buffered()
    s:pump(function()
      peer:poll()
      return ws:buffered() < before
    end, "bytes to be taken")
    s:calm(ws)
    s:expire(ws, CLOSE_SECONDS, function() return log.closed[1] end)
    assert.same({ 1006, "", false, "timeout" }, { unpack(log.closed[1], 2, 5) })
  end)

  it("is not clean where the peer has closed while our close frame still waited", function()
    local s, peer, ws, log = start({})
    fill(s, ws, MIB)
    peer:send_close(1000, "enough")
    s:settle()
    assert.same({ -1, "closing" }, { ws:write("x") })
    assert.is_true(ws:buffered() > 0)
    assert.equal(0, #log.closed)
    peer:close()
    s:pump(function() return log.closed[1] end, "on_closed")
    assert.same({ 1000, "enough", false, "closed" }, { unpack(log.closed[1], 2, 5) })
  end)

  it("is clean where the peer has read all of it", function()
    local s, peer, ws, log = start({})
    fill(s, ws, MIB)
    peer:send_close(1000, "enough")
    assert.equal(1000, (peer:close_code()))
    s:pump(function() return log.closed[1] end, "on_closed")
    assert.same({ 1000, "enough", true, "closed" }, { unpack(log.closed[1], 2, 5) })
  end)
end)
