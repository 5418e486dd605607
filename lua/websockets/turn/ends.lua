--- Telling the application that connections have ended, before their descriptors are closed.
-- @module websockets.turn.ends
local ends = {}

-- A connection that is opened again leaves what has ended in its place.
local function tell(agenda, at)
  local retired = agenda.retired
  local ws = retired[at]
  local comeback = ws.comeback
  ws.context.tally:ended(ws)
  local remains = comeback and comeback:ended()
  if not remains then return agenda:tell_closed(ws) end
  retired[at] = remains
  comeback:wait()
end

--- Tells of those that have ended since the last time.
-- @tparam agenda agenda
function ends.tell(agenda)
  local retired, count = agenda.retired, agenda.retired_count
  for i = agenda.told + 1, count do
    -- A place is false where an interrupted turn (Ctrl-C) has closed the descriptor.
    local ws = retired[i]
    -- Both first, so that an interruption (Ctrl-C) neither keeps it from being opened again nor has it told twice.
    if ws and ws.comeback then ws.context.away[ws] = true end
    agenda.told = i
    if ws then tell(agenda, i) end
  end
end

--- Tells of those that an error came before, after they were counted as told. One that may be opened again is in
-- `away`, and ends once more by that.
-- @tparam agenda agenda
function ends.resume(agenda)
  local retired = agenda.retired
  for i = 1, agenda.told do
    local ws = retired[i]
    -- The handler goes before it is called.
    if ws and ws.closed_handler and not ws.comeback then agenda:tell_closed(ws) end
  end
end

return ends
