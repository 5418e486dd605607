--- Bytes of a LuaSocket TCP object of which no more are read than was asked for: what follows them is for another
-- transport over the same socket. LuaSocket itself reads ahead.
-- @module websockets.transport.exact
local luasocket = require("websockets.transport.luasocket")

local exact = setmetatable({}, { __index = luasocket })
exact.__index = exact

-- LuaSocket reads a UDP object by one call of the system, which takes so many bytes at most, of any descriptor.
local reader = false

local function receive(fd, count)
  if not reader then
    reader = luasocket.make("udp4")
    if not reader then return nil, "reset" end
    reader:close()
    reader:settimeout(0)
  end
  reader:setfd(fd)
  local bytes, why = reader:receive(count)
  reader:setfd(-1)
  return bytes, why
end

--- Wraps a connected socket and makes it non-blocking.
-- @tparam userdata socket LuaSocket client object
-- @tparam integer count bytes that are wanted
-- @treturn exact
function exact.new(socket, count)
  local self = luasocket.new(socket)
  self.count = count
  return setmetatable(self, exact)
end

--- Sets how many bytes are wanted.
-- @tparam integer count
function exact:expect(count)
  self.count = count
end

--- Receives bytes that have come.
-- @treturn[1] string bytes, at least one, at most as many as are wanted
-- @treturn[1] boolean false: polling shows whether there are more
-- @treturn[2] nil
-- @treturn[2] string `timeout` (no bytes have come), `closed` or `reset`
function exact:receive()
  local bytes, why = receive(self.socket:getfd(), self.count)
  -- An empty message of UDP is the end of TCP.
  if bytes == "" then return nil, "closed" end
  if bytes then return bytes, false end
  return nil, why == "timeout" and why or "reset"
end

--- Tells whether bytes have been read ahead.
-- @treturn boolean false
function exact.pending() return false end

return exact
