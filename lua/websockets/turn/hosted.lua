--- A context that the loop of its sockets serves: libuv calls, and nobody has to call `service` or `run`.
-- @module websockets.turn.hosted
local entry = require("websockets.turn.entry")
local outside = require("websockets.turn.outside")

local hosted = {}

-- An error that leaves a turn must not end the application's loop.
local function tell(context, err)
  if context.poller.reports_errors and not context.settings.log then error(err, 0) end
  context.agenda:log_error(err)
end

local function serve(context)
  if context.destroyed then return true end
  -- One of its callbacks runs the loop.
  if context.busy then return false end
  -- Else an alarm that is still due would not be set again.
  outside.renew_alarm(context)
  local is_good, err = pcall(entry.serve_ready, context)
  if not is_good then tell(context, err) end
  return true
end

--- Has the loop of a context's sockets serve it, where there is one.
-- @tparam table context
-- @treturn table context
function hosted.begin(context)
  local poller = context.poller
  if poller.host then
    context.outside.is_used = true
    poller:host(function() return serve(context) end)
  end
  return context
end

return hosted
