--- The end of a turn: what was queued leaves, ends are told, descriptors are closed.
-- @module websockets.turn.finishing
local connection = require("websockets.connection.connection")
local ending = require("websockets.connection.ending")
local relief = require("websockets.turn.relief")

local finishing = {}

local function tell_flushed(reports, count)
  for i = 1, 3 * count, 3 do
    local ws, pending, took = reports[i], reports[i + 1], reports[i + 2]
    reports[i] = false
    connection.flushed(ws, pending, took)
  end
end

local function flush_touched(context, count)
  local touched = context.touched
  for i = 1, count do
    local ws = touched[i]
    touched[i] = false
    if ws then connection.flush(ws) end
  end
  if context.touched_count == count then
    context.touched_count = 0
  else
    -- Flushing touched more: those go to the front, for the next round.
    for i = count + 1, context.touched_count do touched[i - count], touched[i] = touched[i], false end
    context.touched_count = context.touched_count - count
  end
end

local function tell_ends(context)
  local retired, count = context.retired, context.retired_count
  for i = context.told + 1, count do
    ending.tell(retired[i])
  end
  context.told = count
end

-- Descriptors are closed last, so that no number comes back inside a turn.
local function close_retired(context)
  local retired = context.retired
  for i = 1, context.retired_count do
    local ws = retired[i]
    retired[i] = nil
    context.owners[ws.fd] = nil
    context.connection_count = context.connection_count - 1
    ws.wire:close()
    ws.fd = -1
  end
  context.retired_count, context.told, context.abandoned = 0, 0, 0
end

--- Brings a turn to its end; what that leads to belongs to it.
-- @tparam table context
function finishing.finish(context)
  local hub, reports, owners = context.hub, context.reports, context.owners
  repeat
    local reported = hub.flush(hub.source, reports, owners)
    if reported > 0 then tell_flushed(reports, reported) end
    local touched = context.touched_count
    if touched > 0 then flush_touched(context, touched) end
    if context.blocked_count > 0 then relief.give(context) end
    local ended = context.retired_count - context.told
    if ended > 0 then tell_ends(context) end
  -- Each of these may have queued more.
  until reported + touched + ended == 0
  if context.retired_count > 0 then close_retired(context) end
end

return finishing
