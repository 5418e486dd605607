--- The descriptor of a LuaSec connection without TLS, for a peer that has begun without it. What it has sent before is
-- lost.
-- @module websockets.transport.unwrapped
local lent = require("websockets.transport.lent")

local unwrapped = {}
unwrapped.__index = unwrapped

local CHUNK_BYTES = 8192
local floor = math.floor

--- Makes one.
-- @tparam luasec holder has the descriptor, and closes it
-- @treturn unwrapped
function unwrapped.new(holder)
  return setmetatable({ socket = holder.socket, holder = holder }, unwrapped)
end

--- Receives the bytes that have come.
-- @treturn[1] string bytes, at least one
-- @treturn[1] boolean false: polling shows whether there are more
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed` or `reset`
function unwrapped:receive()
  local bytes, why, partial = lent.call(self:getfd(), "receive", CHUNK_BYTES)
  bytes = bytes or partial
  if bytes and bytes ~= "" then return bytes, false end
  if why == "timeout" or why == "closed" then return nil, why end
  return nil, "reset"
end

--- Sends as many bytes as the operating system takes.
-- @tparam string bytes
-- @tparam integer from position of the first to send
-- @treturn[1] integer position after the last byte: all were taken
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed` or `reset`
-- @treturn[2] integer position after the last byte that was taken
function unwrapped:send(bytes, from)
  local last, why, partial = lent.call(self:getfd(), "send", bytes, from)
  if last then return #bytes + 1 end
  if why ~= "timeout" and why ~= "closed" then why = "reset" end
  return nil, why, floor(partial or from - 1) + 1
end

--- Tells whether bytes wait that polling does not show.
-- @treturn boolean false
function unwrapped.pending() return false end

--- Gives the descriptor.
-- @treturn integer -1 after `close`
function unwrapped:getfd() return self.holder:getfd() end

--- Gives the address of the peer.
-- @treturn string IP address; "" when unknown
-- @treturn integer port, 0 when unknown
function unwrapped:peer() return self.holder:peer() end

--- Ends the sending direction.
function unwrapped:shutdown() self.holder:shutdown() end

--- Closes the descriptor.
-- @tparam ?number linger 0 resets the connection
function unwrapped:close(linger) self.holder:close(linger) end

return unwrapped
