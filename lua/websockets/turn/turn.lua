--- One turn of a context: wait, read and deliver, send, timers, ends.
-- @module websockets.turn.turn
local delivery = require("websockets.turn.delivery")
local descriptor = require("websockets.connection.descriptor")
local lifecycle = require("websockets.connection.lifecycle")
local outside = require("websockets.turn.outside")
local relief = require("websockets.turn.relief")

local turn = {}

local max, HUGE = math.max, math.huge
local deliver, read_ready = delivery.run, delivery.read_ready

local ROUNDS_AN_ENTRY = 64

-- Follows a flush of a wire: `pending` bytes still wait, nil where the connection broke; `took` tells whether any byte
-- was taken, or why it broke.
local function flushed(ws, pending, took)
  if ws.state == "closed" then return end
  local agenda = ws.context.agenda
  if not pending then
    agenda.current = false
    deliver(delivery.read_rest, ws.context, nil, ws)
    agenda.current = ws
    return lifecycle.abort(ws, took)
  end
  local was_blocked = ws.blocked
  if took and was_blocked then ws.has_taken = true end
  descriptor.block(ws, pending > 0)
  -- A callback of an outside loop may have changed it.
  local state = ws.state
  if state == "http" then return ws.phase:flushed(ws, pending, took) end
  if state == "draining" and pending == 0 then
    lifecycle.drained(ws)
  elseif state == "closing" or state == "draining" then
    if took then lifecycle.progress(ws) end
  elseif state == "open" and was_blocked and pending == 0 and ws.drain_handler then
    agenda:call(ws, ws.drain_handler, ws)
  end
end

--- Sends what a connection has queued, as far as the socket takes it; goes on connecting where that is not done.
-- @tparam table ws
function turn.flush(ws)
  local agenda = ws.context.agenda
  agenda.current = ws
  if ws.state == "dialling" then
    ws.phase:advance(ws)
  elseif ws.state ~= "closed" then
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
  -- Flushing may have touched more: those move to the front, for the next round.
  for i = count + 1, agenda.touched_count do touched[i - count], touched[i] = touched[i], false end
  agenda.touched_count = agenda.touched_count - count
end

-- A place is false where an interrupted turn (Ctrl-C) has closed the descriptor.
local function tell_ends(agenda)
  local retired, count = agenda.retired, agenda.retired_count
  for i = agenda.told + 1, count do
    -- First, so that an interruption (Ctrl-C) in its callback does not have it told twice.
    agenda.told = i
    if retired[i] then lifecycle.tell_closed(retired[i]) end
  end
end

-- Descriptors are closed last, so that no number comes back inside a turn.
local function close_retired(context)
  local agenda = context.agenda
  local retired = agenda.retired
  for i = 1, agenda.retired_count do
    local ws = retired[i]
    if ws then
      -- No more where an interrupted turn had got so far: the number may be another's by now.
      if context.owners[ws.fd] == ws then
        context.owners[ws.fd] = nil
        context.connection_count = context.connection_count - 1
      end
      ws.fd = -1
      agenda:call(ws, ws.wire.close, ws.wire, ws.outcome.linger or ws.settings.close_timeout)
      retired[i] = false
    end
  end
  agenda.told = 0
  agenda.retired_count, context.relief.abandoned = 0, 0
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
    if ended > 0 then tell_ends(agenda) end
  -- Each of these may have queued more.
  until reported + touched + ended == 0
  if agenda.retired_count > 0 then close_retired(context) end
end

local finish = turn.finish

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
  context.busy = false
  return first, second, third
end

local function read_waiting(context)
  deliver(delivery.read_waiting, context, nil, context.agenda.waiting_count)
end

-- How many places of a list are in use.
local function places_of(list, step)
  local count = 0
  while list[step * count + 1] ~= nil do count = count + 1 end
  return count
end

--- Does what an error has left undone in the turn that it ended. Whatever is not false in its lists has not been dealt
-- with.
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
  local now = context.clock()
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
  end
  if agenda.waiting_count > 0 then read_waiting(context) end
  if now >= due then context.timers:run(now) end
end

local serve = turn.serve

--- Turn after turn, until there is something to be done that can only be done outside of a protected call.
-- @tparam table context
function turn.serve_on(context)
  local agenda, alarm = context.agenda, context.outside
  repeat
    serve(context, nil)
    finish(context)
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

return turn
