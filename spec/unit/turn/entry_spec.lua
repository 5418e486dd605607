--- Entering a context: whatever is done there, the turn comes to its end and the context can be used again.
-- @module spec.unit.turn.entry_spec
local entry = require("websockets.turn.entry")
local fakes = require("spec.support.fakes")
local lifecycle = require("websockets.connection.lifecycle")

describe("entry", function()
  local context, logged

  -- What came out of a call: nil where nothing was raised.
  local function raised(call, ...)
    local is_good, err = pcall(call, ...)
    return not is_good and err or nil
  end

  local function fail_with(err) return function() error(err, 0) end end

  -- Whether a whole turn can be run: its end tells of an end and closes.
  local function assert_usable()
    local told = 0
    local ws, wire = fakes.connection(context)
    ws:on_closed(function() told = told + 1 end)
    assert.equal("result", entry.within(context, function()
      assert.is_true(context.busy)
      lifecycle.abort(ws, "closed")
      return "result"
    end))
    assert.same({ false, 1, -1, "close" }, { context.busy, told, ws.fd, wire.calls[#wire.calls] })
    assert.is_nil(context.owners[ws.fd])
    assert.equal(0, context.agenda.retired_count)
  end

  before_each(function()
    logged = {}
    context = fakes.context({ log = function(level, message) logged[#logged + 1] = level .. ": " .. message end })
  end)

  it("gives back what was returned, up to three values, and what was given", function()
    assert.same({ n = 3, 1, nil, 3 }, (function(...) return { n = select("#", ...), ... } end)(
      entry.within(context, function(...)
        assert.same({ "a", nil, "c" }, { ... })
        return 1, nil, 3
      end, "a", nil, "c")))
    assert_usable()
  end)

  it("takes what is entered inside a turn as part of it", function()
    local turn = context.turn
    entry.within(context, function()
      entry.within(context, function() assert.equal(turn + 1, context.turn) end)
      assert.is_true(context.busy)
    end)
    assert.equal(turn + 1, context.turn)
    -- The time is that of the turn's beginning.
    context.clock = function() return 500 end
    entry.within(context, function() assert.equal(500, context.now) end)
  end)

  it("brings the turn to its end after an error, which is raised then, as it was", function()
    local err, told = { "a table" }, 0
    local ws, wire = fakes.connection(context)
    ws:on_closed(function() told = told + 1 end)
    assert.equal(err, raised(entry.within, context, function()
      lifecycle.abort(ws, "closed")
      error(err)
    end))
    assert.same({ 1, "close", -1, false }, { told, wire.calls[#wire.calls], ws.fd, context.busy })
    assert_usable()
  end)

  it("brings the turn to its end where the end itself was interrupted, by whichever connection", function()
    for broken = 1, 3 do
      local all, told = {}, {}
      for i = 1, 3 do
        all[i] = fakes.connection(context)
        all[i]:on_closed(function() told[#told + 1] = i end)
      end
      all[broken].wire.flush = fail_with("flush")
      local waiting, wire = fakes.connection(context)
      assert.equal("flush", raised(entry.within, context, function()
        for i = 1, 3 do context.agenda:touch(all[i]) end
        context.agenda:touch(waiting)
        lifecycle.abort(all[broken % 3 + 1], "closed")
      end))
      -- Nobody can tell how much of it was sent, so it ends.
      assert.same({ broken % 3 + 1, broken }, told)
      assert.equal("flush", wire.calls[#wire.calls])
      assert.equal(0, context.agenda.touched_count)
      assert_usable()
    end
  end)

  it("raises the first error, logs the others, and tells on_error all where it is there", function()
    local function both()
      local ws = fakes.connection(context)
      ws.wire.flush = fail_with("end")
      return raised(entry.within, context, function()
        context.agenda:touch(ws)
        error("work", 0)
      end)
    end
    assert.equal("work", both())
    assert.same({ "error: end" }, logged)
    local heard = {}
    context.settings.on_error = function(err) heard[#heard + 1] = err end
    assert.is_nil(both())
    assert.same({ "work", "end" }, heard)
    context.settings.on_error = function(err) error("on_error " .. err, 0) end
    assert.equal("on_error work", both())
    assert.is_false(context.agenda.failure)
    context.settings.on_error = nil
    assert_usable()
  end)

  it("can be used again where the error came before anything was done", function()
    local clock = context.clock
    context.clock = fail_with("clock")
    assert.equal("clock", raised(entry.within, context, function() end))
    context.clock = clock
    assert_usable()
  end)

  it("closes what was told even where closing raises, each descriptor once", function()
    local all, closed = {}, {}
    for i = 1, 3 do
      all[i] = fakes.connection(context)
      all[i].wire.close = function()
        closed[#closed + 1] = i
        if i == 2 then error("close", 0) end
      end
    end
    assert.equal("close", raised(entry.within, context, function()
      for i = 1, 3 do lifecycle.abort(all[i], "closed") end
    end))
    assert.same({ 1, 2, 3 }, closed)
    assert.equal(0, context.connection_count)
    assert_usable()
  end)

  it("refuses service, service_fd and run inside a callback, and goes on", function()
    for _, name in ipairs({ "service", "service_fd", "run" }) do
      entry.within(context, function()
        assert.matches(name .. " may not be called inside a callback$", raised(entry[name], context))
      end)
    end
    assert_usable()
  end)

  it("lets nothing yield out of a turn", function()
    local thread = coroutine.create(function() return raised(entry.within, context, coroutine.yield) end)
    local resumed, err = coroutine.resume(thread)
    assert.is_true(resumed)
    assert.matches("yield", tostring(err))
    assert.equal("dead", coroutine.status(thread))
    assert_usable()
  end)

  it("sets the alarm of an outside loop after each turn, where there is one", function()
    entry.within(context, function() end)
    assert.same({}, context.poller.alarms)
    context.outside.is_used = true
    context.timers:start(3, context.now, {}, function() end)
    entry.within(context, function() end)
    assert.same({ 3 }, context.poller.alarms)
  end)

  it("serves what is ready, as long as it may wait; a turn of run waits without end", function()
    local ws, wire = fakes.connection(context)
    wire.reads = { { 1, "x" }, { 1, "y" } }
    context.timers:stop(ws.timer_lane, ws.timer_slot)
    context.timers:run(context.now + 1000)
    local heard = {}
    ws:on_receive(function(_, text)
      heard[#heard + 1] = text
      context.stopping = true
    end)
    context.poller.ready = { ws }
    entry.service(context, 5)
    context.poller.ready = { ws }
    entry.run(context)
    assert.same({ { "x", "y" }, { 5, false } }, { heard, context.poller.waits })
  end)

  it("leaves run at once where nothing is left, and where the last of it has gone", function()
    entry.run(context)
    assert.same({}, context.poller.waits)
    local ws = fakes.connection(context)
    function context.poller.wait()
      lifecycle.abort(ws, "closed")
      return 0, 0
    end
    entry.run(context)
    assert.equal(-1, ws.fd)
    local planned = { fire = function(self) context.timers:unplan(self) end }
    context.timers:plan(planned, context.now + 1)
    function context.poller.wait()
      context.now = context.now + 1
      return 0, 0
    end
    entry.run(context)
    assert.is_false(planned.place)
  end)

  it("leaves run by stop, by an error of a callback, and by destroy", function()
    fakes.connection(context)
    for _, way in ipairs({ "stop", "error", "destroy" }) do
      local turns = 0
      function context.poller.wait()
        turns = turns + 1
        if turns == 3 then
          if way == "stop" then context.stopping = true end
          if way == "error" then context.agenda:fail("callback") end
          if way == "destroy" then entry.destroy(context) end
        end
        return 0, 0
      end
      local err = raised(entry.run, context)
      assert.same({ 3, way == "error" and "callback" or nil }, { turns, err })
      assert.equal(way == "destroy", context.destroyed)
    end
  end)

  it("repairs the context in a turn of its own where memory was refused and on_error knows", function()
    context.settings.on_error = function() end
    local lost, turns = fakes.connection(context, "closing"), 0
    lifecycle.deadline(lost, nil)
    function context.poller.wait()
      turns = turns + 1
      if turns == 1 then context.agenda:fail("not enough memory") end
      if turns == 2 then context.stopping = true end
      return 0, 0
    end
    entry.run(context)
    assert.same({ "closed", "error" }, { lost.state, lost.outcome.why })
    assert.same({ 2, false, false }, { turns, context.agenda.is_damaged, context.agenda.failure })
  end)

  describe("destroy", function()
    local all, heard

    before_each(function()
      all, heard = {}, {}
      for i, state in ipairs({ "http", "open", "closing", "draining", "lingering" }) do
        all[i] = fakes.connection(context, state)
        all[i]:on_closed(function(_, code, _, _, why) heard[#heard + 1] = state .. " " .. code .. " " .. why end)
      end
    end)

    local function assert_destroyed()
      table.sort(heard)
      assert.same({
        "closing 1006 destroyed", "draining 1000 closed", "http 1006 destroyed", "lingering 1002 protocol",
        "open 1001 destroyed",
      }, heard)
      for i = 1, 5 do
        assert.equal(-1, all[i].fd)
        assert.equal("close", all[i].wire.calls[#all[i].wire.calls])
      end
      assert.same({ { 8, "\3\233" } }, all[2].wire.pushed)
      assert.same({ true, true, false }, { context.destroyed, context.poller.is_closed, context.busy })
      assert.equal(0, context.connection_count)
    end

    it("outside of a turn ends everything at once, the listener too", function()
      local is_closed = false
      context.listener = { close = function() is_closed = true end }
      context.owners[1] = context.listener
      entry.destroy(context)
      assert.is_true(is_closed)
      assert_destroyed()
    end)

    it("inside of a turn does so at its end", function()
      entry.within(context, function()
        entry.destroy(context)
        assert.same({ false, 0 }, { context.destroyed, #heard })
      end)
      assert_destroyed()
    end)

    it("raises what on_closed and wires raise, and has ended everything", function()
      local note = all[1].closed_handler
      all[1]:on_closed(function(...)
        note(...)
        error("on_closed", 0)
      end)
      all[5].wire.flush = fail_with("flush")
      local close = all[3].wire.close
      all[3].wire.close = function(wire)
        close(wire)
        error("close", 0)
      end
      assert.equal("flush", raised(entry.destroy, context))
      assert.same({ "error: on_closed", "error: close" }, logged)
      assert_destroyed()
    end)

    it("leaves a context in which nothing runs as a turn any more", function()
      entry.destroy(context)
      local turn = context.turn
      entry.settle(context)
      assert.same({ 1, 2 }, { entry.within(context, function(...) return ... end, 1, 2) })
      assert.equal(turn, context.turn)
    end)
  end)
end)
