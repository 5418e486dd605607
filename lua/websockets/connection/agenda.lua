--- What the current turn of a context still has to do, and the protected calls of the application's functions.
-- @module websockets.connection.agenda
local agenda = {}

--- Gives a context its empty lists.
-- @tparam table context
function agenda.init(context)
  context.busy = false
  context.retired, context.retired_count = {}, 0
  context.touched, context.touched_count = {}, 0
  context.again, context.again_count, context.is_again = {}, 0, {}
  context.blocked, context.blocked_count = {}, 0
  context.failure = false
end

--- Says something to the application's log.
-- @tparam table context
-- @tparam string level `error`, `warning`, `info`
-- @tparam string message
function agenda.log(context, level, message)
  local log = context.settings.log
  if log then pcall(log, level, message) end
end

--- Keeps an error of a callback: `on_error` hears it, or the first one leaves the turn at its end.
-- @tparam table context
-- @param err what was raised
-- @tparam ?table ws whose callback it was
function agenda.fail(context, err, ws)
  local on_error = context.settings.on_error
  if on_error then
    local heard, err_there = pcall(on_error, err, ws)
    if heard then return end
    err = err_there
  end
  if context.failure then
    local _, text = pcall(tostring, err)
    agenda.log(context, "error", text)
  else
    context.failure = { err }
  end
end

local function returned(context, ws, is_good, ...)
  if is_good then return true, ... end
  agenda.fail(context, (...), ws)
  return false
end

--- Calls a function of the application's; what it raises does not stop the turn.
-- @tparam table context
-- @tparam ?table ws whose callback it is
-- @tparam function fn
-- @param ... its arguments
-- @treturn boolean whether it returned
-- @return what it returned
function agenda.call(context, ws, fn, ...)
  return returned(context, ws, pcall(fn, ...))
end

--- Has a connection read again in the next turn, without waiting for its descriptor.
-- @tparam table context
-- @tparam table ws
function agenda.again(context, ws)
  -- A table of its own: a field would be the seventeenth of each connection, and Lua doubles its table then.
  if context.is_again[ws] then return end
  context.is_again[ws] = true
  context.again_count = context.again_count + 1
  context.again[context.again_count] = ws
end

--- Has a connection flushed at the end of this turn although it may have queued nothing.
-- @tparam table context
-- @tparam table ws
function agenda.touch(context, ws)
  context.touched_count = context.touched_count + 1
  context.touched[context.touched_count] = ws
end

--- Has the end of a connection told, and its descriptor closed, at the end of this turn.
-- @tparam table context
-- @tparam table ws
function agenda.retire(context, ws)
  context.retired_count = context.retired_count + 1
  context.retired[context.retired_count] = ws
end

--- Remembers whether a connection waits for its peer to take bytes.
-- @tparam table context
-- @tparam table ws
-- @tparam boolean is_blocked
function agenda.block(context, ws, is_blocked)
  local blocked, slot = context.blocked, ws.blocked
  if is_blocked and not slot then
    context.blocked_count = context.blocked_count + 1
    blocked[context.blocked_count] = ws
    ws.blocked = context.blocked_count
  elseif slot and not is_blocked then
    local last = blocked[context.blocked_count]
    blocked[slot] = last
    last.blocked = slot
    blocked[context.blocked_count] = nil
    context.blocked_count = context.blocked_count - 1
    ws.blocked = false
  end
end

return agenda
