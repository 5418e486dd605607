--- libuv as a library of sockets, see `websockets.transport.sockets`.
-- @module websockets.transport.uv
local errors = require("websockets.transport.uv_errors")
local libuv = require("websockets.transport.libuv")
local stream = require("websockets.transport.uv_stream")
local uv_listener = require("websockets.transport.uv_listener")

local uv = {
  --- Its name as a library of sockets.
  name = "uv",
  --- See `websockets.transport.libuv`.
  library = libuv.library,
}

-- A full socket says that there is room when a third of this is free. Of a slow peer that is all that is known: with
-- the megabytes that the system would give, it could look for a long time as if it took nothing.
local SEND_BUFFER_BYTES = 128 * 1024

local FAMILIES = { tcp4 = "inet", tcp6 = "inet6" }

--- Tells the time.
-- @treturn number seconds since 1970, with fractions
function uv.time()
  local seconds, microseconds = libuv.library().gettimeofday()
  return seconds + microseconds / 1e6
end

--- Tells the time on a clock that only goes forward.
-- @treturn number seconds from an arbitrary start
function uv.now()
  return libuv.library().hrtime() / 1e9
end

--- Waits.
-- @tparam number seconds
function uv.sleep(seconds)
  libuv.library().sleep(math.ceil(seconds * 1000))
end

--- Names this host.
-- @treturn ?string
function uv.hostname()
  return (libuv.library().os_gethostname())
end

--- Wraps a connected stream.
-- @tparam userdata|table socket stream of libuv, or a transport already
-- @treturn table see `websockets.transport.uv_stream`
function uv.new(socket)
  if stream.is(socket) then return socket end
  if socket.nodelay then
    socket:nodelay(true)
    socket:send_buffer_size(SEND_BUFFER_BYTES)
  end
  return stream.wrap(socket, socket.nodelay and "tcp" or "unix")
end

-- A stream without a connection; nil and why there is none.
local function make(kind)
  if kind == "unix" then return uv.new(libuv.library().new_pipe(false)) end
  local handle, why = libuv.library().new_tcp(FAMILIES[kind])
  if not handle then return nil, errors.describe(why) end
  return uv.new(handle)
end

--- Makes a transport that is connected to nothing, for its descriptor.
-- @treturn[1] table
-- @treturn[2] nil
-- @treturn[2] string why there is none
function uv.placeholder()
  local made, why = make("tcp4")
  if not made then return nil, why end
  made.is_connecting = true
  return made
end

--- Begins to connect.
-- @tparam table address `{ kind, address }`: kind "tcp4", "tcp6" or "unix"
-- @tparam ?integer port nil for a unix socket
-- @treturn[1] table transport
-- @treturn[1] ?string why it failed, where that is known at once
-- @treturn[2] nil
-- @treturn[2] string why there is no socket
function uv.connect(address, port)
  local made, why = make(address[1])
  if not made then return nil, why end
  why = made:begin(address[2], port)
  if made:getfd() >= 0 then return made, why end
  made:close()
  return nil, why
end

--- Begins to look a name up.
-- @tparam string name
-- @treturn ?table a transport that receives the answer, as `websockets.client.resolver` reads it; nil for want of a
-- descriptor
function uv.look_up(name)
  local made = uv.placeholder()
  if not made then return nil end
  local request, why = libuv.library().getaddrinfo(name, nil, { socktype = "stream" }, function(fault, found)
    if fault == errors.CANCELED then return end
    local lines = {}
    for i, one in ipairs(found or {}) do
      lines[i] = (one.family == "inet6" and "[%s]:0\n" or "%s:0\n"):format(one.addr)
    end
    made:answer(lines[1] and table.concat(lines) or errors.describe(fault))
  end)
  if request then made.request = request else made:answer(errors.describe(why)) end
  return made
end

--- Opens a listening socket.
-- @tparam string kind "tcp4" or "tcp6"
-- @tparam string address
-- @tparam integer port 0: any
-- @tparam integer backlog
-- @tparam ?boolean dual for "tcp6": whether it listens on IPv4 too
-- @treturn[1] table see `websockets.transport.uv_listener`
-- @treturn[2] nil
-- @treturn[2] string why not
function uv.listen(kind, address, port, backlog, dual)
  return uv_listener.open(uv, FAMILIES[kind], address, port, backlog, dual)
end

return uv
