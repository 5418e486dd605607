--- The messages of one connection over two ends in memory: order, parts, limits, what is dropped and what stays.
-- @module spec.unit.wire.stream_spec

local engine = require("websockets.engine.loader").choose()
local memory = require "spec.support.memory_transport"
local stream = require "websockets.wire.stream"

local TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
local ROOMY = { high_water_bytes = 65536, max_buffered_bytes = 16777216 }

local hub

local function start(wire, role, leftover)
  wire:start({ role = role, max_message_bytes = 16777216, max_fragments = 1024 }, leftover or "")
  return wire
end

-- A server's wire, a client's, and the transport of each.
local function pair(script, limits)
  local one, other = memory.pair(script)
  local server = start(stream.new(hub, one, engine, limits or ROOMY), "server")
  local client = start(stream.new(stream.hub(), other, engine, ROOMY), "client")
  return server, client, one, other
end

-- Flushes one wire and reads the other until nothing moves any more; gives opcodes and payloads in a row.
local function carry(from, to)
  local got, batch = {}, {}
  repeat
    local pending, took = from:flush()
    local count, again = to:read(batch)
    for i = 1, 2 * (count or 0) do got[#got + 1] = batch[i] end
  until (pending or 0) == 0 and not took and (not count or (count == 0 and not again))
  return got
end

local function frame(payload, opcode) return engine.writer({ role = "server" }):encode(opcode or TEXT, payload) end

-- All bytes that a transport's other end has received.
local function bytes_at(transport)
  local pieces = {}
  for bytes in function() return (transport:receive()) end do pieces[#pieces + 1] = bytes end
  return table.concat(pieces)
end

before_each(function() hub = stream.hub() end)

describe("wire/stream", function()
  for _, chunk in ipairs({ 1, 7, false }) do
    it("carries messages both ways in order, in chunks of " .. (chunk or "all"), function()
      local server, client = pair({ chunk = chunk or nil })
      local sizes, expected = { 0, 1, 7, 125, 126, 300, 2 }, {}
      for i, size in ipairs(sizes) do
        local opcode, payload = i % 2 == 0 and BINARY or TEXT, ("x"):rep(size)
        expected[2 * i - 1], expected[2 * i] = opcode, payload
        assert.is_true(server:push(opcode, payload))
        assert.is_true(client:push(opcode, payload))
      end
      assert.same(expected, carry(server, client))
      assert.same(expected, carry(client, server))
      assert.same({ 0, 0 }, { server:buffered(), hub.buffered })
    end)

    it("carries fragments, control frames between them and raw bytes in front, in chunks of " .. (chunk or "all"),
      function()
        local server, _, _, other = pair({ chunk = chunk or nil })
        server:raw("HTTP/1.1 101\r\n\r\n")
        server:push(TEXT, "ab", false)
        server:push(PING, "p")
        server:push(0, "cd", true)
        server:push(CLOSE, "\3\232")
        local expected = "HTTP/1.1 101\r\n\r\n\1\2ab\137\1p\128\2cd\136\2\3\232"
        local got = ""
        repeat
          local pending = server:flush()
          got = got .. bytes_at(other)
        until pending == 0
        assert.equal(expected, got)
      end)
  end

  it("sends nothing before flush, and all small frames at once", function()
    local server, _, _, other = pair()
    for i = 1, 16 do server:push(TEXT, tostring(i)) end
    assert.same({ nil, "timeout" }, { other:receive() })
    assert.same({ 0, true }, { server:flush() })
    local bytes, more = other:receive()
    assert.is_false(more)
    assert.equal(2 * 16 + 9 + 14, #bytes)
    assert.same({ 0, false }, { server:flush() })
  end)

  it("goes on where the socket stopped taking bytes, with the same bytes", function()
    local server, _, one, other = pair({ capacity = 10 })
    local offered, send = {}, one.send
    one.send = function(self, bytes, from)
      offered[#offered + 1] = bytes
      return send(self, bytes, from)
    end
    server:push(TEXT, "0123456789abcdef")
    assert.same({ 8, true }, { server:flush() })
    assert.same({ 8, false }, { server:flush() })
    server:push(TEXT, "later")
    local got = bytes_at(other)
    assert.same({ 5, true }, { server:flush() })
    got = got .. bytes_at(other)
    assert.same({ 0, true }, { server:flush() })
    assert.equal(frame("0123456789abcdef") .. frame("later"), got .. bytes_at(other))
    assert.equal(offered[1], offered[2])
    assert.equal(offered[1], offered[3])
  end)

  it("tells why a flush failed, again and again", function()
    local server, _, one = pair()
    one.script.send_fails = "reset"
    server:push(TEXT, "x")
    assert.same({ nil, "reset" }, { server:flush() })
    assert.same({ nil, "reset" }, { server:flush() })
    assert.same({ 3, 3 }, { server:buffered(), hub.buffered })
  end)

  it("tells why a read failed", function()
    local server, client = pair()
    assert.same({ nil, "timeout" }, { server:read({}) })
    client:close()
    assert.same({ nil, "closed" }, { server:read({}) })
    server.transport.script.receive_fails = "reset"
    assert.same({ nil, "reset" }, { server:read({}) })
  end)

  it("reads what came behind the handshake first", function()
    local one, other = memory.pair()
    local server = start(stream.new(hub, one, engine, ROOMY), "server", "\129\128\0\0\0\0\129\129\0\0\0\0a\129")
    local batch = {}
    other:send("\129\0\0\0\0b", 1)
    assert.same({ 2, true }, { server:read(batch) })
    assert.same({ TEXT, "", TEXT, "a" }, { batch[1], batch[2], batch[3], batch[4] })
    assert.same({ 1, false }, { server:read(batch) })
    assert.same({ TEXT, "b" }, { batch[1], batch[2] })
  end)

  it("says that more is here when a batch is full, and reads it without receiving", function()
    local server, _, _, other = pair()
    other:send(("\137\128\0\0\0\0"):rep(700), 1)
    local batch, counts = {}, {}
    repeat
      local count, again = server:read(batch)
      counts[#counts + 1] = count
    until not again
    assert.same({ 256, 256, 188 }, counts)
  end)

  it("gives a breach as the last pair", function()
    local server, _, _, other = pair()
    other:send("\129\129\0\0\0\0a\129\1a", 1)
    local batch = {}
    assert.equal(2, (server:read(batch)))
    assert.same({ TEXT, "a", 1002 }, { batch[1], batch[2], batch[3] })
  end)
end)

describe("wire/stream limits", function()
  -- Frames of 100 bytes over a socket that takes nothing.
  local MESSAGE = ("x"):rep(98)
  local NARROW = { high_water_bytes = 200, max_buffered_bytes = 1000 }

  it("sends what is queued while it sends", function()
    local server, _, one, other = pair()
    local send = one.send
    function one.send(...)
      one.send = nil
      server:raw("behind")
      return send(...)
    end
    server:raw("first, ")
    assert.same({ 0, true }, { server:flush() })
    assert.equal("first, behind", bytes_at(other))
    assert.equal(0, server:buffered())
  end)

  it("flushes at once where high_water_bytes is passed, and not at it", function()
    local server, _, _, other = pair(nil, NARROW)
    server:push(TEXT, MESSAGE)
    server:push(TEXT, MESSAGE)
    assert.is_false(other:pending())
    server:push(TEXT, MESSAGE)
    assert.equal(200, #bytes_at(other))
    assert.equal(100, server:buffered())
  end)

  it("takes a message at max_buffered_bytes and refuses one past it: full", function()
    local server = pair({ capacity = 0 }, NARROW)
    for _ = 1, 10 do assert.is_true(server:push(TEXT, MESSAGE)) end
    assert.equal(1000, server:buffered())
    assert.is_true(server:push(TEXT, ""))
    assert.equal(1002, server:buffered())
    assert.same({ nil, "full" }, { server:push(TEXT, "") })
    assert.same({ nil, "full" }, { server:push(PONG, "") })
    assert.same({ 1002, 1002 }, { server:buffered(), hub.buffered })
  end)

  it("judges what remains after a flush", function()
    local server, _, one, other = pair({ capacity = 0 }, NARROW)
    for _ = 1, 10 do server:push(TEXT, MESSAGE) end
    server:push(TEXT, "")
    one.script.capacity = 2
    assert.is_true(server:push(TEXT, ""))
    assert.equal(2, other.held)
    assert.equal(1002, server:buffered())
  end)

  it("holds max_buffered_bytes where it is below high_water_bytes", function()
    local server = pair({ capacity = 0 }, { high_water_bytes = 65536, max_buffered_bytes = 150 })
    assert.is_true(server:push(TEXT, MESSAGE))
    assert.is_true(server:push(TEXT, MESSAGE))
    assert.same({ nil, "full" }, { server:push(TEXT, MESSAGE) })
  end)

  it("takes one message of any size when nothing waits, and always a close frame", function()
    local server = pair({ capacity = 0 }, NARROW)
    assert.is_true(server:push(BINARY, ("x"):rep(5000)))
    assert.same({ nil, "full" }, { server:push(BINARY, "") })
    -- A close frame always finds room.
    assert.is_true(server:push(CLOSE, ""))
  end)

  it("asks a socket that refused bytes again only when the answer decides", function()
    local server, _, one = pair({ capacity = 0 }, NARROW)
    local sends, send = 0, one.send
    one.send = function(...)
      sends = sends + 1
      return send(...)
    end
    for _ = 1, 10 do server:push(TEXT, MESSAGE) end
    assert.equal(1, sends)
    server:push(TEXT, "")
    server:push(TEXT, "")
    assert.equal(2, sends)
  end)

  it("tells at the next flush of bytes that were taken in between", function()
    local server, _, one = pair({ capacity = 0 }, NARROW)
    for _ = 1, 10 do server:push(TEXT, MESSAGE) end
    server:push(TEXT, "")
    assert.same({ 1002, false }, { server:flush() })
    one.script.capacity = 300
    server:push(TEXT, "")
    assert.same({ 704, true }, { server:flush() })
    assert.same({ 704, false }, { server:flush() })
  end)

  it("takes many tiny messages for more than their bytes", function()
    local server = pair({ capacity = 0 }, { high_water_bytes = 1, max_buffered_bytes = 9000 * 128 })
    local count = 0
    repeat
      count = count + 1
      local done, why = server:push(TEXT, "")
    until not done or count > 20000 or why
    assert.equal(9002, count)
    assert.equal(0, stream.excess(hub, 9001 * 128))
    assert.equal(128, stream.excess(hub, 9000 * 128))
    server:close()
    assert.same({ 0, 0 }, { hub.buffered, hub.pieces })
  end)

  it("keeps few strings for control frames that wait", function()
    local server, client, one = pair({ capacity = 0 })
    local expected = {}
    for i = 1, 2000 do
      local payload = ("%04d"):format(i)
      expected[2 * i - 1], expected[2 * i] = PONG, payload
      server:push(PONG, payload)
    end
    assert.is_true(server.last <= 24)
    assert.equal(12000, server:buffered())
    one.script.capacity = nil
    assert.same(expected, carry(server, client))
  end)
end)

describe("wire/stream drop", function()
  it("keeps control frames, fragments, raw bytes and what has begun to leave", function()
    local server, _, one, other = pair({ capacity = 3 })
    server:push(TEXT, "begun")
    server:flush()
    server:push(TEXT, "gone 1")
    server:push(PING, "stays")
    server:push(BINARY, "gone 2")
    server:push(TEXT, "frag", false)
    server:push(0, "ment", true)
    server:raw("raw")
    server:push(TEXT, "gone 3")
    assert.equal(24, server:drop(math.huge))
    local expected = frame("begun") .. frame("stays", PING) .. "\1\4frag\128\4mentraw"
    assert.same({ #expected - 3, #expected - 3 }, { server:buffered(), hub.buffered })
    one.script.capacity = nil
    assert.same({ 0, true }, { server:flush() })
    assert.equal(expected, bytes_at(other))
    assert.equal(0, server:drop(math.huge))
  end)

  it("takes back what was offered together with a frame that has begun to leave", function()
    local server, _, one, other = pair({ capacity = 3 })
    server:push(TEXT, "begun")
    server:push(TEXT, "not begun")
    server:flush()
    assert.equal(11, server:drop(math.huge))
    one.script.capacity = nil
    assert.same({ 0, true }, { server:flush() })
    assert.equal(frame("begun"), bytes_at(other))
  end)

  it("offers the same bytes again where the transport wants it, and drops none of them", function()
    local server, _, one = pair({ capacity = 3 })
    local offers, send = {}, one.send
    one.keeps_offer = true
    function one:send(bytes, from) -- luacheck: ignore
      offers[#offers + 1] = bytes
      return send(self, bytes, from)
    end
    server:push(TEXT, "begun")
    server:push(TEXT, "begun too")
    server:flush()
    server:push(TEXT, "gone")
    assert.equal(6, server:drop(math.huge))
    one.script.capacity = nil
    assert.same({ 0, true }, { server:flush() })
    assert.same({ frame("begun") .. frame("begun too"), offers[1] }, offers)
    assert.equal(0, hub.pieces)
  end)

  it("drops the oldest first, and no more than enough", function()
    local server, client = pair()
    for i = 1, 5 do server:push(TEXT, "message " .. i) end
    assert.equal(22, server:drop(12))
    assert.same({ TEXT, "message 3", TEXT, "message 4", TEXT, "message 5" }, carry(server, client))
    assert.equal(0, hub.buffered)
  end)

  it("takes messages after it dropped some", function()
    local server, client = pair()
    server:push(TEXT, "gone")
    server:push(PING, "stays")
    server:drop(math.huge)
    server:push(PONG, "next")
    server:push(TEXT, "last")
    assert.same({ PING, "stays", PONG, "next", TEXT, "last" }, carry(server, client))
  end)

  it("drops nothing where nothing waits, and forgets what was fixed once it has left", function()
    local server = pair()
    assert.equal(0, server:drop(math.huge))
    server:push(PING, "left")
    server:flush()
    server:push(TEXT, "gone")
    assert.equal(6, server:drop(math.huge))
  end)
end)
