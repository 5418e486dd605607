--- The messages of one connection over two ends in memory: order, parts, what is read, what failed.
-- @module spec.unit.wire.stream_spec

local engine = require("websockets.engine.loader").choose()
local interrupts = require "spec.support.interrupts"
local memory = require "websockets.transport.memory"
local stream = require "websockets.wire.stream"
local wires = require "spec.support.wires"

local TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
local ROOMY, start, carry, frame, bytes_at = wires.ROOMY, wires.start, wires.carry, wires.frame, wires.bytes_at

local hub

local function pair(script, limits) return wires.pair(hub, script, limits) end

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

  it("sends on after a push that was interrupted at any step", function()
    local met = interrupts.sweep(1, function(steps)
      hub = stream.hub()
      local server, client = pair()
      server:push(TEXT, "before")
      local function push()
        interrupts.arm(steps, push)
        server:push(TEXT, "interrupted")
      end
      pcall(push)
      -- Not `carry`, which goes on until nothing is counted.
      server:flush()
      for i = 1, 3 do
        server:push(TEXT, "after " .. i)
        server:flush()
        assert.equal(0, server:buffered())
      end
      local got = carry(server, client)
      assert.equal("after 3", got[#got])
    end)
    assert.is_true(met > 10)
  end)

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

  it("reads what came after the handshake first", function()
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
    until again ~= true
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
