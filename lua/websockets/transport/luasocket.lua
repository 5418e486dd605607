--- Bytes in and out of a LuaSocket TCP object, without blocking.
-- @module websockets.transport.luasocket
local address_of = require("websockets.transport.address")
local flags = require("websockets.transport.flags")

local luasocket = {
  --- Its name as a library of sockets, see `websockets.transport.sockets`.
  name = "luasocket",
}
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

local function method_of(value, name) return value[name] end

--- Tells whether something is an object that can be used as LuaSocket's are.
-- @param value
-- @tparam {string,...} methods that it is to have
-- @treturn boolean
function luasocket.is_object(value, methods)
  local kind = type(value)
  if kind ~= "userdata" and kind ~= "table" then return false end
  for _, name in ipairs(methods) do
    -- Protected, because indexing a userdata without a metatable raises.
    local found, method = pcall(method_of, value, name)
    if not found or type(method) ~= "function" then return false end
  end
  return true
end

-- LuaSocket names the state of its objects: `tcp{server}: 0x55d0`.
local NOT_LISTENING = { master = "one without listen", client = "a connected socket" }

--- Tells why connections cannot be accepted from an object of LuaSocket.
-- @param value as `is_object` took it
-- @treturn ?string nil where they can, and for objects that are not LuaSocket's
function luasocket.listener_fault(value)
  local state = type(value) == "userdata" and tostring(value):match("^%w+{(%w+)}")
  if state == "server" and value:getfd() < 0 then return "a closed socket" end
  return NOT_LISTENING[state]
end

--- Tells the time.
-- @treturn number seconds since 1970, with fractions
function luasocket.time()
  return luasocket.library().gettime()
end

--- Gives the function that tells the time.
-- @treturn function as `time`
function luasocket.wall()
  return luasocket.library().gettime
end

--- Waits.
-- @tparam number seconds
function luasocket.sleep(seconds)
  luasocket.library().sleep(seconds)
end

--- Names this host.
-- @treturn ?string
function luasocket.hostname()
  return (luasocket.library().dns.gethostname())
end

--- Asks the system for the addresses of a name, and waits for its answer.
-- @tparam string name
-- @treturn[1] table list of `{ kind, address }`: kind is "tcp4" or "tcp6"
-- @treturn[2] nil
-- @treturn[2] string what failed
function luasocket.resolve(name)
  local found, why = luasocket.library().dns.getaddrinfo(name)
  if not found then return nil, tostring(why) end
  local addresses = {}
  for _, one in ipairs(found) do
    addresses[#addresses + 1] = { one.family == "inet6" and "tcp6" or "tcp4", one.addr }
  end
  return addresses
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

local function make_unix()
  local found, unix = pcall(require, "socket.unix")
  local make = found and (type(unix) == "table" and unix.stream or unix)
  if make then return make() end
  return nil, "this LuaSocket has no unix sockets (socket.unix)"
end

--- Makes a socket.
-- @tparam string kind "tcp4", "tcp6", "udp4" or "unix"
-- @treturn[1] userdata LuaSocket object
-- @treturn[2] nil
-- @treturn[2] string why there is none
function luasocket.make(kind)
  if kind == "unix" then return make_unix() end
  local make = luasocket.library()[kind]
  if not make then return nil, "no IPv6 here" end
  return make()
end

--- Makes a transport that is connected to nothing, for its descriptor.
-- @treturn[1] luasocket
-- @treturn[2] nil
-- @treturn[2] string why there is none
function luasocket.placeholder()
  local socket, why = luasocket.make("tcp4")
  return socket and luasocket.new(socket), why
end

--- Opens a listening socket.
-- @tparam string kind "tcp4" or "tcp6"
-- @tparam string address
-- @tparam integer port 0: any
-- @tparam integer backlog
-- @tparam ?boolean dual for "tcp6": whether it listens on IPv4 too
-- @tparam ?boolean shares whether other processes may listen there too, if they do the same
-- @treturn[1] userdata LuaSocket object
-- @treturn[2] nil
-- @treturn[2] string why not
function luasocket.listen(kind, address, port, backlog, dual, shares)
  local socket, why = luasocket.make(kind)
  if not socket then return nil, why end
  socket:setoption("reuseaddr", true)
  if shares then socket:setoption("reuseport", true) end
  -- Accepted sockets then send without Nagle's delay: on Linux for certain, and only those that connect from here on.
  socket:setoption("tcp-nodelay", true)
  if dual ~= nil then socket:setoption("ipv6-v6only", not dual) end
  local done
  done, why = socket:bind(address, port)
  if done then done, why = socket:listen(backlog) end
  if done then return socket end
  socket:close()
  return nil, why
end

local function begin(socket, host, port, set_flags)
  socket:settimeout(0)
  flags.set(socket:getfd(), false, true, set_flags)
  local done, why = socket:connect(host, port)
  -- A unix socket is connected at once, or never.
  if not port and why == "timeout" then why = "too many connections wait there" end
  if done or why == "timeout" or why == "Operation already in progress" then why = nil end
  -- LuaSocket closes a unix socket that fails, and a connection has a descriptor from its beginning to its end.
  if socket:getfd() < 0 then socket = luasocket.make("unix") end
  return socket and luasocket.new(socket), why
end

--- Closes a socket where work on it has raised: no other place knows of the socket yet.
-- @tparam userdata socket
-- @tparam boolean is_good what `pcall` has returned, with all that follows
-- @param ...
-- @return ... what the work returned
-- @raise what the work has raised
function luasocket.closing(socket, is_good, ...)
  if is_good then return ... end
  socket:close()
  error((...), 0)
end

--- Begins to connect.
-- @tparam table address `{ kind, address }`: kind "tcp4", "tcp6" or "unix"
-- @tparam ?integer port nil for a unix socket
-- @tparam ?function set_flags the engine's, see `websockets.transport.flags`
-- @treturn[1] luasocket
-- @treturn[1] ?string why it failed, where that is known at once
-- @treturn[2] nil
-- @treturn[2] string why there is no socket
function luasocket.connect(address, port, set_flags)
  local socket, why = luasocket.make(address[1])
  if not socket then return nil, why end
  return luasocket.closing(socket, pcall(begin, socket, address[2], port, set_flags))
end

--- Tells whether the socket is connected.
-- @treturn[1] boolean false while that is not known
-- @treturn[2] nil
-- @treturn[2] string why it cannot be
function luasocket:connected()
  local socket = self.socket
  -- A unix socket has no such method.
  if not socket.getpeername then return true end
  local ip, port = socket:getpeername()
  if ip then
    if address_of.is_same(ip, port, socket:getsockname()) then return nil, "connection refused" end
    return true
  end
  local asked, why = pcall(socket.getoption, socket, "error")
  if asked and why then return nil, why end
  return false
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
-- @treturn string IP address, without the prefix of an IPv4 address inside IPv6; "unix" for a unix socket; "" when
-- unknown
-- @treturn integer port, 0 when unknown
function luasocket:peer()
  if not self.socket.getpeername and tostring(self.socket):find("^unix") then return "unix", 0 end
  local named, ip, port = pcall(self.socket.getpeername, self.socket)
  return address_of.shown(named and ip, port)
end

--- Gives the socket, for another transport, which says by `setfd(-1)` that it has taken the descriptor.
-- @treturn userdata LuaSocket object
function luasocket:detach()
  return self.socket
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
