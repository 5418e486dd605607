--- After an error in the library itself, for want of memory or by a hook (Ctrl-C): what it has left half done is
-- brought to an end. It looks at every connection, which nothing else does.
-- @module websockets.turn.repair
local lifecycle = require("websockets.connection.lifecycle")
local recovery = require("websockets.turn.recovery")
local turn = require("websockets.turn.turn")

local repair = {}

-- The owner of a timer that has not been able to do its work; a listener tries again.
local function end_firing(timers)
  local owner = timers.firing
  if owner and owner.state then lifecycle.abort(owner, "error") end
  timers.firing = false
end

-- Those without deadline wait for nothing that comes for certain, but for an open connection without pings.
local function is_lost(ws)
  if ws.state == "open" and not ws.settings.ping_interval then return false end
  return not (ws.timer_slot and ws.context.timers:is_running(ws.timer_lane, ws.timer_slot))
end

local function check_connections(context)
  local agenda, count = context.agenda, 0
  local is_retired = {}
  for i = 1, agenda.retired_count do is_retired[agenda.retired[i]] = true end
  for _, owner in pairs(context.owners) do
    if owner.wire then
      count = count + 1
      if owner.state == "closed" then
        if not is_retired[owner] then agenda:retire(owner) end
      elseif is_lost(owner) then
        lifecycle.abort(owner, "error")
      end
    end
  end
  context.connection_count = count
end

--- Repairs a context.
-- @tparam table context
function repair.run(context)
  context.agenda.is_damaged = false
  recovery.end_current(context.agenda)
  end_firing(context.timers)
  turn.resume(context)
  check_connections(context)
end

return repair
