--- Peers with TLS that do not read: each policy, by writes, broadcasts and topics. What was once offered to TLS must
-- not be dropped or exchanged; the peer would find it broken.
-- @module spec.behaviour.tls_slow_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local socket = require("socket")
local tls = require("spec.support.tls")
local websockets = require("websockets")

local unpack = table.unpack or unpack
local BINARY = websockets.WRITE_BINARY
local KIB = 1024
local FILL = ("x"):rep(16 * KIB)
local MAX_BUFFERED_BYTES, SOCKET_BYTES = 256 * KIB, 32 * KIB
local MESSAGES = 60

local function numbered(number) return ("%08d"):format(number) .. FILL end

-- A server with one peer that does not read and one that does. Their sockets have little room, which does not grow: it
-- would go on taking bytes for a peer that reads nothing.
local function start(options)
  local listening = assert(socket.bind("127.0.0.1", 0))
  assert(listening:setoption("send-buffer-size", SOCKET_BYTES))
  local dropped = {}
  local handler, log = server.recorder(function(ws)
    ws:on_broadcast(BINARY)
    ws:subscribe("t")
  end)
  options.socket, options.protocols = listening, { slow = handler, quick = server.echo }
  options.max_buffered_bytes = MAX_BUFFERED_BYTES
  function options.on_drop(_, topic, count)
    topic = topic or "none"
    dropped[topic] = (dropped[topic] or 0) + count
  end
  local s = tls.server(options)
  s.port = select(2, listening:getsockname())
  function s.on_stop() listening:close() end
  local slow = client.open(s, { protocol = "slow", prepare = function(connection)
    connection:setoption("recv-buffer-size", SOCKET_BYTES)
  end })
  return s, slow, client.open(s, "quick"), log, dropped
end

local SENDS = {
  write = function(_, ws, data) return ws:write(data, BINARY) end,
  broadcast = function(s, _, data) return s.context:broadcast("slow", data) end,
  topic = function(s, _, data) return s.context:publish("t", data, BINARY) end,
}

-- Fills the system's buffers. Returns how many messages that took.
local function stall(s, ws)
  local count = 0
  repeat
    s:pump(function()
      ws:write(FILL, BINARY)
      count = count + 1
      return ws:buffered() > 0
    end, "a full socket")
    s:calm(ws)
  until ws:buffered() > 0
  return count
end

-- Sends many messages to the peer that does not read, while the other one is served. Returns how many were refused, and
-- by how many bytes at most the queue became shorter with one message.
local function send_many(s, ws, witness, how)
  local refused, shortened = 0, 0
  for number = 1, MESSAGES do
    local before = ws:buffered()
    local result, why = SENDS[how](s, ws, numbered(number))
    if why == "full" then
      assert.equal(-1, result)
      refused = refused + 1
    end
    assert.is_true(ws:buffered() <= MAX_BUFFERED_BYTES + 2 * #FILL, ws:buffered())
    shortened = math.max(shortened, before - ws:buffered())
    witness:text("quick")
    assert.same({ 1, "quick" }, { witness:message() })
  end
  return refused, shortened
end

-- Keeps a message that a client has got: it is whole, and none comes out of order.
local function keep(got, opcode, data)
  assert.equal(2, opcode)
  if data == FILL then
    got.fills = got.fills + 1
    return
  end
  assert.is_true(data:sub(9) == FILL)
  local number = tonumber(data:sub(1, 8))
  assert.is_true(number > (got[#got] or 0))
  got[#got + 1] = number
end

-- All that a client gets, to the close frame, which comes last.
local function read_to_close(peer)
  local got = { fills = 0 }
  while true do
    local opcode, data = peer:message()
    if opcode == 8 then return got, data end
    keep(got, opcode, data)
  end
end

-- All that a client gets once it reads, and then one more message, which finds room.
local function read_all(s, ws, peer, how)
  local got = { fills = 0 }
  s:pump(function()
    local opcode, data = peer:try_message()
    if opcode then keep(got, opcode, data) end
    return ws:buffered() == 0
  end, "an empty queue")
  SENDS[how](s, ws, numbered(MESSAGES + 1))
  repeat keep(got, peer:message()) until got[#got] == MESSAGES + 1
  got[#got] = nil
  return got
end

-- What has come of the numbered messages, by the policy. A full queue with `drop_old` stays nearly full.
local CHECKS = {
  drop_new = function(got) assert.equal(1, got[1]) end,
  drop_old = function(got, shortened)
    assert.equal(MESSAGES, got[#got])
    assert.is_true(shortened < MAX_BUFFERED_BYTES / 2, shortened)
  end,
  conflate = function(got, shortened, how)
    assert.equal(MESSAGES, got[#got])
    -- Of a topic nothing else waits; of the others nothing that was there before a message that found the queue full.
    if how == "topic" then return assert.is_true(#got < 8, #got) end
    assert.is_true(shortened > MAX_BUFFERED_BYTES / 2, shortened)
  end,
}

describe("a peer with TLS that does not read", function()
  local it = tls.test(it, pending)

  after_each(server.stop_all)

  for _, how in ipairs({ "write", "broadcast", "topic" }) do
    it("gets what had begun to leave, then 1013, with the policy close: " .. how, function()
      local s, slow, witness, log = start({ slow_consumer = "close" })
      stall(s, log.ws[1])
      send_many(s, log.ws[1], witness, how)
      local got, why = read_to_close(slow)
      for i = 1, #got do assert.equal(i, got[i]) end
      assert.is_true(#got < MESSAGES)
      assert.equal("\3\245", why)
      slow:send_close(1013)
      s:pump(function() return log.closed[1] end, "on_closed")
      assert.same({ 1013, "", false, "slow" }, { unpack(log.closed[1], 2, 5) })
    end)

    for policy, check in pairs(CHECKS) do
      it(("gets whole messages in order, and all are accounted for, with the policy %s: %s"):format(policy, how),
        function()
          local s, slow, witness, log, dropped = start({ slow_consumer = policy })
          local fills = stall(s, log.ws[1])
          local refused, shortened = send_many(s, log.ws[1], witness, how)
          local got = read_all(s, log.ws[1], slow, how)
          s:settle()
          check(got, shortened, how)
          local lost = refused + (dropped.t or 0) + (dropped.none or 0)
          assert.is_true(lost > 0)
          assert.equal(fills + MESSAGES, got.fills + #got + lost)
          if how == "topic" then assert.same({ fills, lost }, { got.fills, s.context:dropped("t") }) end
          assert.equal(0, #log.closed)
        end)
    end
  end

  it("is reset after close_timeout, with the policy close, where it goes on reading nothing", function()
    local s, slow, witness, log = start({ slow_consumer = "close", close_timeout = 5 })
    s:fake_time()
    local ws = log.ws[1]
    stall(s, ws)
    send_many(s, ws, witness, "write")
    assert.equal(0, #log.closed)
    s:advance(4.9)
    assert.equal(0, #log.closed)
    s:advance(0.1)
    assert.equal("slow", log.closed[1][5])
    assert.is_true(inside.buffered(s.context) < 64 * KIB)
    assert.equal(-1, ws:get_socket_fd())
    slow:await_end()
    witness:text("quick")
    assert.same({ 1, "quick" }, { witness:message() })
  end)
end)
