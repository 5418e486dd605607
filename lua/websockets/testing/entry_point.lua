--- Where connections in memory arrive: in place of a listening socket.
-- @module websockets.testing.entry_point
local memory = require("websockets.transport.memory")

local entry_point = {}
entry_point.__index = entry_point

--- Makes one.
-- @tparam ?integer port nil for a unix socket
-- @tparam function forget called when it is closed
-- @treturn entry_point
function entry_point.new(port, forget)
  return setmetatable({
    fd = memory.new_fd(), port = port, forget = forget, pending = {}, is_silent = false,
  }, entry_point)
end

--- Has a connection wait to be accepted.
-- @tparam memory transport the end of the listener
function entry_point:put(transport)
  self.pending[#self.pending + 1] = transport
end

--- Takes the connection that has waited longest.
-- @treturn[1] memory
-- @treturn[2] nil
-- @treturn[2] string `timeout`: none waits
function entry_point:accept()
  local transport = table.remove(self.pending, 1)
  if transport then return transport end
  return nil, "timeout"
end

--- Tells whether a connection waits.
-- @treturn boolean
function entry_point:is_readable() return self.pending[1] ~= nil end

--- Takes no bytes.
-- @treturn boolean false
function entry_point.is_writable() return false end

--- Never waits.
function entry_point.settimeout() end

--- Names the descriptor, which no system knows.
-- @treturn integer
function entry_point:getfd() return self.fd end

--- Names address and port.
-- @treturn string
-- @treturn ?integer
function entry_point:getsockname() return "127.0.0.1", self.port end

--- Refuses connections from now on; those that wait are reset.
function entry_point:close()
  self.forget()
  for _, transport in ipairs(self.pending) do transport:close(0) end
  self.pending = {}
end

return entry_point
