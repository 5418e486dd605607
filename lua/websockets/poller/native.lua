--- Which sockets are ready, by the accelerator: any number of them, at a cost for the ready ones only.
-- @module websockets.poller.native
local native_poller = {
  --- What a turn raises where waiting has failed.
  fault = "epoll_wait failed",
}
native_poller.__index = native_poller

--- Makes a poller.
-- @tparam table hub of `websockets.wire.native`
-- @tparam table owners descriptor -> what `wait` reports as writable
-- @treturn native_poller its `wait` and `source` are as in `websockets.poller.select`, for any number of sockets; what
-- is readable is reported by its descriptor, and -1 in place of how many where waiting has failed
function native_poller.new(hub, owners)
  local source = hub.source
  return setmetatable({
    source = source, wait = source.wait, owners = owners, has_fd = false, has_side = false, wakes_at = math.huge,
  }, native_poller)
end

--- Tells whether a descriptor can be watched here.
-- @tparam table _ the poller
-- @tparam integer fd
-- @treturn boolean
function native_poller.can_watch(_, fd)
  return fd >= 0
end

--- Sets what is waited for. A wire of the accelerator's is reported once for what is new, and must be read until
-- nothing is there; anything else for as long as it is ready, and neither ends the watch.
-- @tparam table|userdata transport
-- @param owner what `wait` reports
-- @tparam boolean read
-- @tparam boolean write
-- @treturn ?boolean false where the system refuses, for want of memory
function native_poller:watch(transport, owner, read, write)
  if type(transport) == "userdata" then return transport:watch(write) end
  local fd = transport:getfd()
  if fd < 0 then return end
  if read or write then self.owners[fd] = owner end
  local is_watched = self.source:watch(fd, read, write)
  return is_watched or not (read or write)
end

--- Names a descriptor that is readable when anything that is watched is ready, or the alarm is due.
-- @treturn integer
function native_poller:get_fd()
  self.has_fd, self.wakes_at = true, math.huge
  return self.source:getfd(false)
end

--- Takes back what `get_fd` did.
function native_poller:drop_fd()
  self.has_fd = false
  self.source:set_timer(nil, false)
end

--- Names a descriptor that is readable when a full socket takes bytes again, or the alarm is due.
-- @treturn ?integer
function native_poller:get_side_fd()
  local fd = self.source:getfd(true)
  self.has_side = fd >= 0
  return self.has_side and fd or nil
end

--- Finds full sockets that take bytes again.
-- @tparam table writable filled with owners
-- @treturn integer how many
function native_poller:wait_side(writable)
  local _, writes = self.wait(self.source, 0, self.owners, writable, writable, true)
  return writes
end

--- Sets when those descriptors become readable although nothing else is ready.
-- @tparam ?number seconds from now; nil for never
function native_poller:set_alarm(seconds)
  if self.has_fd then self.source:set_timer(seconds, false) end
  if self.has_side then self.source:set_timer(seconds, true) end
end

--- Makes the next wait end when a timer is due. A time that stays set costs less than a timeout for each wait. Where an
-- outside loop waits, the time is needed for its alarm.
-- @tparam number due when the next timer is due, `math.huge` for never
-- @tparam number now on the same clock
-- @tparam ?number seconds to wait at most, no longer than to the next timer; nil without end
-- @treturn ?number seconds that are left to give to `wait`
function native_poller:hold(due, now, seconds)
  -- The descriptor is ready from then on.
  if now >= self.wakes_at then
    self.source:set_timer(nil, false)
    self.wakes_at = math.huge
  end
  if not seconds or seconds == 0 or seconds < due - now or self.has_fd or self.has_side then return seconds end
  if due ~= self.wakes_at then
    self.source:set_timer(seconds, false)
    self.wakes_at = due
  end
  return nil
end

--- Makes the wait that is going on, or the next one, end at once.
function native_poller:interrupt()
  -- `hold` takes this back. A descriptor that stands for the whole context is not for this: its alarm is set anew.
  if not (self.has_fd or self.has_side) then
    self.source:set_timer(0, false)
    self.wakes_at = -math.huge
  end
end

--- Gives up its descriptors.
function native_poller:close()
  self.source:close()
end

return native_poller
