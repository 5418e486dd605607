--- The descriptor of a connection: what it is watched for, and what an outside loop is told about it.
-- @module websockets.connection.descriptor
local descriptor = {}

local POLLIN, POLLOUT = 1, 4

-- So much may be on its way to a peer that reads nothing.
local ON_ITS_WAY_BYTES = 65536

local HUGE = math.huge

--- Tells an outside loop of a descriptor, or that it is to be forgotten.
-- @tparam table context
-- @tparam ?table ws the connection, nil for the listener
-- @tparam integer fd
-- @tparam boolean is_on
function descriptor.tell(context, ws, fd, is_on)
  local hooks = context.hooks
  if is_on then
    if hooks.on_add_fd then context.agenda:call(ws, hooks.on_add_fd, fd, POLLIN) end
  elseif hooks.on_del_fd then
    context.agenda:call(ws, hooks.on_del_fd, fd)
  end
end

local tell = descriptor.tell

--- Tells an outside loop to watch a descriptor, or to stop watching it.
-- @tparam table ws
-- @tparam boolean is_on
function descriptor.announce(ws, is_on)
  local hooks = ws.context.hooks
  if not (hooks.on_add_fd or hooks.on_del_fd) or ws.announced == is_on then return end
  ws.announced = is_on
  tell(ws.context, ws, ws.fd, is_on)
end

local function tell_mode(ws, fd, is_on, mask)
  local hooks = ws.context.hooks
  local tell_it = is_on and hooks.on_set_mode_fd or not is_on and hooks.on_clear_mode_fd
  if tell_it then ws.context.agenda:call(ws, tell_it, fd, mask) end
end

--- Has poller and outside loop watch one more descriptor of a connection, which it connects beside its own.
-- @tparam table ws
-- @tparam table more `transport` (or a wire), `fd`, `asks_for_output` (false)
function descriptor.add(ws, more)
  local context = ws.context
  context.owners[more.fd] = ws
  context.poller:watch(more.transport, ws, false, true)
  tell(context, ws, more.fd, true)
  -- A callback may have ended the connection, and taken this back.
  if context.owners[more.fd] ~= ws then return end
  more.asks_for_output = true
  tell_mode(ws, more.fd, true, POLLOUT)
end

--- Takes back what `add` did.
-- @tparam table ws
-- @tparam table more as `add` got it
function descriptor.remove(ws, more)
  local context = ws.context
  context.poller:watch(more.transport, ws, false, false)
  context.owners[more.fd] = nil
  if more.asks_for_output then tell_mode(ws, more.fd, false, POLLOUT) end
  tell(context, ws, more.fd, false)
end

--- Tells whether a descriptor can be served in a context.
-- @tparam table context
-- @tparam integer fd
-- @treturn boolean
function descriptor.can_watch(context, fd)
  local hooks = context.hooks
  -- An outside loop may serve what select cannot.
  return context.poller:can_watch(fd) or hooks.on_add_fd ~= nil and fd < (hooks.limit or HUGE)
end

-- TLS may have to send before it can receive.
local function is_stalled(ws)
  local transport = ws.wire.transport
  return transport and transport.is_stalled or false
end

--- Has the poller wait for what the connection can use. Where the system refuses that, for want of memory, the
-- connection ends with this turn.
-- @tparam table ws
function descriptor.watch(ws)
  local wire = ws.wire
  local reads = not ws.paused and not is_stalled(ws)
  if ws.context.poller:watch(wire.transport or wire, ws, reads, ws.blocked and true or false) == false then
    ws.is_lost = true
    ws.context.agenda:touch(ws)
  end
end

--- Has the poller wait for nothing any more.
-- @tparam table ws
function descriptor.unwatch(ws)
  local wire = ws.wire
  ws.context.poller:watch(wire.transport or wire, ws, false, false)
end

--- Tells poller and outside loop that reading was paused or goes on, as `ws.paused` and the transport say.
-- @tparam table ws
function descriptor.follow_pause(ws)
  descriptor.watch(ws)
  local reads = not ws.paused and not is_stalled(ws)
  -- A loop that watches READ only would spin on bytes that nobody takes, unless the descriptor is taken away from it.
  if ws.context.hooks.on_clear_mode_fd then
    tell_mode(ws, ws.fd, reads, POLLIN)
  else
    descriptor.announce(ws, reads)
  end
end

--- Tells an outside loop that begins to serve a context of a descriptor.
-- @tparam table ws
-- @tparam integer fd its own, or one that it connects beside it
function descriptor.introduce(ws, fd)
  if fd ~= ws.fd then
    tell(ws.context, ws, fd, true)
    return tell_mode(ws, fd, true, POLLOUT)
  end
  if ws.state == "closed" then return end
  descriptor.announce(ws, true)
  if ws.blocked then tell_mode(ws, fd, true, POLLOUT) end
  if ws.paused or is_stalled(ws) then tell_mode(ws, fd, false, POLLIN) end
end

--- Notes whether the peer takes no bytes at the moment.
-- @tparam table ws
-- @tparam boolean is_blocked
function descriptor.block(ws, is_blocked)
  if (ws.blocked and true or false) == is_blocked then return end
  ws.context.agenda:block(ws, is_blocked)
  descriptor.watch(ws)
  tell_mode(ws, ws.fd, is_blocked, POLLOUT)
end

--- Notes what a flush has left.
-- @tparam table ws
-- @tparam number pending bytes that wait
function descriptor.follow_flush(ws, pending)
  descriptor.block(ws, pending > 0 or is_stalled(ws))
end

--- Follows a read that found nothing: where TLS has to send before it can receive, room to send is waited for.
-- @tparam table ws
function descriptor.follow(ws)
  if not is_stalled(ws) then return end
  descriptor.follow_pause(ws)
  descriptor.block(ws, true)
end

--- Has reading tried again, which waited for room to send, because there may be some.
-- @tparam table ws
function descriptor.resume(ws)
  if not is_stalled(ws) then return end
  ws.wire.transport:resume()
  descriptor.follow_pause(ws)
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
