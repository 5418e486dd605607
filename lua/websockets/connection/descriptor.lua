--- The descriptor of a connection: what it is watched for, and what an outside loop is told about it.
-- @module websockets.connection.descriptor
local descriptor = {}

local POLLIN, POLLOUT = 1, 4

-- So much may be on its way to a peer that reads nothing.
local ON_ITS_WAY_BYTES = 65536

--- Tells an outside loop to watch a descriptor, or to stop watching it.
-- @tparam table ws
-- @tparam boolean is_on
function descriptor.announce(ws, is_on)
  local context, settings = ws.context, ws.context.settings
  if not (settings.on_add_fd or settings.on_del_fd) or ws.announced == is_on then return end
  ws.announced = is_on
  if is_on then
    if settings.on_add_fd then context.agenda:call(ws, settings.on_add_fd, ws.fd, POLLIN) end
  elseif settings.on_del_fd then
    context.agenda:call(ws, settings.on_del_fd, ws.fd)
  end
end

local function tell_mode(ws, is_on, mask)
  local settings = ws.context.settings
  local tell = is_on and settings.on_set_mode_fd or not is_on and settings.on_clear_mode_fd
  if tell then ws.context.agenda:call(ws, tell, ws.fd, mask) end
end

--- Tells whether a descriptor can be served in a context.
-- @tparam table context
-- @tparam integer fd
-- @treturn boolean
function descriptor.can_watch(context, fd)
  -- An outside loop may serve what select cannot.
  return context.poller:can_watch(fd) or context.settings.on_add_fd ~= nil
end

--- Has the poller wait for what the connection can use.
-- @tparam table ws
function descriptor.watch(ws)
  local wire = ws.wire
  ws.context.poller:watch(wire.transport or wire, ws, not ws.paused, ws.blocked and true or false)
end

--- Has the poller wait for nothing any more.
-- @tparam table ws
function descriptor.unwatch(ws)
  local wire = ws.wire
  ws.context.poller:watch(wire.transport or wire, ws, false, false)
end

--- Tells poller and outside loop that reading was paused or goes on, as `ws.paused` says.
-- @tparam table ws
function descriptor.follow_pause(ws)
  descriptor.watch(ws)
  -- A loop that watches READ only would spin on bytes that nobody takes, unless the descriptor is taken away from it.
  if ws.context.settings.on_clear_mode_fd then
    tell_mode(ws, not ws.paused, POLLIN)
  else
    descriptor.announce(ws, not ws.paused)
  end
end

--- Notes whether the peer takes no bytes at the moment.
-- @tparam table ws
-- @tparam boolean is_blocked
function descriptor.block(ws, is_blocked)
  if (ws.blocked and true or false) == is_blocked then return end
  ws.context.agenda:block(ws, is_blocked)
  descriptor.watch(ws)
  tell_mode(ws, is_blocked, POLLOUT)
end

--- Tells how many bytes the peer has not got; what the system holds of them is known with the accelerator only.
-- @tparam table ws
-- @treturn number bytes
function descriptor.outstanding(ws)
  local unsent = ws.context.engine.unsent
  return ws.wire:buffered() + (unsent and unsent(ws.fd) or 0)
end

--- Tells whether the peer has read bytes since `outstanding` was asked.
-- @tparam table ws
-- @tparam number before what it returned
-- @treturn boolean
function descriptor.has_taken(ws, before)
  return before - descriptor.outstanding(ws) > ON_ITS_WAY_BYTES
end

return descriptor
