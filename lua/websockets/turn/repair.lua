--- After an error in the library itself, for want of memory or by a hook (Ctrl-C): what it has left half done is
-- brought to an end. It looks at every connection, which nothing else does.
-- @module websockets.turn.repair
local ends = require("websockets.turn.ends")
local lifecycle = require("websockets.connection.lifecycle")
local recovery = require("websockets.turn.recovery")
local turn = require("websockets.turn.turn")

local repair = {}

-- The connection of a timer that has not been able to do its work; anything else, as a listener, tries again.
local function end_firing(timers)
  local owner = timers.firing
  if owner and owner.wire then lifecycle.abort(owner, "error") end
  timers.firing = false
end

-- Those without deadline wait for nothing that comes for certain, but for an open connection without pings.
local function is_lost(ws)
  if ws.state == "open" and not ws.settings.ping_interval then return false end
  return not (ws.timer_slot and ws.context.timers:is_running(ws.timer_lane, ws.timer_slot))
end

local function check_connections(context)
  local agenda, tally, count = context.agenda, context.tally, 0
  local is_retired = {}
  for i = 1, agenda.retired_count do is_retired[agenda.retired[i]] = true end
  tally.open = 0
  for fd, owner in pairs(context.owners) do
    -- A connection that connects to several addresses at once has several.
    if owner.wire and owner.fd == fd then
      if not owner.settings.is_aside then count = count + 1 end
      if owner.state == "open" then tally.open = tally.open + 1 end
      if owner.state == "closed" then
        if not is_retired[owner] then agenda:retire(owner) end
      elseif is_lost(owner) then
        lifecycle.abort(owner, "error")
      end
    end
  end
  context.connection_count = count
end

-- Connections that have ended, or have begun their next try, and do not wait for one.
local function check_away(context)
  for ws in pairs(context.away) do
    if ws.state == "closed" then
      context.agenda:retire(ws)
    elseif ws.state ~= "away" or not ws.comeback.place then
      lifecycle.abort(ws, "error")
    end
  end
end

--- Repairs a context.
-- @tparam table context
function repair.run(context)
  context.agenda.is_damaged = false
  recovery.end_current(context.agenda)
  end_firing(context.timers)
  turn.resume(context)
  ends.resume(context.agenda)
  if context.subscriptions then context.subscriptions:repair() end
  check_connections(context)
  check_away(context)
end

require("websockets.loading").interpret(check_connections, check_away)

return repair
