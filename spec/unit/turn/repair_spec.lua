--- What an error in the library has left half done is brought to an end, without sockets.
-- @module spec.unit.turn.repair_spec
local fakes = require("spec.support.fakes")
local jobs = require("websockets.pubsub.redis.jobs")
local lifecycle = require("websockets.connection.lifecycle")
local repair = require("websockets.turn.repair")

describe("repair", function()
  local context

  before_each(function() context = fakes.context({ on_error = function() end }) end)

  it("leaves alone what waits for its deadline, and open connections without pings", function()
    local states = { "http", "open", "closing", "draining", "lingering" }
    local all = {}
    for i, state in ipairs(states) do all[i] = fakes.connection(context, state) end
    context.settings.ping_interval = false
    all[6] = fakes.connection(context, "open")
    lifecycle.deadline(all[6], nil)
    repair.run(context)
    for i, state in ipairs(states) do assert.equal(state, all[i].state) end
    assert.equal("open", all[6].state)
    assert.equal(0, context.agenda.retired_count)
  end)

  it("ends a connection that waits for nothing, with the word error", function()
    local ws = fakes.connection(context, "closing")
    lifecycle.deadline(ws, nil)
    repair.run(context)
    assert.same({ "closed", "error" }, { ws.state, ws.outcome.why })
    assert.equal(1, context.agenda.retired_count)
  end)

  it("ends no connection for a timer of anything else, whatever that has a state of", function()
    local job = jobs.new(fakes.connection(context, "open"), nil, nil)
    job.state = {}
    context.timers.firing = job
    repair.run(context)
    assert.is_false(context.timers.firing)
    assert.same({ "open", 0 }, { job.ws.state, context.agenda.retired_count })
  end)

  it("has an end reported that was not on the list of ends, and counts the connections anew", function()
    local ws = fakes.connection(context, "http")
    fakes.connection(context, "open")
    lifecycle.abort(ws, "closed")
    context.agenda.retired_count, context.connection_count, context.tally.open = 0, 7, 9
    repair.run(context)
    assert.same({ 1, 2, 1 }, { context.agenda.retired_count, context.connection_count, context.tally.open })
    assert.equal(ws, context.agenda.retired[1])
  end)

  it("tries again with a connection that is away and not planned, or amid its next try", function()
    local waiting = fakes.connection(context, "away")
    waiting.comeback = { place = 1 }
    local lost, halfway = fakes.connection(context, "away"), fakes.connection(context, "away")
    lost.comeback, halfway.comeback = { place = false }, { place = false }
    lifecycle.redial(halfway, fakes.phase())
    for _, ws in ipairs({ waiting, lost, halfway }) do
      context.owners[ws.fd] = nil
      context.away[ws] = true
    end
    local retired = context.agenda.retired_count
    repair.run(context)
    assert.same({ "away", "closed", "closed" }, { waiting.state, lost.state, halfway.state })
    assert.same({ "error", "error" }, { lost.outcome.why, halfway.outcome.why })
    assert.equal(retired + 2, context.agenda.retired_count)
    assert.equal(true, context.away[waiting])
  end)

  it("ends the connection that was being served or whose timer fired; a listener goes on", function()
    for _, name in ipairs({ "current", "firing" }) do
      local ws = fakes.connection(context, "open")
      local place = name == "current" and context.agenda or context.timers
      place[name], context.agenda.is_damaged = ws, true
      repair.run(context)
      assert.same({ "closed", false, false }, { ws.state, place[name], context.agenda.is_damaged })
    end
    local accepted = 0
    context.agenda.current = { context = context, accept = function() accepted = accepted + 1 end }
    repair.run(context)
    assert.is_false(context.agenda.current)
    assert.equal(1, context.agenda.waiting_count)
  end)
end)
