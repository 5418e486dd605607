--- Two ends of a connection inside one program, without sockets. Each cuts, refuses and fails as it is told.
-- @module websockets.transport.memory
local memory = {}
memory.__index = memory

local sub = string.sub
local min, HUGE = math.min, math.huge

local LOOPBACK, SOME_PORT = "127.0.0.1", 1

-- Far above the numbers that a system gives, so that nothing takes one for a descriptor.
local next_fd = 1000000

--- Gives a number that no other end has.
-- @treturn integer
function memory.new_fd()
  next_fd = next_fd + 1
  return next_fd
end

--- Makes an end that is not connected.
-- @tparam[opt] table script `chunk`: most bytes that a receive gives or a send takes; `capacity`: bytes that wait for
-- the other end at most; `receive_fails`, `send_fails`: why nothing more can be done
-- @treturn memory
function memory.new(script)
  return setmetatable({
    fd = memory.new_fd(), script = script or {}, inbox = {}, first = 1, last = 0, held = 0,
    other = false, failure = false, ip = LOOPBACK, port = SOME_PORT,
    -- The other end sends nothing more; this end sends nothing more; it is closed; the other end has reset it.
    ended = false, shut = false, closed = false, is_reset = false,
    -- Nothing that is sent arrives any more; so many bytes have been sent since.
    is_cut = false, lost = 0,
  }, memory)
end

--- Connects two ends.
-- @tparam memory one
-- @tparam memory other
function memory.join(one, other)
  one.other, other.other = other, one
end

--- Makes two connected ends.
-- @tparam[opt] table script of both, as for `new`
-- @treturn memory one end
-- @treturn memory the other
function memory.pair(script)
  local one, other = memory.new(script), memory.new(script)
  memory.join(one, other)
  return one, other
end

--- Has connecting fail.
-- @tparam string why
function memory:fail(why)
  self.failure = why
end

--- Tells whether the end is connected.
-- @treturn[1] boolean false while that is not known
-- @treturn[2] nil
-- @treturn[2] string why it cannot be
function memory:connected()
  if self.failure then return nil, self.failure end
  return self.other ~= false
end

-- Why nothing can come any more, where all that has come is taken.
local function why_ended(self)
  if self.closed then return "closed" end
  if self.is_reset then return "reset" end
  return self.script.receive_fails or self.ended and "closed"
end

--- Tells whether `receive` has something to tell.
-- @treturn boolean
function memory:is_readable()
  return self.first <= self.last or (why_ended(self) or self.failure) and true or false
end

-- How many bytes the other end has room for.
local function room(self)
  local capacity = self.script.capacity or HUGE
  return capacity - (self.is_cut and self.lost or self.other.held)
end

--- Tells whether `send` or `connected` has something to tell.
-- @treturn boolean
function memory:is_writable()
  if self.failure or self.closed or self.is_reset or self.shut or self.script.send_fails then return true end
  return self.other and room(self) > 0 or false
end

--- Takes what has come, at most `script.chunk` bytes.
-- @treturn[1] string bytes
-- @treturn[1] boolean whether more is waiting
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed`, `reset` or what `script.receive_fails` says
function memory:receive()
  if self.closed then return nil, "closed" end
  if self.script.receive_fails or self.is_reset then return nil, why_ended(self) end
  if self.first > self.last then return nil, why_ended(self) or "timeout" end
  local bytes = self.inbox[self.first]
  local chunk = self.script.chunk or #bytes
  if #bytes > chunk then
    self.inbox[self.first] = sub(bytes, chunk + 1)
    bytes = sub(bytes, 1, chunk)
  else
    self.inbox[self.first] = nil
    self.first = self.first + 1
  end
  self.held = self.held - #bytes
  return bytes, self.first <= self.last
end

local function put(self, bytes)
  self.last = self.last + 1
  self.inbox[self.last] = bytes
  self.held = self.held + #bytes
end

-- Bytes that leave and find nobody. A system answers those to a closed end with a reset.
local function lose(self, count)
  if self.is_cut then
    self.lost = self.lost + count
  else
    self.is_reset = true
  end
end

--- Gives bytes to the other end, as many as fit.
-- @tparam string bytes
-- @tparam integer from position of the first to send
-- @treturn[1] integer position after the last: all of them
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed`, `reset` or what `script.send_fails` says
-- @treturn[2] integer position after the last that was taken
function memory:send(bytes, from)
  if self.closed or self.shut then return nil, "closed", from end
  if self.script.send_fails then return nil, self.script.send_fails, from end
  if self.is_reset then return nil, "reset", from end
  local upto = min(#bytes, from - 1 + min(room(self), self.script.chunk or HUGE))
  if upto >= from then
    if self.is_cut or self.other.closed then
      lose(self, upto - from + 1)
    else
      put(self.other, sub(bytes, from, upto))
    end
  end
  if upto == #bytes then return upto + 1 end
  return nil, "timeout", upto + 1
end

--- Tells whether bytes are waiting.
-- @treturn boolean
function memory:pending() return self.first <= self.last end

--- Names the descriptor, which no system knows.
-- @treturn integer -1 after `close`
function memory:getfd() return self.closed and -1 or self.fd end

--- Names the peer.
-- @treturn string
-- @treturn integer
function memory:peer() return self.ip, self.port end

--- Answers a connection for which there is no room, and ends it.
-- @tparam string bytes
function memory:turn_away(bytes)
  self:send(bytes, 1)
  self:close()
end

--- Gives the end, for another transport.
-- @treturn memory
function memory:detach() return self end

--- Lets nothing that is sent from now on, by either end, arrive; nor that an end is closed.
function memory:cut()
  self.is_cut = true
  if self.other then self.other.is_cut = true end
end

--- Ends the sending direction.
function memory:shutdown()
  self.shut = true
  if self.other and not self.is_cut then self.other.ended = true end
end

--- Closes this end.
-- @tparam ?number linger 0 resets the connection
function memory:close(linger)
  self.closed = true
  local other = self.other
  if not other or self.is_cut then return end
  other.ended = true
  if linger == 0 then other.is_reset = true end
end

return memory
