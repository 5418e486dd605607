--- One turn of a context: wait, read, dispatch, write, timers, ends.
-- @module websockets.turn.turn
local agenda = require("websockets.connection.agenda")
local connection = require("websockets.connection.connection")
local delivery = require("websockets.connection.delivery")
local ending = require("websockets.connection.ending")
local finishing = require("websockets.turn.finishing")
local guard = require("websockets.turn.guard")
local session = require("websockets.connection.session")

local turn = {}

local finish = finishing.finish
local max, HUGE = math.max, math.huge

-- An outside loop that watches READ only has us try full sockets again at each entry, but not more often than this.
local RETRY_SECONDS = 0.001
local ROUNDS_AN_ENTRY = 64

--- Gives an object's address, for `tostring`.
-- @tparam table object
-- @treturn string
function turn.address(object)
  local meta = getmetatable(object)
  setmetatable(object, nil)
  local text = tostring(object)
  setmetatable(object, meta)
  return (text:gsub("^table: ", ""))
end

local function retry_blocked(context)
  if context.blocked_count == 0 or context.settings.on_set_mode_fd or context.side then return end
  if context.now < context.retry_at then return end
  context.retry_at = context.now + RETRY_SECONDS
  for i = context.blocked_count, 1, -1 do
    local ws = context.blocked[i]
    if ws then connection.flush(ws) end
  end
end

-- Full sockets that take bytes again.
local function flush_ready(context)
  local writable = context.writable
  for i = 1, context.poller:wait_side(writable) do
    local ws = writable[i]
    writable[i] = false
    connection.flush(ws)
  end
end

local function serve(context, owner)
  local state = owner.state
  if state == "listening" then
    owner:accept()
  elseif state == "side" then
    flush_ready(context)
  elseif state ~= "closed" then
    connection.readable(owner)
  end
end

local function serve_again(context)
  local count, again = context.again_count, context.again
  context.again, context.again_count, context.is_again = {}, 0, {}
  for i = 1, count do serve(context, again[i]) end
end

local function end_at_once(ws)
  if ws.state == "open" then session.fail(ws, 1001, "", "destroyed") end
  if ws.state ~= "closed" then ws.wire:flush() end
  ending.abort(ws, "destroyed")
end

local function close_all(context)
  local side, on_del_fd = context.side, context.settings.on_del_fd
  for _, owner in pairs(context.owners) do
    if owner ~= context.listener and owner ~= side then end_at_once(owner) end
  end
  if context.listener then context.listener:close() end
  if side and on_del_fd then agenda.call(context, nil, on_del_fd, side.fd) end
end

local function destroy(context)
  local is_good, err = pcall(close_all, context)
  if not is_good then agenda.fail(context, err) end
  is_good, err = pcall(finish, context)
  if not is_good then agenda.fail(context, err) end
  context.poller:close()
  context.destroyed, context.has_alarm = true, false
end

local function raise_failure(context)
  local failure = context.failure
  if failure then
    context.failure = false
    error(failure[1], 0)
  end
end

--- Has the descriptors that stand for the whole context become readable when the next timer is due.
-- @tparam table context
function turn.set_alarm(context)
  local due = context.again_count > 0 and 0 or context.timers:next_due() or math.huge
  if due == context.alarm then return end
  context.alarm = due
  context.poller:set_alarm(due < math.huge and max(0, due - context.clock()) or nil)
end

local function whole(context, work, ...)
  local first, second, third = work(context, ...)
  finish(context)
  return first, second, third
end

-- Whatever `work` does, the turn is brought to its end and the context can be used again. Returns what `work` returned.
local function run(context, work, ...)
  context.busy = true
  context.turn = context.turn + 1
  context.now = context.clock()
  local protected = guard.choose()
  local is_good, first, second, third = protected(whole, context, work, ...)
  if not is_good then
    agenda.fail(context, first)
    first = nil
    local is_finished, err = protected(finish, context)
    if not is_finished then agenda.fail(context, err) end
  end
  if context.destroying then destroy(context) end
  context.busy = false
  if context.has_alarm then turn.set_alarm(context) end
  raise_failure(context)
  return first, second, third
end

--- Tells how long may be waited.
-- @tparam table context
-- @treturn ?number seconds until the next timer, 0 when something is ready, nil when nothing is due
function turn.timeout(context)
  if context.again_count > 0 then return 0 end
  local due = context.timers:next_due()
  if not due or due == math.huge then return nil end
  return max(0, due - context.clock())
end

-- How long the poller may wait; nil without end.
local function patience(context, seconds)
  if context.again_count > 0 then return 0 end
  local due, poller = context.timers.earliest, context.poller
  local now = context.clock()
  if due < HUGE then
    local rest = max(0, due - now)
    if not seconds or rest < seconds then seconds = rest end
  end
  if poller.hold then return poller:hold(due, now, seconds) end
  return seconds
end

local function service(context, seconds)
  local readable, writable, poller, due = context.readable, context.writable, context.poller, context.timers.earliest
  -- Nearly always there is nothing to be asked: this wait ends by itself when the next timer is due.
  if seconds or due ~= poller.wakes_at or context.now >= due or context.again_count > 0 then
    seconds = patience(context, seconds)
  end
  local reads, writes = poller.wait(poller.source, seconds, context.owners, readable, writable)
  local now = context.clock()
  context.now = now
  for i = 1, writes do
    local ws = writable[i]
    writable[i] = false
    connection.flush(ws)
  end
  if reads > 0 then delivery.read_all(context, readable, reads, serve) end
  if context.again_count > 0 then serve_again(context) end
  if now >= context.timers.earliest then context.timers:run(now) end
end

-- Turn after turn, until there is something to be done that can only be done outside of a protected call.
local function service_on(context)
  repeat
    service(context, nil)
    finish(context)
    context.turn = context.turn + 1
    if context.has_alarm then turn.set_alarm(context) end
  until context.stopping or context.destroying or context.failure
end

-- What every entry does, for a loop that only watches READ.
local function settle(context)
  -- What has been read ahead shows in no descriptor: it is served now or never.
  for _ = 1, ROUNDS_AN_ENTRY do
    if context.again_count == 0 then break end
    serve_again(context)
  end
  retry_blocked(context)
  context.timers:run(context.now)
end

local function service_fd(context, owner)
  if owner then
    if owner.blocked then connection.flush(owner) end
    serve(context, owner)
  end
  settle(context)
end

local function work_and_settle(context, work, ...)
  local first, second, third = work(...)
  settle(context)
  return first, second, third
end

local function enter(context, name)
  if context.busy then error(name .. " may not be called inside a callback", 4) end
end

--- Waits for the sockets and serves those that are ready.
-- @tparam table context
-- @tparam ?number seconds at most; nil without end
function turn.service(context, seconds)
  enter(context, "service")
  run(context, service, seconds)
end

--- Serves until it is told to stop or to destroy the context.
-- @tparam table context
function turn.run(context)
  enter(context, "run")
  context.stopping = false
  repeat
    run(context, service_on)
  until context.stopping or context.destroyed
end

--- Serves one descriptor that an outside loop found ready.
-- @tparam table context
-- @tparam ?table owner connection or listener
function turn.service_fd(context, owner)
  enter(context, "service_fd")
  run(context, service_fd, owner)
end

--- Does at once what a call from outside of a turn has queued.
-- @tparam table context
function turn.settle(context)
  if context.destroyed then return end
  run(context, settle)
end

--- Ends everything; inside a callback at the end of the turn.
-- @tparam table context
function turn.destroy(context)
  context.destroying = true
  if not context.busy then run(context, function() end) end
end

--- Runs a function as a turn of its own, or as part of the one that is running.
-- @tparam table context
-- @tparam function work `work(...)`
-- @param ... its arguments
-- @return up to three of its results
function turn.within(context, work, ...)
  if context.busy then return work(...) end
  -- Nothing is alive in a destroyed context, so nothing is left to be done at the end.
  if context.destroyed then return work(...) end
  return run(context, work_and_settle, work, ...)
end

return turn
