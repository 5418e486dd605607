--- TLS handshakes that wait for their turn.
-- @module spec.unit.server.handshakes_spec
local fakes = require("spec.support.fakes")
local handshakes = require("websockets.server.handshakes")
local lifecycle = require("websockets.connection.lifecycle")

describe("websockets.server.handshakes", function()
  local context, queue, elapsed

  before_each(function()
    context = fakes.context({})
    elapsed = 0
    context.turn, context.now = 1, 100
    context.clock = function() return context.now + elapsed end
    queue = handshakes.new(context)
  end)

  -- A connection that asks for a step, and waits where it is refused; gives whether it was granted.
  local function ask(ws)
    local is_granted = queue:may_begin(ws.wire.transport)
    queue:follow(ws)
    return is_granted
  end

  local function arrive()
    local ws = fakes.connection(context, "http")
    ws.wire.transport = {}
    ws.phase.queue = queue
    return ws, ask(ws)
  end

  local function next_turn()
    context.turn = context.turn + 1
    local served = fakes.take_waiting(context)
    for _, owner in ipairs(served) do
      if owner == queue then queue:accept() end
    end
    return served
  end

  local function is_served(list, ws)
    for _, owner in ipairs(list) do
      if owner == ws then return true end
    end
    return false
  end

  it("grants one step a turn at once; those after it are not read, and wait in their order", function()
    local first, is_granted = arrive()
    assert.is_true(is_granted)
    assert.is_false(first.paused)
    local second, third
    second, is_granted = arrive()
    assert.is_false(is_granted)
    third, is_granted = arrive()
    assert.is_false(is_granted)
    assert.is_true(second.paused and third.paused)
    -- The turn that refused them goes on.
    local served = next_turn()
    assert.is_true(is_served(served, queue))
    assert.same({ false, true }, { second.paused, third.paused })
    served = next_turn()
    assert.is_true(is_served(served, second))
    assert.is_true(ask(second))
    assert.is_false(third.paused)
    -- Nobody passes them.
    served = next_turn()
    assert.is_true(is_served(served, third))
    assert.is_true(ask(third))
    assert.is_false(is_served(next_turn(), queue))
    assert.is_true(ask(first))
  end)

  it("grants more where others make a turn long, but not without end", function()
    arrive()
    local list = {}
    for i = 1, 40 do list[i] = arrive() end
    local function going()
      local count = 0
      for _, ws in ipairs(list) do count = count + (ws.paused and 0 or 1) end
      return count
    end
    elapsed = 0.0035
    next_turn()
    assert.equal(4, going())
    elapsed = 5
    next_turn()
    assert.equal(4 + 8, going())
  end)

  it("passes over those that have ended, or gone on, and keeps nothing of them", function()
    arrive()
    local ended, gone, last = arrive(), arrive(), arrive()
    lifecycle.abort(ended, "timeout")
    gone.phase = fakes.phase()
    next_turn()
    assert.is_true(gone.paused)
    assert.is_false(last.paused)
    assert.is_nil(next(queue.waiting))
    local kept = setmetatable({ last.wire.transport }, { __mode = "v" })
    last.wire.transport = nil
    collectgarbage()
    collectgarbage()
    assert.is_nil(kept[1])
  end)

  it("has nobody wait who was not refused", function()
    local ws = arrive()
    queue:follow(ws)
    assert.is_false(ws.paused)
    assert.same({}, fakes.take_waiting(context))
  end)
end)
