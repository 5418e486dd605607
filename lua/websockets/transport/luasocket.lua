--- Bytes over a LuaSocket TCP object, without ever waiting.
-- @module websockets.transport.luasocket
local luasocket = {}
luasocket.__index = luasocket

-- A multiple of LuaSocket's own 8 KiB buffer, so that a flood leaves nothing behind in it.
local CHUNK_BYTES = 65536
local floor = math.floor

--- Wraps a connected socket and makes it non-blocking.
-- @tparam userdata socket LuaSocket client object
-- @treturn luasocket
function luasocket.new(socket)
  socket:settimeout(0)
  -- A unix socket has no such option and raises.
  pcall(socket.setoption, socket, "tcp-nodelay", true)
  return setmetatable({ socket = socket }, luasocket)
end

--- Takes what has come.
-- @treturn[1] string bytes, at least one
-- @treturn[1] boolean whether more may be waiting that polling would not show
-- @treturn[2] nil
-- @treturn[2] string `timeout` (nothing there), `closed` or `reset`
function luasocket:receive()
  local bytes, why, partial = self.socket:receive(CHUNK_BYTES)
  -- What the kernel still holds shows in polling; only what LuaSocket has read ahead does not.
  if bytes then return bytes, self.socket:dirty() end
  if partial and partial ~= "" then return partial, false end
  if why == "timeout" or why == "closed" then return nil, why end
  return nil, "reset"
end

--- Gives bytes to the operating system.
-- @tparam string bytes
-- @tparam integer from position of the first to send
-- @treturn[1] integer position behind the last that was taken: all of them
-- @treturn[2] nil
-- @treturn[2] string `timeout` (full), `closed` or `reset`
-- @treturn[2] integer position behind the last that was taken
function luasocket:send(bytes, from)
  local last, why, partial = self.socket:send(bytes, from)
  if last then return #bytes + 1 end
  if why ~= "timeout" and why ~= "closed" then why = "reset" end
  -- LuaSocket counts in floats.
  return nil, why, floor(partial or from - 1) + 1
end

--- Tells whether bytes have been read ahead that polling would not show.
-- @treturn boolean
function luasocket:pending()
  return self.socket:dirty()
end

--- Names the descriptor.
-- @treturn integer -1 once closed
function luasocket:getfd()
  return floor(self.socket:getfd())
end

--- Names the peer.
-- @treturn string IP address, without the prefix of an IPv4 address inside IPv6; "" when unknown
-- @treturn integer port, 0 when unknown
function luasocket:peer()
  local named, ip, port = pcall(self.socket.getpeername, self.socket)
  if not named or not ip then return "", 0 end
  return (ip:gsub("^::[fF][fF][fF][fF]:", "")), floor(tonumber(port) or 0)
end

--- Ends the sending direction: the peer reads to the end and then sees it.
function luasocket:shutdown()
  self.socket:shutdown("send")
end

--- Closes the descriptor.
function luasocket:close()
  self.socket:close()
end

return luasocket
