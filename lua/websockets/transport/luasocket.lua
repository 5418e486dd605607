--- Bytes in and out of a LuaSocket TCP object, without blocking.
-- @module websockets.transport.luasocket
local luasocket = {}
luasocket.__index = luasocket

-- A multiple of LuaSocket's own 8 KiB buffer, so that nothing stays in that buffer after a full read.
local CHUNK_BYTES = 65536
local RESET = { on = true, timeout = 0 }
local floor = math.floor

local library

--- Gives LuaSocket.
-- @treturn table
-- @raise one sentence if it is not installed or cannot be loaded
function luasocket.library()
  if library then return library end
  local found, loaded = pcall(require, "socket")
  if not found then
    local is_missing = tostring(loaded):find("module 'socket' not found", 1, true)
    error("websockets needs LuaSocket, which " .. (is_missing and "is not installed (luarocks install luasocket)"
      or "cannot be loaded: " .. tostring(loaded):match("^[^\n]*")), 0)
  end
  library = loaded
  return loaded
end

--- Tells the time.
-- @treturn number seconds since 1970, with fractions
function luasocket.time()
  return luasocket.library().gettime()
end

--- Wraps a connected socket and makes it non-blocking.
-- @tparam userdata socket LuaSocket client object
-- @treturn luasocket
function luasocket.new(socket)
  socket:settimeout(0)
  -- A unix socket has no such option and raises.
  pcall(socket.setoption, socket, "tcp-nodelay", true)
  return setmetatable({ socket = socket }, luasocket)
end

--- Receives the bytes that have come.
-- @treturn[1] string bytes, at least one
-- @treturn[1] boolean whether there may be more that polling does not show
-- @treturn[2] nil
-- @treturn[2] string `timeout` (no bytes have come), `closed` or `reset`
function luasocket:receive()
  local bytes, why, partial = self.socket:receive(CHUNK_BYTES)
  -- Polling shows bytes in the kernel, but not those that LuaSocket has read ahead.
  if bytes then return bytes, self.socket:dirty() end
  if partial and partial ~= "" then return partial, false end
  if why == "timeout" or why == "closed" then return nil, why end
  return nil, "reset"
end

--- Sends as many bytes as the operating system takes.
-- @tparam string bytes
-- @tparam integer from position of the first to send
-- @treturn[1] integer position after the last byte: all were taken
-- @treturn[2] nil
-- @treturn[2] string `timeout` (the socket is full), `closed` or `reset`
-- @treturn[2] integer position after the last byte that was taken
function luasocket:send(bytes, from)
  local last, why, partial = self.socket:send(bytes, from)
  if last then return #bytes + 1 end
  if why ~= "timeout" and why ~= "closed" then why = "reset" end
  -- LuaSocket gives floats.
  return nil, why, floor(partial or from - 1) + 1
end

--- Tells whether LuaSocket has read bytes ahead, which polling does not show.
-- @treturn boolean
function luasocket:pending()
  return self.socket:dirty()
end

--- Gives the descriptor.
-- @treturn integer -1 after `close`
function luasocket:getfd()
  return floor(self.socket:getfd())
end

--- Gives the address of the peer.
-- @treturn string IP address, without the prefix of an IPv4 address inside IPv6; "" when unknown
-- @treturn integer port, 0 when unknown
function luasocket:peer()
  local named, ip, port = pcall(self.socket.getpeername, self.socket)
  if not named or not ip then return "", 0 end
  return (ip:gsub("^::[fF][fF][fF][fF]:", "")), floor(tonumber(port) or 0)
end

--- Ends the sending direction: the peer reads all that was sent, then the end.
function luasocket:shutdown()
  self.socket:shutdown("send")
end

--- Closes the descriptor.
-- @tparam ?number linger seconds that the system may keep what the peer does not take. 0 resets the connection; for
-- other times LuaSocket has no option: the system decides
function luasocket:close(linger)
  -- A unix socket has no such option and raises.
  if linger == 0 then pcall(self.socket.setoption, self.socket, "linger", RESET) end
  self.socket:close()
end

return luasocket
