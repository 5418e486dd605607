--- What waits to be sent on one connection: when it is flushed, how much may wait, what is dropped and what stays.
-- @module spec.unit.wire.stream_queue_spec

local stream = require "websockets.wire.stream"
local wires = require "spec.support.wires"

local TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
local carry, frame, bytes_at = wires.carry, wires.frame, wires.bytes_at

local hub

local function pair(script, limits) return wires.pair(hub, script, limits) end

before_each(function() hub = stream.hub() end)

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
