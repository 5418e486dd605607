--- Taking accepted connections into a context, or refusing them.
-- @module websockets.server.intake
local capacity = require("websockets.server.capacity")
local connection = require("websockets.connection.connection")
local descriptor = require("websockets.connection.descriptor")
local errors = require("websockets.errors")
local exact = require("websockets.transport.exact")
local exchange = require("websockets.server.exchange")
local flags = require("websockets.transport.flags")
local http = require("websockets.http.head")
local luasec = require("websockets.transport.luasec")
local luasocket = require("websockets.transport.luasocket")
local secure = require("websockets.server.secure")
local sockets = require("websockets.transport.sockets")

local intake = {}

local CLIENT_METHODS = { "receive", "send", "getfd" }
local TURNED_AWAY = http.response_head(503, { ["Retry-After"] = "1" }, 0, "close")

local floor = math.floor
local closing = luasocket.closing

--- Refuses a connection.
-- @tparam table context
-- @tparam userdata socket closed
-- @tparam ?boolean|table is_secure whether its client expects TLS
function intake.turn_away(context, socket, is_secure)
  capacity.turned_away(context)
  -- LuaSec may wait in `close`, and nothing can be said before a TLS handshake.
  if socket.dohandshake then return luasec.adopt(socket):close() end
  if is_secure then return socket:close() end
  if socket.turn_away then return socket:turn_away(TURNED_AWAY) end
  socket:settimeout(0)
  -- Unread bytes would turn the end into a reset, and the answer would be lost.
  socket:receive(8192)
  socket:send(TURNED_AWAY)
  pcall(socket.shutdown, socket, "send")
  socket:close()
end

local function turn_away_wire(context, wire)
  capacity.turned_away(context)
  wire:receive()
  wire:raw(TURNED_AWAY)
  wire:flush()
  wire:shutdown()
  wire:close()
end

local function can_take(context, fd)
  if descriptor.can_watch(context, fd) then return not capacity.is_full(context) end
  capacity.run_short(context, "select cannot watch more descriptors")
  return false
end

local function begin(context, transport, fd, phase)
  local ws = connection.new(context, transport, floor(fd), phase)
  context.tally.accepted = context.tally.accepted + 1
  capacity.taken(context)
  return ws
end

-- What carries the bytes of a socket that an application or a listener has accepted.
local function transport_of(context, socket, secured, phase)
  if secured and phase.stage == "proxy" then return closing(socket, pcall(exact.new, socket, 1)) end
  if secured then return closing(socket, pcall(secure.wrap, socket, secured.certificates, secured.handshakes)) end
  if socket.dohandshake then return closing(socket, pcall(luasec.adopt, socket)) end
  local adopt = context.wire_class.adopt
  return adopt and adopt(context.hub, socket) or closing(socket, pcall(context.sockets.new, socket))
end

--- Takes a connected LuaSocket object, or a LuaSec connection, into a context.
-- @tparam table context
-- @tparam userdata socket
-- @tparam[opt] table phase
-- @tparam[opt] table secured puts TLS on the socket: `certificates`, `handshakes`
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`; `tls`: LuaSec gives no connection
function intake.take(context, socket, phase, secured)
  phase = phase or exchange.new()
  local is_secure = secured or socket.dohandshake
  if is_secure and phase.stage ~= "proxy" then phase = secure.new(phase, secured and secured.handshakes) end
  if not can_take(context, floor(socket:getfd())) then
    intake.turn_away(context, socket, is_secure)
    return nil, "no more connections can be taken", "limit"
  end
  -- Also where another program has opened it. LuaSocket lets programs that are started inherit what it accepts.
  flags.set(socket:getfd(), true, true, context.engine.set_flags)
  local transport, why, code = transport_of(context, socket, secured, phase)
  if not transport then
    socket:close()
    return nil, why, code
  end
  return begin(context, transport, transport:getfd(), phase)
end

-- The descriptor of a connection that `adopt` can take; nil for anything else.
local function descriptor_of(socket)
  if not luasocket.is_object(socket, CLIENT_METHODS) then return nil end
  -- LuaSocket's listening sockets have all methods too; this one refuses to work on them, and disturbs nothing.
  if luasocket.is_object(socket, { "getstats" }) and not pcall(socket.getstats, socket) then return nil end
  local asked, fd = pcall(socket.getfd, socket)
  return asked and type(fd) == "number" and fd or nil
end

--- Checks the arguments of `context:adopt`.
-- @tparam table context
-- @param socket as the caller gave it
-- @param bytes as the caller gave it
-- @tparam integer level of the caller, as for `error`
-- @raise for anything but an open connection that is not served yet, and a string or nothing
function intake.check(context, socket, bytes, level)
  local lack = sockets.lack(context.sockets, "adopt")
  if lack then error(lack, level + 1) end
  local fd = descriptor_of(socket)
  if not fd then
    errors.argument(1, "adopt", "connected LuaSocket object or LuaSec connection", socket, level + 1)
  elseif bytes ~= nil and type(bytes) ~= "string" then
    errors.argument(2, "adopt", "string", bytes, level + 1)
  elseif fd < 0 or context.owners[fd] then
    errors.argument(1, "adopt", "open socket that is not served yet", socket, level + 1)
  end
end

--- Takes a connection that the application has accepted into a context.
-- @tparam table context
-- @tparam userdata socket LuaSocket object or LuaSec connection
-- @tparam string bytes what has been read from it already
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`
function intake.adopt(context, socket, bytes)
  local ws, why, code = intake.take(context, socket)
  if not ws then return ws, why, code end
  if bytes ~= "" then ws.phase:feed(ws, bytes) end
  -- What LuaSocket has read ahead shows in no descriptor.
  context.agenda:again(ws)
  return ws
end

--- Takes a wire of the accelerator, which has accepted it, into a context.
-- @tparam table context
-- @tparam userdata wire
-- @tparam table phase
function intake.take_wire(context, wire, phase)
  local fd = wire:getfd()
  if not can_take(context, fd) then return turn_away_wire(context, wire) end
  begin(context, wire, fd, phase)
end

return intake
