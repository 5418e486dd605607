--- One turn of a context: wait, read and deliver, send, timers, ends.
-- @module websockets.turn.turn
local delivery = require("websockets.turn.delivery")
local descriptor = require("websockets.connection.descriptor")
local ends = require("websockets.turn.ends")
local lifecycle = require("websockets.connection.lifecycle")
local outbox = require("websockets.connection.outbox")
local outside = require("websockets.turn.outside")
local relief = require("websockets.turn.relief")

local turn = {}
local max, HUGE = math.max, math.huge
local deliver, read_ready = delivery.run, delivery.read_ready
local ROUNDS_AN_ENTRY = 64

-- Follows a flush of a wire: `pending` bytes still wait, nil where the connection broke; `took` tells whether any byte
-- was taken, or why it broke.
local function flushed(ws, pending, took)
  if ws.state == "closed" or ws.state == "away" then return end
  local agenda = ws.context.agenda
  if not pending then
    agenda.current = false
    deliver(delivery.read_rest, ws.context, nil, ws)
    agenda.current = ws
    if ws.state == "http" then return ws.phase:failed(ws, took) end
    return lifecycle.abort(ws, took)
  end
  local was_blocked = ws.blocked
  if took and was_blocked then ws.has_taken = true end
  descriptor.follow_flush(ws, pending)
  -- A callback of an outside loop may have changed it.
  local state = ws.state
  if state == "http" then return ws.phase:flushed(ws, pending, took) end
  if state == "draining" and pending == 0 then
    lifecycle.drained(ws)
  elseif state == "closing" or state == "draining" then
    if took then lifecycle.progress(ws) end
  elseif state == "open" and pending == 0 and outbox.go_on(ws, was_blocked) and ws.drain_handler then
    agenda:call(ws, ws.drain_handler, ws)
  end
end

--- Sends what a connection has queued, as far as the socket takes it; goes on connecting where that is not done.
-- @tparam table ws
function turn.flush(ws)
  local agenda = ws.context.agenda
  agenda.current = ws
  if ws.is_lost and ws.state ~= "closed" then
    agenda:log("warning", "a connection ends: the system cannot watch its descriptor")
    lifecycle.abort(ws, "limit")
  elseif ws.state == "dialling" then
    ws.phase:advance(ws)
  elseif ws.state ~= "closed" then
    descriptor.resume(ws)
    flushed(ws, ws.wire:flush())
  end
  agenda.current = false
end

local flush = turn.flush
local function follow_reports(agenda, reports, count)
  for i = 1, 3 * count, 3 do
    local ws, pending, took = reports[i], reports[i + 1], reports[i + 2]
    -- False where an interrupted turn had got so far.
    if ws then
      agenda.current = ws
      reports[i] = false
      flushed(ws, pending, took)
      agenda.current = false
    end
  end
end

-- Flushes the wires that are not on sockets of the accelerator, where there is one.
local function flush_streams(agenda, streams)
  local count = streams:flush(streams.reports)
  follow_reports(agenda, streams.reports, count)
  return count
end

local function flush_touched(agenda, count)
  local touched = agenda.touched
  for i = 1, count do
    local ws = touched[i]
    if ws then
      flush(ws)
      touched[i] = false
    end
  end
  -- A connection that dropped something is touched, so a turn without drops does not ask.
  if agenda.drops.count > 0 then agenda.drops:tell(agenda) end
  -- All this may have touched more: those move to the front, for the next round.
  for i = count + 1, agenda.touched_count do touched[i - count], touched[i] = touched[i], false end
  agenda.touched_count = agenda.touched_count - count
end

--- Tells whether nothing is left that could ever be served: no listener, no connection, nothing planned. A turn asks
-- this only where that may be new: something has ended, a timer was due, or nothing came (a signal handler's doing).
-- @tparam table context
-- @treturn boolean
function turn.is_idle(context)
  return context.connection_count == 0 and not (context.listener or context.timers:has_plans())
end

-- Descriptors are closed last, so that no number comes back inside a turn.
local function close_retired(context)
  local agenda, owners = context.agenda, context.owners
  local retired = agenda.retired
  for i = 1, agenda.retired_count do
    local ws = retired[i]
    -- Where an interrupted turn has left one that is away in this list, its end comes later.
    if ws and ws.outcome then
      local wire, linger = ws.wire, ws.outcome.linger or ws.settings.close_timeout
      -- What cannot be closed for want of memory stays among the owners: `repair` finds it there.
      if agenda:call(ws, wire.close, wire, linger) or not agenda.is_damaged then
        -- No more where an interrupted turn had got so far: the number may be another's by now.
        if owners[ws.fd] == ws then
          owners[ws.fd] = nil
          if not ws.settings.is_aside then context.connection_count = context.connection_count - 1 end
        end
        ws.fd = -1
      end
    end
    retired[i] = false
  end
  agenda.told = 0
  agenda.retired_count, context.relief.abandoned = 0, 0
  if turn.is_idle(context) then agenda:leave() end
end

--- Brings a turn to its end: what was queued is sent, ends are reported, descriptors are closed. It goes on until
-- callbacks have queued nothing more.
-- @tparam table context
function turn.finish(context)
  local hub, agenda, reports, owners = context.hub, context.agenda, context.reports, context.owners
  local flush_hub, source, streams = hub.flush, hub.source, hub.streams
  repeat
    local reported = flush_hub(source, reports, owners)
    if reported > 0 then follow_reports(agenda, reports, reported) end
    if streams.count > 0 then reported = reported + flush_streams(agenda, streams) end
    local touched = agenda.touched_count
    if touched > 0 then flush_touched(agenda, touched) end
    if agenda.blocked_count > 0 then relief.give(context) end
    local ended = agenda.retired_count - agenda.told
    if ended > 0 then ends.tell(agenda) end
  -- Each of these may have queued more.
  until reported + touched + ended == 0
  if agenda.retired_count > 0 then close_retired(context) end
end

local finish = turn.finish

-- The works of `whole` that are turns; others are parts of turns, or what is done between them.
local is_turn = {}

--- Does something as a turn, to its end. `busy` is taken back here where all goes well, so that nothing that comes
-- later can leave it set.
-- @tparam table context
-- @tparam function work `work(context, ...)`
-- @param ... its arguments
-- @return up to three of its results
function turn.whole(context, work, ...)
  context.busy = true
  context.turn = context.turn + 1
  context.now = context.clock()
  local first, second, third = work(context, ...)
  finish(context)
  -- Where the accelerator waits, it measures by itself.
  local turns = context.hub.turns
  if turns and is_turn[work] then turns:observe(context.clock() - context.now) end
  context.busy = false
  return first, second, third
end

local function read_waiting(context)
  deliver(delivery.read_waiting, context, nil, context.agenda.waiting_count)
end

local function places_of(list, step)
  local count = 0
  while list[step * count + 1] ~= nil do count = count + 1 end
  return count
end

--- Does what an error has left undone in the turn that it ended: what is not false in its lists.
-- @tparam table context
function turn.resume(context)
  local readable, writable, reports = context.readable, context.writable, context.reports
  local agenda, streams = context.agenda, context.hub.streams
  deliver(delivery.finish, context, readable, places_of(readable, 1))
  for i = 1, places_of(writable, 1) do
    if writable[i] then flush(writable[i]) end
    writable[i] = false
  end
  follow_reports(agenda, reports, places_of(reports, 3))
  follow_reports(agenda, streams.reports, places_of(streams.reports, 3))
end

-- How long the poller may wait; nil without end.
local function patience(context, seconds)
  if context.agenda.waiting_count > 0 then return 0 end
  local due, poller = context.timers.earliest, context.poller
  -- The end of the turn before has asked the clock where it measured that turn.
  local now = context.hub.turns and context.now or context.clock()
  if due < HUGE then
    local rest = max(0, due - now)
    if not seconds or rest < seconds then seconds = rest end
  end
  if poller.hold then seconds = poller:hold(due, now, seconds) end
  -- Last: a signal handler may stop the context at any time, and what it sets after this ends the wait.
  if context.stopping or context.destroying then return 0 end
  return seconds
end

--- Waits for the sockets and serves those that are ready; `finish` must follow.
-- @tparam table context
-- @tparam ?number seconds at most; nil without end
function turn.serve(context, seconds)
  local readable, writable, agenda = context.readable, context.writable, context.agenda
  local poller, due = context.poller, context.timers.earliest
  -- Nearly always there is nothing to be asked: this wait ends by itself when the next timer is due.
  if seconds or due ~= poller.wakes_at or context.now >= due or agenda.waiting_count > 0 then
    seconds = patience(context, seconds)
  end
  local reads, writes = poller.wait(poller.source, seconds, context.owners, readable, writable)
  local now = context.clock()
  context.now = now
  for i = 1, writes do
    flush(writable[i])
    writable[i] = false
  end
  if reads > 0 then
    deliver(read_ready, context, readable, reads)
  elseif reads < 0 then
    error(poller.fault, 0)
  elseif turn.is_idle(context) then
    agenda:leave()
  end
  if agenda.waiting_count > 0 then read_waiting(context) end
  if now >= due then
    context.timers:run(now)
    if turn.is_idle(context) then agenda:leave() end
  end
end

local serve = turn.serve
is_turn[serve] = true

--- Turn after turn, until nothing is left, or something is to be done outside of a protected call.
-- @tparam table context
function turn.serve_on(context)
  local agenda, alarm, turns = context.agenda, context.outside, context.hub.turns
  repeat
    serve(context, nil)
    finish(context)
    if turns then
      local now = context.clock()
      turns:observe(now - context.now)
      context.now = now
    end
    context.turn = context.turn + 1
    if alarm.is_used then outside.set_alarm(context) end
  until context.stopping or context.destroying or agenda.failure
end

--- Does what every entry does, for a loop that watches READ only; `finish` must follow.
-- @tparam table context
function turn.settle(context)
  -- What has been read ahead shows in no descriptor: it is served now or never.
  for _ = 1, ROUNDS_AN_ENTRY do
    if context.agenda.waiting_count == 0 then break end
    read_waiting(context)
  end
  outside.retry_blocked(context, flush)
  context.timers:run(context.now)
end

--- Serves one descriptor that an outside loop found ready; `finish` must follow.
-- @tparam table context
-- @tparam ?table owner connection or listener; nil for a descriptor that is not ours
function turn.serve_fd(context, owner)
  if owner and owner == context.outside.side then
    outside.flush_ready(context, flush)
  elseif owner then
    if owner.blocked then flush(owner) end
    deliver(delivery.read_one, context, nil, owner)
  end
  turn.settle(context)
end

is_turn[turn.serve_fd] = true

return turn
