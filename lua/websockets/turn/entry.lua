--- Entering a context: whatever is done there is done inside a turn, and the turn is brought to its end whatever
-- happens.
-- @module websockets.turn.entry
local driver = require("websockets.turn.driver")
local guard = require("websockets.turn.guard")
local lifecycle = require("websockets.connection.lifecycle")
local outside = require("websockets.turn.outside")
local repair = require("websockets.turn.repair")
local turn = require("websockets.turn.turn")

local entry = {}

local GOING_AWAY = 1001
-- After waiting has failed, the next try is this much later; so many in a row are an error.
local FAULT_SECONDS, MAX_FAULTS = 0.1, 50

local finish = turn.finish

local function end_at_once(ws)
  if ws.state == "open" then lifecycle.fail(ws, GOING_AWAY, "", "destroyed") end
  if ws.state ~= "closed" then ws.wire:flush() end
  lifecycle.abort(ws, "destroyed")
end

local function close_all(context)
  local agenda = context.agenda
  -- First: its last words go with a connection of this context.
  if context.subscriptions then context.subscriptions:close() end
  for _, owner in pairs(context.owners) do
    -- What else is watched has no wire.
    if owner.wire and not agenda:call(nil, end_at_once, owner) then
      lifecycle.abort(owner, "destroyed")
    end
  end
  for ws in pairs(context.away) do agenda:call(nil, end_at_once, ws) end
  if context.listener then context.listener:close() end
  outside.close(context)
end

local function destroy(context)
  local agenda = context.agenda
  context.busy = true
  agenda:call(nil, close_all, context)
  -- What an error has kept from its end is brought there now.
  if not agenda:call(nil, finish, context) then agenda:call(nil, finish, context) end
  agenda:call(nil, context.timers.give_up, context.timers)
  driver.close(context)
  context.destroyed = true
  context.poller:close()
  context.busy = false
  outside.settle(context)
end

local function raise_failure(agenda)
  local failure = agenda.failure
  if failure then
    local err = failure[1]
    failure[1] = false
    agenda.failure = false
    if failure ~= agenda.LEAVE then error(err, 0) end
  end
end

-- What is raised may have a position before it.
local function is_fault(poller, err)
  return type(err) == "string" and err:sub(-#poller.fault) == poller.fault
end

-- Waiting has failed: where the system is short of memory, that passes.
local function follow_fault(context)
  local poller = context.poller
  local fault = poller.fault
  local is_next = poller.fault_turn == context.turn - 1
  poller.fault_turn, poller.faults = context.turn, is_next and poller.faults + 1 or 1
  if poller.faults == 1 then context.agenda:log("error", fault .. ": it is tried again") end
  if poller.faults >= MAX_FAULTS then context.agenda:fail(fault) end
  context.sockets.sleep(FAULT_SECONDS)
end

-- The first turn after one that could not be mended.
local function repaired(context, work, ...)
  context.busy = true
  repair.run(context)
  -- What has ended is told and closed before the turn waits.
  finish(context)
  return turn.whole(context, work, ...)
end

-- Ends a turn that an error has ended.
local function mend(context, err)
  context.busy = true
  if is_fault(context.poller, err) then
    follow_fault(context)
  else
    context.agenda:fail(err)
    repair.run(context)
  end
  finish(context)
  context.busy = false
end

local function report(context, err)
  context.busy = true
  context.agenda:fail(err)
  context.busy = false
end

-- An error has come amid mending.
local function give_up(context, protected, err)
  context.busy, context.agenda.is_damaged = false, true
  if protected(report, context, err) then return end
  context.busy = false
  context.agenda:keep(err)
end

-- What stands for a context in an outside loop follows what is planned.
local function tell_loop(context)
  outside.set_alarm(context)
  if context.outside.driver then driver.follow(context, turn.is_idle(context)) end
  outside.settle(context)
end

-- Whatever `work` does, the turn is brought to its end and the context can be used again. Returns what `work` returned.
local function run(context, work, ...)
  local protected, agenda = guard.choose(), context.agenda
  local is_good, first, second, third = protected(agenda.is_damaged and repaired or turn.whole, context, work, ...)
  if not is_good then
    context.busy, agenda.is_damaged = false, true
    -- What cannot be mended now, for want of memory, is the first thing that the next turn does.
    local is_mended, err = protected(mend, context, first)
    if not is_mended then give_up(context, protected, err) end
    first = nil
  end
  if context.destroying and not context.destroyed then
    local is_destroyed, err = protected(destroy, context)
    if not is_destroyed then
      context.destroyed = true
      give_up(context, protected, err)
    end
  end
  if context.outside.is_used then tell_loop(context) end
  raise_failure(agenda)
  return first, second, third
end

local function work_and_settle(context, work, ...)
  local first, second, third = work(...)
  turn.settle(context)
  return first, second, third
end

local function refuse_inside(context, name)
  if context.busy then error(name .. " may not be called inside a callback", 4) end
end

local function refuse_waiting(context, name)
  if outside.can_wait(context) then return end
  error(name .. " cannot wait inside a callback of the event loop, which serves this context by itself", 4)
end

--- Waits for the sockets and serves those that are ready.
-- @tparam table context
-- @tparam ?number seconds at most; nil without end
function entry.service(context, seconds)
  -- Asked here first: this is called for each turn.
  if context.busy then refuse_inside(context, "service") end
  context.stopping = false
  run(context, turn.serve, seconds)
end

--- Serves what is ready, without waiting, for the loop of the poller. That may be at the end of a turn of `run`, which
-- still has to hear that it is told to stop.
-- @tparam table context
function entry.serve_ready(context)
  run(context, turn.serve, 0)
end

local function service_or_refuse(context, seconds)
  if context.busy then refuse_inside(context, "service") end
  if seconds ~= 0 then refuse_waiting(context, "service") end
  entry.service(context, seconds)
end

--- Gives the `service` of contexts with a poller: not everywhere can all of them wait, and most need not ask.
-- @tparam table poller
-- @treturn function `service(context, seconds)`
function entry.service_with(poller)
  return poller.can_wait and service_or_refuse or entry.service
end

--- Serves until it is told to stop or to destroy the context, or nothing is left to be served.
-- @tparam table context
function entry.run(context)
  refuse_inside(context, "run")
  refuse_waiting(context, "run")
  context.stopping = false
  while not (context.stopping or context.destroyed or turn.is_idle(context)) do run(context, turn.serve_on) end
end

--- Serves one descriptor that an outside loop found ready.
-- @tparam table context
-- @tparam ?table owner connection or listener
function entry.service_fd(context, owner)
  refuse_inside(context, "service_fd")
  run(context, turn.serve_fd, owner)
end

--- Begins a call that `settle` ends: outside of a turn the time is that of the last one.
-- @tparam table context
function entry.begin(context)
  if not context.busy then context.now = context.clock() end
end

--- Sends what a call has queued: at once outside of a turn, else at its end.
-- @tparam table context
function entry.settle(context)
  if not context.busy and not context.destroyed then run(context, turn.settle) end
end

--- Has an outside loop follow what was planned or taken back outside of a turn.
-- @tparam table context
-- @param ...
-- @return what came after the context
function entry.follow_plans(context, ...)
  if not context.busy and context.outside.is_used then tell_loop(context) end
  return ...
end

-- Nothing is served in it.
local function as_turn(context, work, ...)
  if context.busy then work(context, ...) else run(context, work, ...) end
end

--- Attaches a driver to a context.
-- @tparam table context
-- @tparam table given the driver
-- @treturn table what stands for it in `is_attached`
-- @raise what the driver raises, where there is no `on_error`; then it is not attached
function entry.attach(context, given)
  local is_good, err = pcall(as_turn, context, driver.attach, given)
  if is_good then return context.outside.driver end
  if context.outside.driver then pcall(as_turn, context, driver.detach) end
  error(err, 0)
end

--- Detaches the driver from a context.
-- @tparam table context
function entry.detach(context)
  as_turn(context, driver.detach)
end

--- Serves an attached context. An error that leaves the turn goes to the log, so that the loop goes on.
-- @tparam table context
-- @tparam ?integer fd what is ready; nil: the alarm is due
function entry.serve_attached(context, fd)
  -- A loop that tells of an alarm forgets it.
  if not fd then outside.renew_alarm(context) end
  -- It is served after the callback: a descriptor stays ready, and the alarm is set anew.
  if context.busy then return fd and driver.rest(context, fd) end
  local is_good, err
  if context.poller.get_fd then
    is_good, err = pcall(run, context, turn.serve, 0)
  else
    is_good, err = pcall(run, context, turn.serve_fd, fd and context.owners[fd])
  end
  if not is_good then context.agenda:log_error(err) end
end

--- Has `run` return after this turn, which no longer waits.
-- @tparam table context
function entry.stop(context)
  context.stopping = true
  -- A signal handler may be what calls this.
  if context.busy then context.poller:interrupt() end
end

--- Ends everything; inside a callback at the end of the turn.
-- @tparam table context
function entry.destroy(context)
  context.destroying = true
  if context.busy then return context.poller:interrupt() end
  run(context, function() end)
end

--- Runs a function as a turn of its own, or as part of the one that is running.
-- @tparam table context
-- @tparam function work `work(...)`
-- @param ... its arguments
-- @return up to three of its results
function entry.within(context, work, ...)
  -- Nothing is alive in a destroyed context, so nothing is left to be done at the end.
  if context.busy or context.destroyed then return work(...) end
  return run(context, work_and_settle, work, ...)
end

require("websockets.loading").interpret(close_all)

return entry
