--- What the wires of one context share: one message to all, who queued, how much waits in all.
-- @module spec.unit.wire.hub_spec

local new_budget = require("websockets.engine.budget").new
local engine = require("websockets.engine.loader").choose()
local memory = require "websockets.transport.memory"
local stream = require "websockets.wire.stream"

local TEXT, CLOSE = 1, 8
local ROOMY = { high_water_bytes = 65536, max_buffered_bytes = 16777216 }

describe("wire/stream fanout", function()
  local hub

  local function new_wire(script, role, limits)
    local one, other = memory.pair(script)
    local wire = stream.new(hub, one, engine, limits or ROOMY)
    wire:start({ role = role or "server", max_message_bytes = 1000, max_fragments = 10 })
    return wire, other
  end

  before_each(function() hub = stream.hub() end)

  it("encodes once for all server wires, and every wire gets the same string", function()
    local wires, ends, encoded = {}, {}, 0
    local writer = engine.writer({ role = "server" })
    local counting = { encode = function(_, ...)
      encoded = encoded + 1
      return writer:encode(...)
    end }
    for i = 1, 5 do
      wires[i], ends[i] = new_wire()
      assert.equal(writer, wires[i].writer)
      wires[i].writer = counting
    end
    assert.equal(0, stream.fanout(wires, 5, TEXT, "to all", {}))
    assert.equal(1, encoded)
    for i = 1, 5 do
      wires[i]:flush()
      assert.equal("\129\6to all", (ends[i]:receive()))
    end
  end)

  it("masks for each client by a key of its own", function()
    local one, end_one = new_wire(nil, "client")
    local two, end_two = new_wire(nil, "client")
    local reader = engine.reader({ role = "server", max_message_bytes = 1000, max_fragments = 10 })
    local batch, seen = {}, {}
    for i = 1, 4 do
      assert.equal(0, stream.fanout({ one, two }, 2, TEXT, "secret", {}))
      for _, both in ipairs({ { one, end_one }, { two, end_two } }) do
        both[1]:flush()
        local bytes = both[2]:receive()
        assert.equal(1, (reader:feed(bytes, batch)))
        assert.equal("secret", batch[2])
        seen[bytes] = true
      end
      if i == 4 then
        local count = 0
        for _ in pairs(seen) do count = count + 1 end
        assert.is_true(count > 1)
      end
    end
  end)

  it("queues only, and serves no more than the count", function()
    local a, end_a = new_wire()
    local b = new_wire()
    assert.equal(0, stream.fanout({ a, b }, 1, TEXT, "x", {}))
    assert.is_false(end_a:pending())
    assert.same({ 3, 0 }, { a:buffered(), b:buffered() })
  end)

  it("passes over the position that is left out, and false in the place of a wire", function()
    local a, b, c = new_wire(), new_wire(), new_wire()
    assert.equal(0, stream.fanout({ a, b, false, c }, 4, TEXT, "x", {}, false, 2))
    assert.same({ 3, 0, 3 }, { a:buffered(), b:buffered(), c:buffered() })
  end)

  it("tells the positions of those that are full, and serves the others", function()
    local narrow = { high_water_bytes = 10, max_buffered_bytes = 100 }
    local wires, troubled = {}, {}
    for i = 1, 4 do
      wires[i] = new_wire({ capacity = i % 2 == 0 and 0 or nil }, "server", narrow)
      wires[i]:push(TEXT, ("x"):rep(99))
    end
    assert.equal(2, stream.fanout(wires, 4, TEXT, "x", troubled))
    assert.same({ 2, 4 }, { troubled[1], troubled[2] })
    assert.same({ 3, 101, 3, 101 }, { wires[1]:buffered(), wires[2]:buffered(), wires[3]:buffered(),
      wires[4]:buffered() })
  end)

  it("sends nothing behind a close frame", function()
    local a, end_a = new_wire()
    local b = new_wire()
    a:push(CLOSE, "")
    assert.equal(0, stream.fanout({ a, b }, 2, TEXT, "x", {}))
    a:flush()
    assert.equal("\136\0", (end_a:receive()))
    assert.equal(3, b:buffered())
  end)
end)

describe("wire/stream hub", function()
  local hub

  local function new_wire(script)
    local one, other = memory.pair(script)
    local wire = stream.new(hub, one, engine, ROOMY)
    wire:start({ role = "server", max_message_bytes = 1000, max_fragments = 10, budget = hub.budget })
    return wire, other
  end

  before_each(function()
    hub = stream.hub()
    hub.budget = new_budget(10000)
  end)

  it("lists each wire that queued something once", function()
    local a, b = new_wire(), new_wire()
    new_wire()
    a:push(TEXT, "x")
    b:raw("y")
    a:push(TEXT, "z")
    assert.equal(2, hub.count)
    assert.equal(a, hub[1])
    assert.equal(b, hub[2])
  end)

  it("knows how much waits in all, and nothing once all have closed", function()
    local wires = {}
    for i = 1, 4 do
      wires[i] = new_wire({ capacity = 2 })
      wires[i]:push(TEXT, "waits")
      wires[i]:push(8, "")
    end
    assert.equal(4 * 9, hub.buffered)
    wires[1]:flush()
    assert.equal(4 * 9 - 2, hub.buffered)
    wires[2]:drop(math.huge)
    assert.equal(4 * 9 - 2 - 7, hub.buffered)
    for i = 1, 4 do
      wires[i]:close()
      wires[i]:close()
      assert.equal(0, wires[i]:buffered())
    end
    assert.equal(0, hub.buffered)
  end)

  it("tells of a flush only where the wire waits, no longer does, took bytes in between, broke or is new", function()
    local script = {}
    local one, other = memory.pair(script)
    local wire = stream.new(hub, one, engine, { high_water_bytes = 8, max_buffered_bytes = 8 }, "owner")
    local function flushed()
      local reports = {}
      local count = hub.flush(hub.source, reports)
      assert.equal(3 * count, #reports)
      return reports
    end
    wire:raw("HTTP")
    assert.same({ "owner", 0, true }, flushed())
    wire:start({ role = "server", max_message_bytes = 1000, max_fragments = 10 })
    wire:push(TEXT, "x")
    assert.same({}, flushed())
    script.capacity = other.held + 1
    wire:push(TEXT, "waits")
    assert.same({ "owner", 6, true }, flushed())
    script.capacity = nil
    wire:push(TEXT, "x")
    assert.same({ "owner", 0, true }, flushed())
    wire:push(TEXT, "x")
    assert.same({}, flushed())
    -- Passing the mark flushes within the turn.
    script.capacity = other.held + 20
    for _ = 1, 3 do wire:push(TEXT, "eight by") end
    script.capacity = nil
    assert.same({ "owner", 0, true }, flushed())
    script.send_fails = "reset"
    wire:push(TEXT, "x")
    assert.same({ "owner", false, "reset" }, flushed())
  end)

  it("goes on after an error in a flush, and tells that this wire broke, of which bytes may have left", function()
    local sent, reports = {}, {}
    for i = 1, 3 do
      local wire = new_wire()
      wire.owner = i
      wire:push(TEXT, "x")
      wire.transport.send = function(_, bytes, from)
        sent[#sent + 1] = i
        if i == 2 then error("transport", 0) end
        return #bytes + from
      end
    end
    assert.same({ false, "transport" }, { pcall(hub.flush, hub.source, reports) })
    assert.equal(1, hub.flush(hub.source, reports))
    assert.same({ { 2, false, "reset" }, { 1, 2, 3 }, 0 }, { reports, sent, hub.count })
    assert.equal(0, hub.flush(hub.source, reports))
  end)

  it("gives back what an unfinished message held when its wire closes", function()
    local wire, other = new_wire()
    other:send("\1\133\0\0\0\0hello", 1)
    assert.equal(0, (wire:read({})))
    assert.is_true(hub.budget:used() >= 5)
    wire:close()
    assert.equal(0, hub.budget:used())
  end)

  it("can be closed before it speaks WebSocket", function()
    local one, other = memory.pair()
    local wire = stream.new(hub, one, engine, ROOMY)
    wire:raw("HTTP/1.1 400 Bad Request\r\n\r\n")
    wire:close()
    assert.equal(0, hub.buffered)
    assert.same({ nil, "closed" }, { other:receive() })
  end)

  it("receives as the transport does, and ends the sending direction", function()
    local one, other = memory.pair()
    local wire = stream.new(hub, one, engine, ROOMY)
    other:send("GET", 1)
    assert.same({ "GET", false }, { wire:receive() })
    wire:shutdown()
    assert.same({ nil, "closed" }, { other:receive() })
    other:send("x", 1)
    assert.equal("x", (wire:receive()))
  end)
end)
