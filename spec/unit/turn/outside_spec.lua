--- What an event loop of the application is told: when to come back, and when full sockets are tried again.
-- @module spec.unit.turn.outside_spec
local fakes = require("spec.support.fakes")
local outside = require("websockets.turn.outside")

local POLLIN = 1

describe("outside", function()
  local context, poller

  local function near(expected, seconds) assert.is_true(math.abs(expected - seconds) < 1e-6, tostring(seconds)) end

  local function nothing() end

  before_each(function()
    context = fakes.context()
    poller = context.poller
  end)

  describe("timeout", function()
    it("is nil where nothing is due, and the time until the next timer where one is", function()
      assert.is_nil(outside.timeout(context))
      context.timers:start(7, context.now, {}, nothing)
      context.timers:start(3, context.now, {}, nothing)
      near(3, outside.timeout(context))
      context.now = context.now + 2
      near(1, outside.timeout(context))
      context.now = context.now + 2
      assert.equal(0, outside.timeout(context))
    end)

    it("is 0 while a connection is to be read again", function()
      context.timers:start(3, context.now, {}, nothing)
      context.agenda:again({})
      assert.equal(0, outside.timeout(context))
    end)

    it("is short while a socket is full that only the next call can try again", function()
      local ws = fakes.connection(context)
      context.agenda:block(ws, true)
      near(0.02, outside.timeout(context))
      context.timers:start(0.01, context.now, {}, nothing)
      near(0.01, outside.timeout(context))
    end)

    it("is not shorter for a full socket where the loop is told of modes, or one descriptor tells", function()
      context.agenda:block((fakes.connection(fakes.context())), true)
      context.timers:start(3, context.now, {}, nothing)
      context.settings.on_set_mode_fd = nothing
      near(3, outside.timeout(context))
      context.settings.on_set_mode_fd = nil
      near(0.02, outside.timeout(context))
      function poller.get_fd() return 7 end
      near(3, outside.timeout(context))
    end)
  end)

  describe("set_alarm", function()
    it("sets the poller's alarm to the next timer, and again only where that changes", function()
      outside.set_alarm(context)
      local slot = context.timers:start(3, context.now, {}, nothing)
      for _ = 1, 3 do outside.set_alarm(context) end
      context.timers:stop(3, slot)
      for _ = 1, 3 do outside.set_alarm(context) end
      context.agenda:again({})
      for _ = 1, 3 do outside.set_alarm(context) end
      assert.same({ false, 3, false, 0 }, poller.alarms)
    end)

    it("is never in the past", function()
      context.timers:start(3, context.now, {}, nothing)
      context.now = context.now + 5
      outside.set_alarm(context)
      assert.same({ 0 }, poller.alarms)
    end)
  end)

  it("names a descriptor for the whole context where the poller has one, and sets its alarm anew", function()
    assert.is_nil(outside.get_fd(context))
    assert.is_false(context.outside.is_used)
    function poller.get_fd() return 7 end
    context.timers:start(3, context.now, {}, nothing)
    outside.set_alarm(context)
    assert.equal(7, outside.get_fd(context))
    assert.is_true(context.outside.is_used)
    assert.same({ 3, 3 }, poller.alarms)
  end)

  it("announces a descriptor for output and timers where the poller has one, and takes it back", function()
    local told = {}
    context.settings.on_add_fd = function(...) told[#told + 1] = { "add", ... } end
    context.settings.on_del_fd = function(...) told[#told + 1] = { "del", ... } end
    outside.announce_side(context)
    outside.close(context)
    assert.same({}, told)
    function poller.get_side_fd() return 9 end
    outside.announce_side(context)
    assert.equal(context.outside.side, context.owners[9])
    assert.is_true(context.outside.is_used)
    outside.close(context)
    assert.same({ { "add", 9, POLLIN }, { "del", 9 } }, told)
    assert.is_false(context.outside.is_used)
  end)

  describe("retry_blocked", function()
    local flushed

    local function flush(ws)
      flushed[#flushed + 1] = ws
      -- As where the socket takes bytes again: its place in the list goes to another.
      context.agenda:block(ws, false)
    end

    before_each(function() flushed = {} end)

    it("flushes every full socket, but not more often than once a millisecond", function()
      local all = {}
      for round = 1, 2 do
        for i = 1, 3 do
          all[i] = fakes.connection(context)
          context.agenda:block(all[i], true)
        end
        outside.retry_blocked(context, flush)
        assert.same({ 3 * round, 0 }, { #flushed, context.agenda.blocked_count })
        context.agenda:block(all[1], true)
        outside.retry_blocked(context, flush)
        assert.equal(3 * round, #flushed)
        context.agenda:block(all[1], false)
        context.now = context.now + 0.0011
      end
    end)

    it("leaves it to a loop that is told of modes, and to the descriptor for output", function()
      context.agenda:block((fakes.connection(context)), true)
      context.settings.on_set_mode_fd = nothing
      outside.retry_blocked(context, flush)
      context.settings.on_set_mode_fd, context.outside.side = nil, { fd = 9 }
      outside.retry_blocked(context, flush)
      assert.same({}, flushed)
      context.outside.side = false
      outside.retry_blocked(context, flush)
      assert.equal(1, #flushed)
    end)
  end)

  it("flushes those that the descriptor for output found ready, and keeps none of them", function()
    local one, other, flushed = {}, {}, {}
    function poller.wait_side(_, writable)
      writable[1], writable[2] = one, other
      return 2
    end
    outside.flush_ready(context, function(ws) flushed[#flushed + 1] = ws end)
    assert.same({ one, other }, flushed)
    assert.same({ false, false }, context.writable)
  end)
end)
