--- The frames that wait to be sent: what is offered to the socket, what was taken, what is dropped.
-- @module spec.unit.wire.queue_spec

local queue = require "websockets.wire.queue"

local MANY_PIECES = 8192

-- A wire, as far as its queue looks at it.
local function wire(...)
  local made = {
    hub = { pieces = 0, buffered = 0 }, queue = false, fixed = false, first = 1, last = 0, pending = 0,
    sending = false, sent = 0, transport = {},
  }
  for _, frame in ipairs({ ... }) do
    queue.append(made, frame, false)
    made.pending, made.hub.buffered = made.pending + #frame, made.hub.buffered + #frame
  end
  return made
end

describe("wire/queue", function()
  it("offers nothing where nothing waits, and no empty frame ever", function()
    local one = wire()
    assert.is_nil((queue.next_offer(one)))
    queue.append(one, "", false)
    assert.is_nil((queue.next_offer(one)))
    assert.equal(0, one.hub.pieces)
  end)

  it("joins small frames into one offer, up to 64 KiB", function()
    local one = wire("a", "b", ("c"):rep(65534), "d")
    assert.same({ "ab" .. ("c"):rep(65534), 3 }, { queue.next_offer(one) })
    assert.same({ ("x"):rep(70000), 1 }, { queue.next_offer(wire(("x"):rep(70000), "y")) })
  end)

  it("joins as much as the transport wants", function()
    local one = wire("abc", "def", "g")
    one.transport.join_bytes = 6
    assert.same({ "abcdef", 2 }, { queue.next_offer(one) })
    one.transport.join_bytes = 5
    assert.same({ "abc", 1 }, { queue.next_offer(one) })
  end)

  it("takes off what was sent whole, and keeps apart what has begun to leave", function()
    local one = wire("abc", "def", "ghi")
    local _, upto = queue.next_offer(one)
    queue.take_off(one, 5, upto)
    assert.same({ "def", 2 }, { one.sending, one.sent })
    assert.same({ "ghi", 3 }, { queue.next_offer(one) })
    assert.equal(1, one.hub.pieces)
  end)

  it("begins again at the front once all is taken", function()
    local one = wire("abc", "def")
    queue.take_off(one, 6, 2)
    assert.same({ 1, 0, false, 0 }, { one.first, one.last, one.sending, one.hub.pieces })
    queue.append(one, "next", false)
    assert.same({ "next", 1 }, { queue.next_offer(one) })
  end)

  it("drops the oldest first, no more than enough, and never what is fixed", function()
    local one = wire("one", "two")
    queue.append(one, "fixed", true)
    queue.append(one, "four", false)
    assert.equal(3, queue.drop(one, 2))
    assert.equal("twofixedfour", (queue.next_offer(one)))
    assert.equal(7, queue.drop(one, math.huge))
    assert.equal("fixed", (queue.next_offer(one)))
    assert.equal(0, queue.drop(one, math.huge))
    assert.equal(0, queue.drop(wire(), math.huge))
  end)

  it("gives the hub back what was dropped", function()
    local one = wire("one", "two")
    queue.drop(one, math.huge)
    assert.same({ 0, 0, 0 }, { one.pending, one.hub.buffered, one.hub.pieces })
  end)

  it("joins fixed frames that follow each other, up to 512 bytes", function()
    local one = wire()
    queue.append(one, ("a"):rep(500), true)
    queue.append(one, ("b"):rep(12), true)
    assert.equal(1, one.hub.pieces)
    queue.append(one, "c", true)
    assert.equal(2, one.hub.pieces)
    assert.equal(0, queue.drop(one, math.huge))
  end)

  it("does not join a fixed frame to one that may be dropped", function()
    local one = wire("a")
    queue.append(one, "b", true)
    assert.equal(1, queue.drop(one, math.huge))
    assert.equal("b", (queue.next_offer(one)))
  end)

  it("weighs many tiny frames by more than their bytes", function()
    assert.equal(10, queue.weight(10, MANY_PIECES))
    assert.equal((MANY_PIECES + 1) * 128, queue.weight(10, MANY_PIECES + 1))
    assert.equal(1e9, queue.weight(1e9, MANY_PIECES + 1))
  end)
end)
