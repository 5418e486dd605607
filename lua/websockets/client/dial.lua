--- Connections that this side opens: resolving, connecting and the opening handshake, without waiting for any of them.
-- @module websockets.client.dial
local compression = require("websockets.protocol.compression")
local connection = require("websockets.connection.connection")
local descriptor = require("websockets.connection.descriptor")
local agenda = require("websockets.connection.agenda")
local ending = require("websockets.connection.ending")
local handshake = require("websockets.protocol.client_handshake")
local http = require("websockets.http.head")
local luasocket = require("websockets.transport.luasocket")
local resolver = require("websockets.client.resolver")

-- The phase of a connection before it is open, in the place of a server's HTTP exchange.
local client = {}
client.__index = client

local sub = string.sub

-- Any other failure to reach an address is that it cannot be reached.
local WORDS = { ["connection refused"] = "refused", timeout = "timeout" }

local function fail(ws, message, why)
  ws.outcome = { 1006, message, false, why }
  ending.abort(ws, why)
end

local function open_socket(kind)
  local sockets = require("socket")
  local make = sockets[kind]
  local socket, why = nil, "no IPv6 here"
  if make then socket, why = make() end
  if socket then socket:settimeout(0) end
  return socket, why
end

-- Begins to connect; false and why where that failed at once.
local function dial(self, socket, address)
  local done, why = socket:connect(address[2], self.place.port)
  return done or why == "timeout" or why == "Operation already in progress", why
end

-- The next address, over a socket of its own; the one before is given up.
local function dial_next(self, ws, why)
  while self.at < #self.addresses do
    self.at = self.at + 1
    local address = self.addresses[self.at]
    local socket, trouble = open_socket(address[1])
    local is_on_its_way = false
    if socket then is_on_its_way, trouble = dial(self, socket, address) end
    if is_on_its_way then
      local transport = luasocket.new(socket)
      connection.replace(ws, transport, transport:getfd())
      return descriptor.block(ws, true)
    end
    if socket then socket:close() end
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
  agenda.touch(ws.context, ws)
end

-- Connected, still on the way, or refused: only the socket knows which.
local function peek(socket)
  if socket:getpeername() then return true end
  local asked, why = pcall(socket.getoption, socket, "error")
  return false, asked and why
end

local function fail_to_resolve(self, ws, why)
  fail(ws, ("cannot resolve %s: %s"):format(self.place.host, why), "host")
end

-- The answer of a look-up is whole when it ends.
local function hear(self, ws)
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

--- Goes on connecting, whenever the socket may have something to say.
-- @tparam table ws
function client:advance(ws)
  if self.answer then return hear(self, ws) end
  if self.unresolved then return fail_to_resolve(self, ws, self.unresolved) end
  local is_connected, why = false, self.trouble
  self.trouble = false
  if not why then is_connected, why = peek(ws.wire.transport.socket) end
  if is_connected then
    ws.dialing = false
    descriptor.block(ws, false)
    send_request(self, ws)
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

--- Takes bytes of the server's answer.
-- @tparam table ws
-- @tparam string bytes may be empty
function client:feed(ws, bytes)
  if bytes == "" then return end
  local head, behind = http.scan(self.scanner, bytes, 1, ws.settings)
  if head then
    open(self, ws, head, sub(bytes, behind))
  elseif head == false then
    fail(ws, behind == 400 and "the server's answer is not HTTP" or "the head of the server's answer is too long",
      "handshake")
  end
end

--- Takes note that the server ended the connection instead of answering.
-- @tparam table ws
function client:ended(ws)
  fail(ws, self.place.authority .. " ended the connection before it answered", "closed")
end

--- Takes note of what left: of no interest here.
function client.flushed() end

--- Gives back what is held: nothing.
function client.release() end

local function expire(ws)
  ws.timer_slot = false
  fail(ws, ("no connection to %s in time"):format(ws.exchange.place.authority), "timeout")
end

local function can_watch(context, fd)
  return context.poller:can_watch(fd) or context.settings.on_add_fd ~= nil
end

local function new_phase(place, addresses, unresolved)
  return setmetatable({
    phase = "client", place = place, addresses = addresses or {}, at = 0, trouble = false,
    answer = false, unresolved = unresolved, scanner = http.scanner(), accept_key = false,
  }, client)
end

local function start(self, context, transport, settings)
  local ws = connection.new(context, transport, math.floor(transport:getfd()), self, settings)
  ws.role, ws.dialing = "client", true
  ending.deadline(ws, settings.timeout, expire)
  return ws
end

-- Where the accelerator looks names up, nothing waits for the answer: it arrives as from any other socket.
local function begin_look_up(context, place, settings)
  local wire = context.wire_class.look_up(context.hub, place.host)
  if not wire then return nil, "no descriptor or thread to look a name up", "limit" end
  local self = new_phase(place)
  self.answer = ""
  return start(self, context, wire, settings)
end

local function begin(context, place, settings)
  local addresses, unresolved = resolver.known(place), nil
  if not addresses then
    if context.wire_class.look_up then return begin_look_up(context, place, settings) end
    addresses, unresolved = resolver.ask(place.host)
  end
  local self = new_phase(place, addresses, unresolved)
  local address = self.addresses[1]
  local socket, why = open_socket(address and address[1] or "tcp4")
  if not socket then return nil, "no socket: " .. tostring(why), "limit" end
  local transport = luasocket.new(socket)
  if not can_watch(context, transport:getfd()) then
    socket:close()
    return nil, "no more connections can be watched", "limit"
  end
  local is_on_its_way = false
  if address then
    self.at = 1
    is_on_its_way, why = dial(self, socket, address)
    self.trouble = not is_on_its_way and why
  end
  local ws = start(self, context, transport, settings)
  descriptor.block(ws, true)
  -- What failed at once is told in the next turn: the caller has set no callbacks yet.
  if not is_on_its_way then agenda.again(context, ws) end
  return ws
end

--- Opens a connection.
-- @tparam table context
-- @tparam table place of `websockets.protocol.url`
-- @tparam table settings of `websockets.options.connect`
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`
function client.connect(context, place, settings)
  if not context.busy then context.now = context.clock() end
  return begin(context, place, settings)
end

return client
