--- One connection: a wire and its protocol state, from the first byte on.
-- @module websockets.connection.connection
local agenda = require("websockets.connection.agenda")
local delivery = require("websockets.connection.delivery")
local descriptor = require("websockets.connection.descriptor")
local ending = require("websockets.connection.ending")
local engines = require("websockets.engine.loader")
local keepalive = require("websockets.connection.keepalive")
local session = require("websockets.connection.session")

local connection = {}

local LAST_READS = 64

-- The peer takes nothing any more, but what it sent before, its close frame above all, may still be here.
local function end_broken(ws, why)
  local reads = 0
  while reads < LAST_READS and not ws.paused and (ws.state == "open" or ws.state == "closing") do
    reads = reads + 1
    delivery.read(ws)
  end
  -- Our close frame has not left.
  if ws.state == "ending" then ws.outcome[3] = false end
  ending.abort(ws, why)
end

--- Takes note of what a flush of the wire did.
-- @tparam table ws
-- @tparam ?integer pending bytes that still wait; nil when the connection broke
-- @tparam boolean|string took whether any byte was taken, or why it broke
function connection.flushed(ws, pending, took)
  if ws.state == "closed" then return end
  if not pending then return end_broken(ws, took) end
  if ws.state == "ending" then ending.begin(ws) end
  if took and ws.blocked then ws.has_taken = true end
  descriptor.block(ws, pending > 0)
  if ws.state == "http" then return ws.exchange:flushed(ws, pending, took) end
  if pending > 0 then
    ws.was_full = true
    if took and ws.exchange then ending.await_taking(ws) end
  elseif ws.state == "ending" then
    ending.drained(ws)
  elseif ws.was_full then
    ws.was_full = false
    local handler = ws.drain_handler
    if handler and ws.state == "open" then agenda.call(ws.context, ws, handler, ws) end
  end
end

local function advance(ws)
  if ws.state == "http" then ws.exchange:advance(ws) end
end

--- Sends what is queued, as far as it goes; goes on connecting where that is not done.
-- @tparam table ws
function connection.flush(ws)
  if ws.dialing then return advance(ws) end
  if ws.state ~= "closed" then connection.flushed(ws, ws.wire:flush()) end
end

local function discard(ws)
  local bytes, why = ws.wire:receive()
  if bytes then
    if why then agenda.again(ws.context, ws) end
  elseif why == "closed" and ws.wire:buffered() > 0 then
    -- The peer has only ended its sending direction: what is queued still leaves.
    ws.peer_ended = true
    descriptor.pause(ws, true)
  elseif why ~= "timeout" then
    ending.abort(ws, why)
  end
end

local function read_http(ws)
  if ws.dialing then return advance(ws) end
  local bytes, why = ws.wire:receive()
  if bytes then
    if why then agenda.again(ws.context, ws) end
    ws.exchange:feed(ws, bytes)
  elseif why == "timeout" then
    ws.exchange:feed(ws, "")
  elseif why == "closed" then
    ws.exchange:ended(ws)
  else
    ending.abort(ws, why)
  end
end

--- Reads once and does everything that follows from it.
-- @tparam table ws
function connection.readable(ws)
  local state = ws.state
  if ws.paused then
    -- A file that is on its way, or requests that wait, go on without reading.
    if state == "http" then ws.exchange:feed(ws, "") end
    return
  end
  if state == "open" or state == "closing" then
    delivery.read(ws)
  elseif state == "http" then
    read_http(ws)
  elseif state == "ending" then
    discard(ws)
  end
end

--- Begins the closing handshake and its deadline.
-- @tparam table ws
-- @tparam ?integer code
-- @tparam ?string reason
function connection.close(ws, code, reason)
  if not session.close(ws, code, reason) then return end
  ending.await_close(ws)
end

-- What readers are told is the same for all connections of the same settings without compression, and costs each
-- nothing.
local function incoming(context, settings, role, deflate)
  local told = not deflate and settings.incoming
  -- A client's settings begin as a copy of the context's.
  if not told or told.limits ~= settings then
    told = {
      role = role, max_message_bytes = settings.max_message_bytes, max_fragments = settings.max_fragments,
      budget = context.budget, limits = settings, deflate = deflate,
    }
    if not deflate then settings.incoming = told end
  end
  return told
end

-- The WebSocket begins; `handler` hears of it.
local function begin(ws, role, leftover, subprotocol, deflate, handler)
  local context = ws.context
  ws.exchange = false
  ws.wire:start(incoming(context, ws.settings, role, deflate), leftover)
  ws.state = "open"
  keepalive.start(ws)
  session.refresh(ws)
  -- A broadcast goes to those who have connected to us.
  if role == "server" then context:group_of(subprotocol):join(ws) end
  if handler and not agenda.call(context, ws, handler, ws) and ws.state == "open" then
    session.fail(ws, 1011, "", "error")
  end
  -- Not here: a callback may be adopting this connection, in the midst of another one's batch.
  if leftover ~= "" then agenda.again(context, ws) end
end

--- Turns a connection of the HTTP phase into an open WebSocket.
-- @tparam table ws
-- @tparam string answer bytes of the opening handshake
-- @tparam string leftover bytes that came behind the request
-- @tparam ?string subprotocol
-- @tparam function handler the application's connect callback
-- @tparam ?table|boolean deflate what was agreed about compression, see `websockets.protocol.compression`; false for none
function connection.open(ws, answer, leftover, subprotocol, handler, deflate)
  ws.wire:raw(answer)
  begin(ws, "server", leftover, subprotocol, deflate or false, handler)
end

--- Turns a connection that we have opened ourselves into an open WebSocket.
-- @tparam table ws
-- @tparam string leftover bytes that came behind the server's answer
-- @tparam ?string subprotocol
-- @tparam table|boolean deflate what was agreed about compression; false for none
function connection.open_client(ws, leftover, subprotocol, deflate)
  ws.subprotocol = subprotocol
  begin(ws, "client", leftover, subprotocol, deflate, ws.open_handler)
end

local function expire_handshake(ws)
  ws.timer_slot = false
  ending.abort(ws, "timeout")
end

local function attach(ws, transport, fd)
  local context = ws.context
  local engine = context.engine
  if ws.settings.compression then engine = engines.that_compresses(engine) end
  ws.fd = fd
  ws.wire = context.wire_class.new(context.hub, transport, engine, ws.settings, ws)
  context.owners[fd] = ws
end

--- Gives a connection that has not sent anything yet another transport.
-- @tparam table ws
-- @tparam table transport
-- @tparam integer fd
function connection.replace(ws, transport, fd)
  local context = ws.context
  descriptor.block(ws, false)
  descriptor.unwatch(ws)
  descriptor.announce(ws, false)
  context.owners[ws.fd] = nil
  ws.wire:close()
  attach(ws, transport, fd)
  descriptor.watch(ws)
  descriptor.announce(ws, true)
end

--- Takes a connected transport, or one that is connecting, into a context.
-- @tparam table context
-- @tparam table|userdata transport, or a wire of the accelerator's
-- @tparam integer fd
-- @tparam table http_phase what takes the bytes until the WebSocket is open: `feed`, `flushed`, `ended`,
-- `release`
-- @tparam ?table settings nil: those of the context
-- @treturn table ws
function connection.new(context, transport, fd, http_phase, settings)
  -- Sixteen fields at most: Lua then gives the table 440 bytes, one more and it is 824. What most connections never
  -- need stands in the class.
  local ws = setmetatable({
    context = context, fd = fd, settings = settings or context.settings, state = "http", wire = false,
    seen = context.now, exchange = http_phase, head = false, list = false, slot = false, timer_lane = false,
    timer_slot = false, paused = false, plain = false, receive_handler = false, closed_handler = false,
  }, context.ws_class)
  attach(ws, transport, fd)
  context.connection_count = context.connection_count + 1
  ending.deadline(ws, context.half_open, expire_handshake)
  descriptor.watch(ws)
  descriptor.announce(ws, true)
  return ws
end

return connection
