--- Which of the connections that wait for their peer is given up first.
-- @module spec.unit.connection.lanes_spec
local lanes = require("websockets.connection.lanes")
local timers = require("websockets.connection.timers")

local function nothing() end

describe("the lanes of waiting connections", function()
  local context, half_open

  before_each(function()
    context = { timers = timers.new(), now = 100 }
    half_open = context.timers:lane("handshake", 10)
  end)

  local function start(lane, owner, ago)
    context.timers:start(lane, context.now - (ago or 5), owner, nothing)
  end

  it("are one for a kind and a time; false is a time without end", function()
    assert.equal(context.timers:lane("body", 30), context.timers:lane("body", 30))
    assert.are_not.equal(context.timers:lane("body", 30), context.timers:lane("body", 5))
    assert.are_not.equal(context.timers:lane("body", 30), context.timers:lane("answer", 30))
    assert.equal(math.huge, context.timers:lane("body", false).seconds)
    assert.equal(half_open, context.timers:lane("handshake", 10))
  end)

  it("have no oldest where nobody waits", function()
    assert.is_nil(lanes.oldest(context))
    assert.is_nil(lanes.oldest(context, 0))
  end)

  it("are given up kind by kind, the oldest of a kind first", function()
    local expected = {}
    for i, kind in ipairs({ "answer", "body", "keepalive", "lingering", "handshake" }) do
      start(context.timers:lane(kind, 10), kind, 9 - i)
      table.insert(expected, 1, kind)
    end
    for _, kind in ipairs(expected) do
      assert.equal(kind, lanes.oldest(context))
      context.timers:stop(context.timers:lane(kind, 10), 1)
    end
    start(context.timers:lane("body", 10), "ten", 3)
    start(context.timers:lane("body", 20), "twenty", 4)
    start(context.timers:lane("body", 30), "thirty", 2)
    assert.equal("twenty", lanes.oldest(context))
  end)

  it("spare what waits for less than a second, or for less than is asked: then the oldest of all goes", function()
    start(half_open, "newcomer", 0.1)
    start(context.timers:lane("body", 30), "body", 0.9)
    assert.is_nil(lanes.oldest(context))
    assert.is_nil(lanes.oldest(context, 0.95))
    assert.equal("body", lanes.oldest(context, 0.85))
    assert.equal("body", lanes.oldest(context, 0))
    start(context.timers:lane("answer", 30), "answer", 1)
    assert.equal("answer", lanes.oldest(context, 0))
  end)

  it("give up a connection whose time has no end", function()
    start(context.timers:lane("handshake", false), "silent")
    assert.equal("silent", lanes.oldest(context))
  end)
end)
