--- Two ends of a connection inside one program, for tests: cuts, refuses and fails as it is told.
-- @module spec.support.memory_transport
local memory = {}
memory.__index = memory

-- Far above what select can watch, so that no poller touches it; service_fd serves it by this number.
local next_fd = 1000000

local function new_end(script)
  next_fd = next_fd + 1
  return setmetatable({
    fd = next_fd, inbox = {}, first = 1, last = 0, script = script, ended = false, closed = false,
  }, memory)
end

--- Makes two connected ends.
-- @tparam[opt] table script `chunk`: most bytes a receive gives or a send takes; `capacity`: bytes an inbox holds
-- @treturn memory one end
-- @treturn memory the other
function memory.pair(script)
  local one, other = new_end(script or {}), new_end(script or {})
  one.other, other.other = other, one
  one.held, other.held = 0, 0
  return one, other
end

--- Takes what has come, at most `script.chunk` bytes.
-- @treturn[1] string bytes
-- @treturn[1] boolean whether more is waiting
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed` or what `script.receive_fails` says
function memory:receive()
  if self.closed then return nil, "closed" end
  if self.script.receive_fails then return nil, self.script.receive_fails end
  if self.first > self.last then
    if self.ended then return nil, "closed" end
    return nil, "timeout"
  end
  local bytes = self.inbox[self.first]
  local chunk = self.script.chunk or #bytes
  if #bytes > chunk then
    self.inbox[self.first] = bytes:sub(chunk + 1)
    bytes = bytes:sub(1, chunk)
  else
    self.inbox[self.first] = nil
    self.first = self.first + 1
  end
  self.held = self.held - #bytes
  return bytes, self.first <= self.last
end

--- Gives bytes to the other end, as many as fit.
-- @tparam string bytes
-- @tparam integer from position of the first to send
-- @treturn[1] integer position after the last: all of them
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed` or what `script.send_fails` says
-- @treturn[2] integer position after the last that was taken
function memory:send(bytes, from)
  if self.closed or self.shut then return nil, "closed", from end
  if self.script.send_fails then return nil, self.script.send_fails, from end
  local other = self.other
  local room = (self.script.capacity or math.huge) - other.held
  local upto = math.min(#bytes, from - 1 + math.min(room, self.script.chunk or math.huge))
  if upto >= from and not other.closed then
    other.last = other.last + 1
    other.inbox[other.last] = bytes:sub(from, upto)
    other.held = other.held + (upto - from + 1)
  end
  if upto == #bytes then return upto + 1 end
  return nil, "timeout", upto + 1
end

--- Tells whether bytes are waiting.
-- @treturn boolean
function memory:pending() return self.first <= self.last end

--- Names the descriptor.
-- @treturn integer
function memory:getfd() return self.closed and -1 or self.fd end

--- Names the peer.
-- @treturn string
-- @treturn integer
function memory.peer() return "127.0.0.1", 1 end

--- Ends the sending direction.
function memory:shutdown()
  self.shut = true
  self.other.ended = true
end

--- Closes this end.
function memory:close()
  self.closed = true
  self.other.ended = true
end

return memory
