--- What is counted of connections: openings, ends, handshakes, round trips.
-- @module spec.unit.connection.tally_spec
local fakes = require("spec.support.fakes")
local lifecycle = require("websockets.connection.lifecycle")

describe("the tally", function()
  local context, tally

  before_each(function()
    context = fakes.context()
    tally = context.tally
  end)

  it("counts what is open, whichever way it ends", function()
    local list = {}
    for i = 1, 4 do
      list[i] = fakes.connection(context, "http")
      lifecycle.open(list[i])
    end
    assert.same({ 4, 4 }, { tally.open, tally.opened })
    lifecycle.close(list[1], 1000)
    lifecycle.fail(list[2], 1002, "", "protocol")
    lifecycle.abort(list[3], "closed")
    assert.same({ 1, 4 }, { tally.open, tally.opened })
    lifecycle.abort(list[1], "closed")
    lifecycle.drained(list[2])
    assert.same({ 1, 4 }, { tally.open, tally.opened })
  end)

  it("counts ends of WebSockets by their code, and no others", function()
    local open, plain = fakes.connection(context, "open"), fakes.connection(context, "http")
    lifecycle.fail(open, 1008, "", "limit")
    tally:ended(open)
    plain.phase = fakes.phase()
    lifecycle.abort(plain, "closed")
    tally:ended(plain)
    local away = fakes.connection(context, "away")
    away.fd = -1
    lifecycle.abort(away, "closed")
    tally:ended(away)
    assert.same({ [1008] = 1 }, tally.closes.by_number)
  end)

  it("tells so many numbers apart, and the others are one: peers choose them", function()
    for status = 200, 399 do tally:answered("client", status) end
    tally:answered("client", 200)
    local kept, count = tally.handshakes.client.by_number, 0
    for _ in pairs(kept) do count = count + 1 end
    assert.same({ 65, 2, 136 }, { count, kept[200], kept.other })
    assert.same({}, tally.handshakes.server.by_number)
  end)

  it("measures from a ping to the pong with its payload", function()
    local now, ws = 100, fakes.connection(context, "open")
    context.clock = function() return now end
    tally:ponged(ws, "")
    tally:pinged(ws, "a")
    now = 107
    tally:pinged(ws, "b")
    context.now = 102
    tally:ponged(ws, "b")
    assert.equal(0, tally.round_trips:read().count)
    tally:ponged(ws, "a")
    tally:ponged(ws, "a")
    local read = tally.round_trips:read()
    assert.same({ 1, 2 }, { read.count, read.sum })
  end)

  it("forgets the pings of what has ended", function()
    local ws = fakes.connection(context, "http")
    lifecycle.open(ws)
    tally:pinged(ws, "")
    lifecycle.abort(ws, "closed")
    assert.is_nil(next(tally.pings))
  end)
end)
