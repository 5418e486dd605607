--- What is unfinished on connections: who ends for want of progress, and who makes room.
-- @module spec.unit.connection.unfinished_spec
local fakes = require("spec.support.fakes")
local lifecycle = require("websockets.connection.lifecycle")
local unfinished = require("websockets.connection.unfinished")

local LIMIT = 10 * 1024 * 1024

describe("unfinished messages", function()
  local context

  before_each(function()
    context = fakes.context({ max_unfinished_total_bytes = LIMIT, message_timeout = 60 })
  end)

  -- A connection whose wire tells what `held` and `progress` say; the budget knows.
  local function add(held)
    local ws, wire = fakes.connection(context)
    lifecycle.deadline(ws, nil)
    local one = { ws = ws, held = 0, progress = 1 }
    function one.hold(bytes, progress)
      context.budget:charge(bytes - one.held)
      one.held, one.progress = bytes, progress or one.progress
    end
    function wire.unfinished() return one.held, one.progress end
    function wire.release()
      one.is_released = true
      one.hold(0)
    end
    one.hold(held)
    unfinished.note(ws)
    return one
  end

  local function pass(seconds)
    context.now = context.now + seconds
    context.timers:run(context.now)
  end

  local function ends(...)
    local found = {}
    for i, one in ipairs({ ... }) do found[i] = one.ws.outcome and one.ws.outcome.code or "-" end
    return table.concat(found, " ")
  end

  it("without progress end after message_timeout: 1008, timeout, and give back what they hold", function()
    local one = add(200)
    pass(59.9)
    assert.equal("-", ends(one))
    pass(0.2)
    assert.same({ 1008, "timeout", true }, { one.ws.outcome.code, one.ws.outcome.why, one.is_released })
    assert.equal("draining", one.ws.state)
    assert.is_nil(next(context.unfinished.entries))
  end)

  it("with progress have the time anew; what has ended is forgotten", function()
    local one, other = add(200), add(200)
    one.hold(100000, 2)
    other.hold(0)
    pass(60)
    assert.is_true(next(context.unfinished.entries) == one.ws and next(context.unfinished.entries, one.ws) == nil)
    pass(60)
    assert.equal("1008 -", ends(one, other))
  end)

  it("are not judged while reading is paused", function()
    local one = add(200)
    lifecycle.pause(one.ws, true)
    pass(60)
    assert.equal("-", ends(one))
    lifecycle.pause(one.ws, false)
    pass(60)
    assert.equal("1008", ends(one))
  end)

  it("are forgotten when the connection closes", function()
    lifecycle.abort(add(200).ws, "closed")
    assert.is_nil(next(context.unfinished.entries))
    assert.is_nil(context.timers:next_due())
  end)

  it("past the limit the one without progress for longest ends: 1009, too_big, not the newcomer", function()
    local first, second = add(LIMIT / 2), add(LIMIT / 2)
    local third = add(1000)
    assert.equal("1009 - -", ends(first, second, third))
    assert.same({ "too_big", true }, { first.ws.outcome.why, first.is_released })
    third.hold(LIMIT / 2 + 1)
    unfinished.note(third.ws)
    assert.equal("1009 1009 -", ends(first, second, third))
  end)

  it("past the limit one that has made progress comes last", function()
    local first, second = add(LIMIT / 2), add(LIMIT / 2)
    first.hold(LIMIT / 2, 2)
    local third = add(1000)
    assert.equal("- 1009 -", ends(first, second, third))
  end)

  it("past the limit those that hold little stay, however old", function()
    local little = {}
    for i = 1, 100 do little[i] = add(4096) end
    local much = add(LIMIT)
    -- Alone with little ones, it has to go itself.
    assert.equal("1009", ends(much))
    for i = 1, 100 do assert.equal("-", ends(little[i])) end
    much = add(LIMIT / 2)
    for i = 101, 2600 do little[i] = add(4096) end
    assert.equal("1009", ends(much))
    assert.is_true(context.budget:room() < 0)
    for i = 1, 2600 do assert.equal("-", ends(little[i])) end
  end)

  it("that have become small, or ended, are passed over", function()
    local first, second, third = add(LIMIT / 2), add(LIMIT / 4), add(LIMIT / 4)
    first.hold(100, 2)
    second.hold(0)
    local fourth = add(LIMIT)
    assert.equal("- - 1009 1009", ends(first, second, third, fourth))
  end)

  it("never end for time where message_timeout is false, but make room", function()
    context = fakes.context({ max_unfinished_total_bytes = LIMIT, message_timeout = false })
    local one = add(LIMIT)
    pass(1e6)
    assert.equal("-", ends(one))
    add(1)
    assert.equal("1009", ends(one))
  end)
end)
