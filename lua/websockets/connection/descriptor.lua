--- A connection's descriptor: what it is watched for, and what an outside loop is told of it.
-- @module websockets.connection.descriptor
local agenda = require("websockets.connection.agenda")
local session = require("websockets.connection.session")

local descriptor = {}

local POLLIN, POLLOUT = 1, 4

--- Tells an outside loop that there is a descriptor to watch, or no more.
-- @tparam table ws
-- @tparam boolean is_on
function descriptor.announce(ws, is_on)
  local context, settings = ws.context, ws.context.settings
  if not (settings.on_add_fd or settings.on_del_fd) or ws.announced == is_on then return end
  ws.announced = is_on
  if is_on then
    if settings.on_add_fd then agenda.call(context, ws, settings.on_add_fd, ws.fd, POLLIN) end
  elseif settings.on_del_fd then
    agenda.call(context, ws, settings.on_del_fd, ws.fd)
  end
end

local function tell_mode(ws, is_on, mask)
  local settings = ws.context.settings
  local tell = is_on and settings.on_set_mode_fd or not is_on and settings.on_clear_mode_fd
  if tell then agenda.call(ws.context, ws, tell, ws.fd, mask) end
end

--- Has the poller wait for what the connection can use.
-- @tparam table ws
function descriptor.watch(ws)
  local wire = ws.wire
  ws.context.poller:watch(wire.transport or wire, ws, not ws.paused, ws.blocked and true or false)
end

--- Has the poller wait no more.
-- @tparam table ws
function descriptor.unwatch(ws)
  local wire = ws.wire
  ws.context.poller:watch(wire.transport or wire, ws, false, false)
end

--- Stops or goes on reading.
-- @tparam table ws
-- @tparam boolean is_paused
function descriptor.pause(ws, is_paused)
  if ws.paused == is_paused or ws.state == "closed" then return end
  ws.paused = is_paused
  session.refresh(ws)
  descriptor.watch(ws)
  -- Who watches READ only would spin on bytes that nobody takes, unless the descriptor is taken away from it.
  if ws.context.settings.on_clear_mode_fd then
    tell_mode(ws, not is_paused, POLLIN)
  else
    descriptor.announce(ws, not is_paused)
  end
  if not is_paused then agenda.again(ws.context, ws) end
end

--- Remembers whether the peer takes no bytes at the moment.
-- @tparam table ws
-- @tparam boolean is_blocked
function descriptor.block(ws, is_blocked)
  if (ws.blocked and true or false) == is_blocked then return end
  agenda.block(ws.context, ws, is_blocked)
  descriptor.watch(ws)
  tell_mode(ws, is_blocked, POLLOUT)
end

return descriptor
