--- The states of a connection: every transition from every state, the outcome, and the deadline of each state.
-- @module spec.unit.connection.lifecycle_spec
local fakes = require("spec.support.fakes")
local lifecycle = require("websockets.connection.lifecycle")

local CLOSE = 8
local STATES = { "dialling", "http", "open", "closing", "draining", "lingering", "closed", "away" }

local function all_to(state)
  local to = {}
  for _, from in ipairs(STATES) do to[from] = state end
  return to
end

-- Each function, and the state that it leads to, from the states in which it does something.
local LEADS = {
  { "connected", { dialling = "http" } },
  { "dial_again", { http = "dialling" } },
  { "open", { http = "open" } },
  { "close", { open = "closing" }, 1000 },
  { "answer_close", { open = "draining", closing = "draining" },
    { code = 1000, reason = "", clean = true, why = "closed" }, "" },
  { "fail", { open = "draining", closing = "draining" }, 1002, "what", "protocol" },
  { "depart", { closed = "away" } },
  { "redial", { away = "dialling" }, fakes.phase(), 10, function() end },
  { "finish", { dialling = "closed", away = "closed", http = "draining" } },
  { "drained", { draining = "lingering" } },
  { "abort", all_to("closed"), "timeout" },
}

-- All that a transition may change.
local function snapshot(ws, wire)
  local timers, agenda = ws.context.timers, ws.context.agenda
  return {
    ws.state, ws.outcome or false, ws.fast, ws.slot, ws.paused, ws.timer_lane, ws.timer_slot,
    agenda.touched_count, agenda.retired_count, #wire.pushed, #wire.calls, timers:next_due() or false,
  }
end

describe("lifecycle", function()
  for _, row in ipairs(LEADS) do
    local name, to = row[1], row[2]
    for _, from in ipairs(STATES) do
      it(("%s in state %s leads to %s"):format(name, from, to[from] or "nothing"), function()
        -- A client: the end of a server's draining depends on more, see below.
        local ws, wire = fakes.connection(fakes.context(), from, name ~= "finish" and "client" or "server")
        assert.equal(from, ws.state)
        local before = snapshot(ws, wire)
        lifecycle[name](ws, row[3], row[4], row[5])
        assert.equal(to[from] or from, ws.state)
        if not to[from] or to[from] == from then assert.same(before, snapshot(ws, wire)) end
      end)
    end
  end

  it("depart leaves nothing of the old connection, redial begins with a deadline", function()
    local context = fakes.context()
    local ws = fakes.connection(context, "open", "client")
    lifecycle.pause(ws, true)
    lifecycle.abort(ws, "reset")
    assert.equal("reset", ws.outcome.why)
    lifecycle.depart(ws)
    assert.same({ nil, false, false, false }, { ws.outcome, ws.paused, ws.fast, ws.phase })
    local phase, fired = fakes.phase(), 0
    lifecycle.redial(ws, phase, 10, function() fired = fired + 1 end)
    assert.equal(phase, ws.phase)
    context.timers:run(context.now + 10)
    assert.equal(1, fired)
  end)

  it("complete brings to its end what an error has left on the way there", function()
    local context = fakes.context()
    local ws = fakes.connection(context, "open")
    ws.outcome = { code = 1006, reason = "", clean = false, why = "error" }
    lifecycle.complete(ws)
    assert.equal("closed", ws.state)
    assert.is_nil(context.timers:next_due())
    lifecycle.complete(ws)
    assert.equal(0, context.agenda.retired_count)
  end)

  it("finish of a client ends it before its connection is open, and does nothing later", function()
    for state, expected in pairs({ dialling = "closed", http = "closed", open = "open", draining = "draining" }) do
      local ws = fakes.connection(fakes.context(), state, "client")
      lifecycle.finish(ws)
      assert.equal(expected, ws.state)
    end
  end)

  it("drained ends a server at once after both close frames, or after the peer's end; else it waits", function()
    for _, case in ipairs({
      { "server", true, false, "closed" }, { "server", false, false, "lingering" },
      { "client", true, false, "lingering" }, { "client", false, false, "lingering" },
      { "server", false, true, "closed" }, { "client", true, true, "closed" },
    }) do
      local ws, wire = fakes.connection(fakes.context(), "open", case[1])
      lifecycle.answer_close(ws, { code = 1000, reason = "", clean = case[2], why = "closed" }, "")
      if case[3] then lifecycle.half_closed(ws) end
      wire.calls = {}
      lifecycle.drained(ws)
      assert.equal(case[4], ws.state)
      local ended = table.concat(wire.calls, ","):find("shutdown") ~= nil
      assert.equal(case[4] == "lingering" and not case[2], ended)
    end
  end)

  it("half_closed stops reading, and what is queued still leaves", function()
    local context = fakes.context()
    local ws = fakes.connection(context, "draining")
    lifecycle.half_closed(ws)
    assert.same({ "draining", true }, { ws.state, ws.paused })
    assert.same({ false, false }, context.poller.watched[ws])
  end)

  it("close queues a close frame with code and reason, or without", function()
    for _, case in ipairs({ { "\3\232bye", 1000, "bye" }, { "\15\160", 4000 }, { "" } }) do
      local ws, wire = fakes.connection(fakes.context())
      lifecycle.close(ws, case[2], case[3])
      assert.same({ { CLOSE, case[1] } }, wire.pushed)
      assert.is_nil(ws.outcome)
    end
  end)

  it("answer_close and fail send a close frame where ours has not been sent", function()
    local outcome = { code = 1000, reason = "x", clean = true, why = "closed" }
    for _, state in ipairs({ "open", "closing" }) do
      local ws, wire = fakes.connection(fakes.context(), state)
      wire.pushed = {}
      lifecycle.answer_close(ws, outcome, "\3\232")
      assert.same(state == "open" and { { CLOSE, "\3\232" } } or {}, wire.pushed)
      assert.equal(outcome, ws.outcome)

      ws, wire = fakes.connection(fakes.context(), state)
      wire.pushed = {}
      lifecycle.fail(ws, 1007, "not UTF-8", "utf8")
      assert.same(state == "open" and { { CLOSE, "\3\239" } } or {}, wire.pushed)
      assert.same({ code = 1007, reason = "not UTF-8", clean = false, why = "utf8" }, ws.outcome)
      assert.equal(1, ws.context.agenda.touched_count)
    end
  end)
end)

describe("the outcome of a connection", function()
  it("is 1006 where nothing was agreed, with the reason and the word that abort was given", function()
    for _, state in ipairs({ "dialling", "http", "open", "closing" }) do
      local ws = fakes.connection(fakes.context(), state)
      lifecycle.abort(ws, "reset", "why it broke")
      assert.same({ code = 1006, reason = "why it broke", clean = false, why = "reset" }, ws.outcome)
    end
    local ws = fakes.connection(fakes.context())
    lifecycle.abort(ws, "closed")
    assert.equal("", ws.outcome.reason)
  end)

  it("stays as it was agreed, and is clean only where our close frame has left", function()
    for _, case in ipairs({ { 0, true }, { 1, false } }) do
      local ws, wire = fakes.connection(fakes.context(), "draining", "client")
      wire.pending = case[1]
      lifecycle.abort(ws, "reset", "unheard")
      assert.same({ code = 1000, reason = "", clean = case[2], why = "closed" }, ws.outcome)
    end
  end)

  it("is that of the first end", function()
    local ws = fakes.connection(fakes.context())
    lifecycle.fail(ws, 1002, "first", "protocol")
    lifecycle.fail(ws, 1007, "second", "utf8")
    lifecycle.answer_close(ws, { code = 1000, reason = "", clean = true, why = "closed" }, "")
    assert.same({ code = 1002, reason = "first", clean = false, why = "protocol" }, ws.outcome)
  end)

  it("of an HTTP connection without WebSocket is 1006 and closed", function()
    local ws = fakes.connection(fakes.context(), "http")
    lifecycle.finish(ws)
    assert.same({ code = 1006, reason = "", clean = false, why = "closed" }, ws.outcome)
  end)

  it("is told once: code, reason, clean and why; what on_closed raises goes to on_error", function()
    local errors = {}
    local context = fakes.context({ on_error = function(err, ws) errors[#errors + 1] = { err, ws } end })
    local ws = fakes.connection(context, "closing")
    local heard
    ws:on_closed(function(...)
      heard = { ... }
      error("raised", 0)
    end)
    lifecycle.abort(ws, "timeout")
    assert.is_nil(heard)
    assert.equal(ws, context.agenda.retired[1])
    context.agenda:tell_closed(ws)
    assert.same({ ws, 1006, "", false, "timeout" }, heard)
    assert.same({ { "raised", ws } }, errors)
    context.agenda:tell_closed(fakes.connection(context, "closed"))
  end)
end)

describe("the deadline of a connection", function()
  local context

  local function due() return (context.timers:next_due() or 0) - context.now end

  -- How many deadlines run in all.
  local function running(...)
    local count = 0
    for _, lane in ipairs({ ... }) do count = count + context.timers:running(lane) end
    return count
  end

  before_each(function()
    context = fakes.context({ close_timeout = 5, response_timeout = 30, handshake_timeout = 10, idle_timeout = 60 })
  end)

  it("is in each state that of what is awaited there", function()
    for state, seconds in pairs({ http = 10, open = 10, closing = 5, draining = 5, lingering = 5 }) do
      context = fakes.context({ close_timeout = 5, handshake_timeout = 10 })
      fakes.connection(context, state)
      assert.is_true(math.abs(due() - seconds) < 1e-6, state)
      assert.equal(1, running(context.half_open, 5, context.timers:lane("lingering", 5)))
    end
    fakes.connection(context, "closed")
  end)

  it("ends a connection that has reached it: 1006, timeout, or what was agreed before", function()
    for state, expected in pairs({
      http = { 1006, "timeout" }, open = { 1006, "timeout" }, closing = { 1006, "timeout" },
      draining = { 1000, "closed" }, lingering = { 1002, "protocol" },
    }) do
      context = fakes.context({ close_timeout = 5, handshake_timeout = 10 })
      local ws = fakes.connection(context, state)
      context.timers:run(context.now + due() - 0.001)
      assert.equal(state, ws.state)
      context.timers:run(context.now + due() + 0.001)
      assert.equal("closed", ws.state)
      assert.same(expected, { ws.outcome.code, ws.outcome.why })
    end
  end)

  it("begins anew with each progress; response_timeout counts while an HTTP answer leaves", function()
    local ws = fakes.connection(context, "closing")
    context.now = context.now + 4
    lifecycle.progress(ws)
    assert.is_true(math.abs(due() - 5) < 1e-6)
    assert.equal(1, running(5, 30, context.half_open))
    context = fakes.context({ close_timeout = 5, response_timeout = 30 })
    lifecycle.finish((fakes.connection(context, "http")))
    assert.is_true(math.abs(due() - 30) < 1e-6)
  end)

  it("is one only: a new one takes the place of the one before, and nil stops it", function()
    local ws = fakes.connection(context)
    lifecycle.deadline(ws, 7, function() error("never") end)
    lifecycle.deadline(ws, 8, function() error("never") end)
    assert.same({ 0, 1 }, { running(context.half_open, 7), running(8) })
    lifecycle.deadline(ws, nil)
    assert.is_nil(context.timers:next_due())
    assert.is_false(ws.timer_slot)
    lifecycle.deadline(ws, false)
  end)

  it("and the one of idle_timeout are gone in a closed connection, from every state", function()
    for _, state in ipairs(STATES) do
      local ws = fakes.connection(context, state)
      if state ~= "closed" then
        ws.idle_slot = context.timers:start(60, context.now, ws, function() error("never") end)
      end
      lifecycle.abort(ws, "closed")
      assert.is_nil(context.timers:next_due(), state)
    end
  end)
end)
