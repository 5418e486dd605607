--- One connection: a wire and its protocol state, from the first byte on.
-- @module websockets.connection
local agenda = require("websockets.agenda")
local descriptor = require("websockets.descriptor")
local ending = require("websockets.ending")
local engines = require("websockets.engine")
local keepalive = require("websockets.keepalive")
local session = require("websockets.session")

local connection = {}

local LAST_READS = 64

local read_messages

-- The peer takes nothing any more, but what it sent before, its close frame above all, may still be here.
local function end_broken(ws, why)
  local reads = 0
  while reads < LAST_READS and not ws.paused and (ws.state == "open" or ws.state == "closing") do
    reads = reads + 1
    read_messages(ws)
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
  if took and ws.blocked then ws.seen = ws.context.now end
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

-- Messages behind a pause wait here, in the order they came.
local function hold(ws, batch, from, count)
  local held = ws.held or {}
  ws.held = held
  for i = 2 * from - 1, 2 * count do
    held[#held + 1] = batch[i]
    batch[i] = false
  end
end

local function take_batch(ws, batch, cursor, count)
  while cursor.at < count do
    local at = cursor.at + 1
    if ws.paused then
      cursor.at = count
      return hold(ws, batch, at, count)
    end
    cursor.at = at
    local opcode, payload = batch[2 * at - 1], batch[2 * at]
    batch[2 * at] = false
    if opcode <= 2 and ws.state == "open" then
      local handler = ws.receive_handler
      if handler then handler(ws, payload, opcode - 1) end
    else
      session.receive(ws, opcode, payload)
    end
  end
end

-- One pcall for the whole batch, the position outside: an error of a callback costs nobody a message.
local function dispatch(ws, batch, count)
  local context = ws.context
  local cursor = context.cursor
  cursor.at = 0
  repeat
    local is_good, err = pcall(take_batch, ws, batch, cursor, count)
    if not is_good then agenda.fail(context, err, ws) end
  until cursor.at >= count
  if ws.state == "ending" then ending.begin(ws) end
end

-- Pings and pongs are no use of a connection: idle_timeout counts messages.
local function has_message(batch, count)
  for i = 1, count do
    if batch[2 * i - 1] <= 2 then return true end
  end
  return false
end

function read_messages(ws)
  local context, held = ws.context, ws.held
  if held then
    ws.held = nil
    dispatch(ws, held, #held / 2)
    if ws.paused then return end
  end
  local batch = context.batch
  local count, again = ws.wire:read(batch)
  if not count then
    if again ~= "timeout" then ending.abort(ws, again) end
    return
  end
  ws.seen = context.now
  if count > 0 then
    if ws.special and ws.idle_slot and has_message(batch, count) then ws.active = context.now end
    dispatch(ws, batch, count)
  end
  if again then agenda.again(context, ws) end
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
    read_messages(ws)
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
  ws.state, ws.seen = "open", context.now
  keepalive.start(ws)
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
-- @tparam ?table|boolean deflate what was agreed about compression, see `websockets.compression`; false for none
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
    timer_slot = false, paused = false, special = false, receive_handler = false, closed_handler = false,
  }, context.ws_class)
  attach(ws, transport, fd)
  context.connection_count = context.connection_count + 1
  ending.deadline(ws, context.half_open, expire_handshake)
  descriptor.watch(ws)
  descriptor.announce(ws, true)
  return ws
end

return connection
