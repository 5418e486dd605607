--- Connections: making one, exchanging its transport, opening the WebSocket.
-- @module websockets.connection.connection
local descriptor = require("websockets.connection.descriptor")
local engines = require("websockets.engine.loader")
local keepalive = require("websockets.connection.keepalive")
local lifecycle = require("websockets.connection.lifecycle")
local nowhere = require("websockets.wire.nowhere")

local connection = {}

local INTERNAL_ERROR, SWITCHING_PROTOCOLS = 1011, 101

-- What a wire is told when its WebSocket begins. It is the same table for all connections of the same settings without
-- compression, and costs each nothing.
local function terms(context, settings, role, deflate)
  local known = not deflate and settings.terms
  -- A client's settings begin as a copy of the context's.
  if known and known.limits == settings then return known end
  known = {
    role = role, max_message_bytes = settings.max_message_bytes, max_fragments = settings.max_fragments,
    budget = context.budget, limits = settings, deflate = deflate,
  }
  if not deflate then settings.terms = known end
  return known
end

--- Ends an open connection whose handler has raised.
-- @tparam table ws
function connection.give_up(ws)
  if ws.state == "open" then lifecycle.fail(ws, INTERNAL_ERROR, "", "error") end
end

-- The WebSocket begins; `handler` is called with it, and with what follows.
local function open(ws, role, leftover, subprotocol, deflate, handler, ...)
  local context = ws.context
  ws.wire:start(terms(context, ws.settings, role, deflate), leftover)
  lifecycle.open(ws)
  keepalive.start(ws)
  -- A broadcast goes to the connections that were opened to us.
  if role == "server" then lifecycle.join(ws, subprotocol and context.groups[subprotocol] or context.anonymous) end
  context.agenda.opening = ws
  if handler and not context.agenda:call(ws, handler, ws, ...) then connection.give_up(ws) end
  context.agenda.opening = false
  -- Not read here: a callback may be adopting this connection while messages of another one are being delivered.
  if leftover ~= "" then context.agenda:again(ws) end
end

--- Turns a connection in the HTTP phase into an open WebSocket.
-- @tparam table ws
-- @tparam string answer bytes of the opening handshake
-- @tparam string leftover bytes that came after the request
-- @tparam ?string subprotocol
-- @tparam function handler the application's connect callback
-- @tparam ?table|boolean deflate what was agreed about compression, see `websockets.protocol.compression`; false for
-- none
function connection.open(ws, answer, leftover, subprotocol, handler, deflate)
  ws.wire:raw(answer)
  ws.context.tally:answered("server", SWITCHING_PROTOCOLS)
  open(ws, "server", leftover, subprotocol, deflate or false, handler)
end

--- Turns a connection that we have opened ourselves into an open WebSocket.
-- @tparam table ws
-- @tparam string leftover bytes that came after the server's answer
-- @tparam ?string subprotocol
-- @tparam table|boolean deflate what was agreed about compression; false for none
function connection.open_client(ws, leftover, subprotocol, deflate)
  ws.subprotocol = subprotocol
  local again = ws.comeback and ws.comeback.has_opened
  open(ws, "client", leftover, subprotocol, deflate, ws.open_handler, again)
  if ws.comeback then ws.comeback:opened() end
end

local function attach(ws, transport, fd)
  local context = ws.context
  local engine = context.engine
  if ws.settings.compression then engine = engines.that_compresses(engine) end
  ws.wire = context.wire_class.new(context.hub, transport, engine, ws.settings, ws)
  ws.fd = fd
  context.owners[fd] = ws
end

--- Begins to connect a socket, by the accelerator where it is there.
-- @tparam table context
-- @tparam table address as `websockets.client.resolver` gives it
-- @tparam ?integer port nil for a unix socket
-- @treturn[1] table|userdata transport, or a wire of the accelerator
-- @treturn[1] ?string why it failed, where that is known at once
-- @treturn[2] nil
-- @treturn[2] string why there is no socket
function connection.dial(context, address, port)
  local connect = context.wire_class.connect
  if connect then return connect(context.hub, address, port) end
  return context.sockets.connect(address, port, context.engine.set_flags)
end

-- An error closes a transport that no connection may have yet.
local function closing(transport, is_good, err)
  if is_good then return end
  transport:close()
  error(err, 0)
end

local function replace(ws, transport, fd)
  local context = ws.context
  descriptor.block(ws, false)
  descriptor.unwatch(ws)
  descriptor.announce(ws, false)
  if ws.state == "closed" then return transport:close() end
  if ws.fd == -1 then context.connection_count = context.connection_count + 1 end
  context.owners[ws.fd] = nil
  -- What was asked of the peer before was told of another.
  ws.fd, ws.peer_ip = -1, nil
  ws.wire:close()
  attach(ws, transport, fd)
  descriptor.watch(ws)
  descriptor.announce(ws, true)
end

--- Gives a connection that has not sent anything yet, or is opened again, another transport. An error closes that one;
-- so does a callback of an outside loop that ends the connection.
-- @tparam table ws
-- @tparam table transport
-- @tparam integer fd
function connection.replace(ws, transport, fd)
  closing(transport, pcall(replace, ws, transport, fd))
end

--- Gives a connection another transport over the same descriptor, which the one before has given up: TLS is put on it.
-- An error closes it.
-- @tparam table ws
-- @tparam table transport
function connection.secure(ws, transport)
  local before = ws.wire
  descriptor.unwatch(ws)
  closing(transport, pcall(attach, ws, transport, ws.fd))
  before:close()
  descriptor.watch(ws)
end

--- Gives the socket of the transport that a connection has, for another transport over it, which says by `setfd(-1)`
-- that it has taken the descriptor. What is queued is lost then.
-- @tparam table ws
-- @treturn table|userdata LuaSocket object, or one with `getfd()`, `setfd(fd)`
function connection.detach(ws)
  local wire = ws.wire
  return (wire.transport or wire):detach()
end

--- Takes the transport from a connection that has ended and is opened again later: closed -> away.
-- @tparam table ws
-- @treturn table what is to be closed at the end of the turn, in place of the connection
function connection.depart(ws)
  local context, fd = ws.context, ws.fd
  local remains = {
    context = context, settings = ws.settings, fd = fd, wire = ws.wire, outcome = ws.outcome, state = "closed",
    announced = false,
  }
  lifecycle.complete(ws)
  descriptor.announce(ws, false)
  lifecycle.depart(ws)
  if context.owners[fd] == ws then context.owners[fd] = remains end
  ws.fd, ws.wire = -1, nowhere
  ws.fragment, ws.held, ws.idle_slot, ws.is_lost = nil, nil, nil, nil
  ws.has_taken, ws.peer_ended, ws.peer_ip = nil, nil, nil
  return remains
end

--- Ends a connection as the application asks for it.
-- @rfc 6455 7.1.2
-- @tparam table ws
-- @tparam ?integer code none: a close frame without code; 0: at once, without a frame
-- @tparam ?string reason
function connection.close(ws, code, reason)
  if ws.comeback then ws.comeback:stop() end
  if code == 0 then
    -- What was written before was accepted: it leaves as far as the socket takes it.
    if ws.state ~= "closed" then ws.wire:flush() end
    lifecycle.abort(ws, "closed")
  elseif ws.state == "http" or ws.state == "dialling" or ws.state == "away" then
    lifecycle.finish(ws)
  else
    lifecycle.close(ws, code, reason)
  end
end

--- Tells the IP address of the client, which a proxy that is trusted may have told.
-- @tparam table ws
-- @treturn string "" where it is not known, or not known any more
function connection.client(ws)
  local forwarded = ws.forwarded
  return forwarded and forwarded.ip or connection.peer(ws)
end

--- Tells the IP address of the peer, or that of the PROXY protocol.
-- @tparam table ws
-- @treturn string "" where it is not known, or not known any more
function connection.peer(ws)
  local ip, wire = ws.peer_ip, ws.wire
  if ip then return ip end
  -- The address that is tried may not be the last one.
  if ws.state == "dialling" then return "" end
  ip = (wire.transport or wire):peer()
  ws.peer_ip = ip
  return ip
end

local function expire_handshake(ws)
  lifecycle.abort(ws, "timeout")
end

local function build(context, transport, fd, phase, given)
  -- Sixteen fields at most: Lua then gives the table 440 bytes; with one more it is 824. What most connections never
  -- need stands in the class.
  local ws = setmetatable({
    context = context, fd = -1, settings = given and given.settings or context.settings, state = "http", wire = false,
    phase = phase, head = false, list = false, slot = false, timer_lane = false, timer_slot = false, paused = false,
    fast = false, receive_handler = false, closed_handler = false,
  }, context.ws_class)
  attach(ws, transport, fd)
  if not ws.settings.is_aside then context.connection_count = context.connection_count + 1 end
  if given then
    ws.role = "client"
    lifecycle.begin(ws, "dialling", ws.settings.timeout, given.expire)
  else
    lifecycle.begin(ws, "http", context.half_open, expire_handshake)
  end
  descriptor.watch(ws)
  descriptor.announce(ws, true)
  return ws
end

--- Takes a connection back that nobody has heard of.
-- @tparam table ws
function connection.undo(ws)
  local context = ws.context
  context.agenda.is_damaged = true
  context.owners[ws.fd] = nil
  pcall(lifecycle.discard, ws)
  ws.wire:close()
  ws.fd = -1
end

--- Takes a connected transport, or one that is connecting, into a context. An error closes it.
-- @tparam table context
-- @tparam table|userdata transport, or a wire of the accelerator
-- @tparam integer fd
-- @tparam table phase what the connection is until the WebSocket is open, the server's exchange or the client's dial:
-- `feed(ws, bytes)` takes bytes, `ended(ws)` their end, `flushed(ws, pending, took)` follows a flush, `release()` gives
-- back what is held; while dialling, `advance(ws)` goes on
-- @tparam[opt] table given of a connection that this side opens: `settings`, and `expire(ws)` for its `timeout`
-- @treturn table ws
function connection.new(context, transport, fd, phase, given)
  local is_good, ws = pcall(build, context, transport, fd, phase, given)
  if is_good then return ws end
  if context.owners[fd] then connection.undo(context.owners[fd]) end
  transport:close()
  error(ws, 0)
end

return connection
