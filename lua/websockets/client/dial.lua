--- Connections that this side opens: resolving, connecting and the opening handshake, without waiting for any of them.
-- A dial is the phase of such a connection until it is open.
-- @module websockets.client.dial
local compression = require("websockets.protocol.compression")
local connection = require("websockets.connection.connection")
local descriptor = require("websockets.connection.descriptor")
local flags = require("websockets.transport.flags")
local handshake = require("websockets.protocol.client_handshake")
local http = require("websockets.http.head")
local lifecycle = require("websockets.connection.lifecycle")
local luasocket = require("websockets.transport.luasocket")
local resolver = require("websockets.client.resolver")

local dial = {}
dial.__index = dial

local sub = string.sub

local MAX_INTERIM_ANSWERS = 16
local TOO_LONG = "the head of the server's answer is too long"

-- Any other failure to reach an address is that it cannot be reached.
local WORDS = { ["connection refused"] = "refused", timeout = "timeout" }

local function fail(ws, message, why)
  lifecycle.abort(ws, why, message)
end

local function open_socket(context, kind)
  local sockets = luasocket.library()
  local make = sockets[kind]
  local socket, why = nil, "no IPv6 here"
  if make then socket, why = make() end
  if socket then
    socket:settimeout(0)
    flags.set(socket:getfd(), false, true, context.engine.set_flags)
  end
  return socket, why
end

-- Begins to connect; false and why where that failed at once.
local function begin_connecting(self, socket, address)
  local done, why = socket:connect(address[2], self.place.port)
  return done or why == "timeout" or why == "Operation already in progress", why
end

local function try(self, ws, socket, address)
  local is_pending, why = begin_connecting(self, socket, address)
  if is_pending then
    local transport = luasocket.new(socket)
    connection.replace(ws, transport, transport:getfd())
    -- A callback of an outside loop may have ended the connection.
    if ws.state == "dialling" then descriptor.block(ws, true) end
  end
  return is_pending, why
end

-- The next address, over a socket of its own; the one before is given up.
local function dial_next(self, ws, why)
  while self.at < #self.addresses do
    self.at = self.at + 1
    local address = self.addresses[self.at]
    local socket, trouble = open_socket(ws.context, address[1])
    if socket then
      local is_good, is_pending
      is_good, is_pending, trouble = pcall(try, self, ws, socket, address)
      if is_good and is_pending then return end
      socket:close()
      if not is_good then error(is_pending, 0) end
    end
    why = trouble
  end
  fail(ws, ("cannot connect to %s: %s"):format(self.place.authority, why), WORDS[why] or "unreachable")
end

local function send_request(self, ws)
  local key, why, word = handshake.key(ws.context.engine)
  if not key then return fail(ws, why, word) end
  local settings = ws.settings
  self.accept_key = ws.context.engine.accept_key(key)
  local extensions = settings.compression and compression.offer(settings.compression)
  ws.wire:raw(handshake.request(self.place, key, settings, extensions))
  ws.context.agenda:touch(ws)
end

-- Whether the socket is connected; false and why where it was refused, false and nil while neither is known.
local function peek(socket)
  if socket:getpeername() then return true end
  local asked, why = pcall(socket.getoption, socket, "error")
  return false, asked and why
end

local function fail_to_resolve(self, ws, why)
  fail(ws, ("cannot resolve %s: %s"):format(self.place.host, why), "host")
end

-- The answer of a look-up is whole when it ends.
local function read_addresses(self, ws)
  local bytes, why
  repeat
    bytes, why = ws.wire:receive()
    self.answer = self.answer .. (bytes or "")
  until not bytes
  if why == "timeout" then return end
  self.addresses, why = resolver.read(self.answer)
  self.answer = false
  if not self.addresses then return fail_to_resolve(self, ws, why) end
  dial_next(self, ws)
end

--- Goes on connecting, whenever the state of the socket may have changed.
-- @tparam table ws
function dial:advance(ws)
  if self.answer then return read_addresses(self, ws) end
  if self.unresolved then return fail_to_resolve(self, ws, self.unresolved) end
  local is_connected, why = false, self.trouble
  self.trouble = false
  if not why then is_connected, why = peek(ws.wire.transport.socket) end
  if is_connected then
    lifecycle.connected(ws)
    descriptor.block(ws, false)
    -- A callback of an outside loop may have ended the connection.
    if ws.state == "http" then send_request(self, ws) end
  elseif why then
    dial_next(self, ws, why)
  end
end

local function open(self, ws, head, leftover)
  local settings = ws.settings
  local answer, why, word = handshake.check(head, self.accept_key, settings.protocols or nil)
  if not answer then return fail(ws, why, word) end
  local deflate
  deflate, why = compression.accept(settings.compression, answer.headers["sec-websocket-extensions"])
  if deflate == nil then return fail(ws, why, "handshake") end
  connection.open_client(ws, leftover, answer.headers["sec-websocket-protocol"], deflate)
end

-- A server could go on with interim answers without end.
local function may_go_on(self, ws, interim_head)
  self.interim_count, self.interim_bytes = self.interim_count + 1, self.interim_bytes + #interim_head
  return self.interim_count <= MAX_INTERIM_ANSWERS and self.interim_bytes <= ws.settings.max_header_bytes
end

--- Takes bytes of the server's answer.
-- @rfc 9110 15.2
-- @tparam table ws
-- @tparam string bytes may be empty
function dial:feed(ws, bytes)
  local position = 1
  while position <= #bytes do
    local head, after = http.scan(self.scanner, bytes, position, ws.settings)
    if head == false then
      return fail(ws, after == 400 and "the server's answer is not HTTP" or TOO_LONG, "handshake")
    elseif not head then
      return
    elseif not handshake.is_interim(head) then
      return open(self, ws, head, sub(bytes, after))
    elseif not may_go_on(self, ws, head) then
      return fail(ws, "the server gave too many interim answers", "handshake")
    end
    position = after
  end
end

--- Takes note that the server ended the connection instead of answering.
-- @tparam table ws
function dial:ended(ws)
  fail(ws, self.place.authority .. " ended the connection before it answered", "closed")
end

--- Follows a flush: nothing depends on it here.
function dial.flushed() end

--- Gives back what is held: nothing.
function dial.release() end

local function expire(ws)
  fail(ws, ("no connection to %s in time"):format(ws.phase.place.authority), "timeout")
end

local function new_phase(place, addresses, unresolved)
  return setmetatable({
    place = place, addresses = addresses or {}, at = 0, trouble = false,
    answer = false, unresolved = unresolved, scanner = http.scanner(), accept_key = false,
    interim_count = 0, interim_bytes = 0,
  }, dial)
end

local function start(self, context, transport, settings)
  local fd = math.floor(transport:getfd())
  return connection.new(context, transport, fd, self, { settings = settings, expire = expire })
end

-- Nobody knows of a socket yet: an error has to close it.
local function closing(socket, is_good, ws, ...)
  if is_good then return ws, ... end
  socket:close()
  error(ws, 0)
end

-- With the accelerator nothing waits for the answer to a look-up: it arrives as from any other socket.
local function begin_look_up(context, place, settings)
  local self = new_phase(place)
  self.answer = ""
  local wire = context.wire_class.look_up(context.hub, place.host)
  if not wire then return nil, "no descriptor or thread to look a name up", "limit" end
  return closing(wire, pcall(start, self, context, wire, settings))
end

local function await(ws, is_pending)
  -- A callback of an outside loop may have ended the connection, or gone on connecting.
  if ws.state == "dialling" then descriptor.block(ws, true) end
  -- What failed at once is reported in the next turn: the caller has set no callbacks yet.
  if not is_pending then ws.context.agenda:again(ws) end
end

local function begin_dialling(self, context, socket, settings)
  local transport = luasocket.new(socket)
  if not descriptor.can_watch(context, transport:getfd()) then
    socket:close()
    return nil, "no more connections can be watched", "limit"
  end
  local is_pending, address = false, self.addresses[1]
  if address then
    local why
    self.at = 1
    is_pending, why = begin_connecting(self, socket, address)
    self.trouble = not is_pending and why
  end
  local ws = start(self, context, transport, settings)
  local is_good, err = pcall(await, ws, is_pending)
  if is_good then return ws end
  connection.undo(ws)
  error(err, 0)
end

--- Opens a connection.
-- @tparam table context
-- @tparam table place of `websockets.protocol.url`
-- @tparam table settings of `websockets.options.connect`
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`
function dial.connect(context, place, settings)
  local addresses, unresolved = resolver.known(place), nil
  if not addresses then
    if context.wire_class.look_up then return begin_look_up(context, place, settings) end
    addresses, unresolved = resolver.ask(place.host)
  end
  local self = new_phase(place, addresses, unresolved)
  local address = self.addresses[1]
  local socket, why = open_socket(context, address and address[1] or "tcp4")
  if not socket then return nil, "no socket: " .. tostring(why), "limit" end
  return closing(socket, pcall(begin_dialling, self, context, socket, settings))
end

return dial
