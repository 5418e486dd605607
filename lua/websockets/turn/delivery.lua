--- Reading, and delivering what came to the application: one way for every connection, with one recovery from errors.
-- @module websockets.turn.delivery
local hub_of = require("websockets.wire.hub")
local lifecycle = require("websockets.connection.lifecycle")
local outbox = require("websockets.connection.outbox")
local session = require("websockets.protocol.session")

local delivery = {}

local OTHER = hub_of.OTHER
local LAST_READS = 64

-- Messages on their way to callbacks, in three arrays. What has been delivered is false there, so an error of a
-- callback costs no other message. `first` is above 1 where an error has interrupted the delivery.
local function new_inbox()
  return { takers = {}, opcodes = {}, payloads = {}, first = 1, count = 0 }
end

--- Makes what delivery keeps for a context.
-- @treturn table
function delivery.new()
  return {
    -- Messages of many connections, read by one call of the hub; messages of one connection, read by its wire.
    many = new_inbox(), one = new_inbox(), batch = {},
    -- The next place in what is being read; whether `many` waits until `one` has been delivered after an error.
    place = 1, does_many_wait = false,
  }
end

-- Messages that come while reading is paused wait in the connection, in their order.
local function hold(ws, opcode, payload)
  local held = ws.held or {}
  ws.held = held
  held[#held + 1] = opcode
  held[#held + 1] = payload
end

-- What the session answers a message with.
local effects = { close = lifecycle.answer_close, fail = lifecycle.fail, answer = outbox.send_control }

function effects.message(ws, payload, kind)
  local handler = ws.receive_handler
  if handler then handler(ws, payload, kind) end
end

function effects.pong(ws, payload)
  local handler = ws.pong_handler
  if handler then handler(ws, payload) end
end

local function receive(ws, opcode, payload)
  local state = ws.state
  -- A callback may have ended the connection since this was read.
  if state ~= "open" and state ~= "closing" then return end
  local effect, first, second, third = session.receive(state == "open", opcode, payload)
  if effect then effects[effect](ws, first, second, third) end
end

local serve

-- An entry with the opcode OTHER is no message. Its payload is true where more of a connection may be here, a word
-- where it has ended, or false for an owner that the hub does not read.
local function take_other(context, ws, opcode, payload)
  if opcode == OTHER then
    if payload == true then
      context.agenda:again(ws)
    elseif payload and ws.fast then
      lifecycle.abort(ws, payload)
    else
      -- Also where a callback has paused or ended a connection since: it is read, or not, as it is now.
      serve(ws)
    end
    return
  end
  -- Pings and pongs are no use of a connection: `idle_timeout` counts messages.
  if opcode <= 2 and ws.idle_slot then ws.active = context.now end
  if ws.paused or ws.held then hold(ws, opcode, payload) else receive(ws, opcode, payload) end
end

local function take(context, inbox)
  local takers, opcodes, payloads = inbox.takers, inbox.opcodes, inbox.payloads
  for at = inbox.first, inbox.count do
    local ws, opcode, payload = takers[at], opcodes[at], payloads[at]
    payloads[at] = false
    if ws.fast and opcode <= 2 then
      local handler = ws.receive_handler
      if handler then handler(ws, payload, opcode - 1) end
    else
      take_other(context, ws, opcode, payload)
    end
    takers[at] = false
  end
  inbox.count = 0
end

local function take_batch(ws, batch, count)
  local context = ws.context
  local inbox = context.delivery.one
  hub_of.spread(batch, count, ws, inbox.takers, inbox.opcodes, inbox.payloads)
  inbox.count = count
  take(context, inbox)
end

local function read_messages(ws)
  local context, held = ws.context, ws.held
  if held then
    -- Nothing more is read before these are delivered: a callback may pause again after each.
    ws.held = false
    context.agenda:again(ws)
    return take_batch(ws, held, #held / 2)
  end
  lifecycle.refresh(ws)
  local batch = context.delivery.batch
  local count, again = ws.wire:read(batch)
  if count then
    if again then context.agenda:again(ws) end
    if count > 0 then take_batch(ws, batch, count) end
  elseif again ~= "timeout" then
    lifecycle.abort(ws, again)
  end
end

local function read_http(ws)
  local phase = ws.phase
  -- A file that is being sent, and requests that wait, go on without reading.
  if ws.paused then return phase:feed(ws, "") end
  local bytes, why = ws.wire:receive()
  if bytes then
    if why then ws.context.agenda:again(ws) end
    phase:feed(ws, bytes)
  elseif why == "timeout" then
    phase:feed(ws, "")
  elseif why == "closed" then
    phase:ended(ws)
  else
    lifecycle.abort(ws, why)
  end
end

local function discard(ws)
  local bytes, why = ws.wire:receive()
  if bytes then
    if why then ws.context.agenda:again(ws) end
  elseif why == "closed" and ws.wire:buffered() > 0 then
    lifecycle.half_closed(ws)
  elseif why ~= "timeout" then
    lifecycle.abort(ws, why)
  end
end

-- How a connection is read in each state.
local readers = {
  http = read_http, open = read_messages, closing = read_messages, draining = discard, lingering = discard,
}

function readers.dialling(ws)
  ws.phase:advance(ws)
end

-- Reads once from whatever is ready: a connection, or a listener.
function serve(owner)
  if owner.accept then return owner:accept() end
  local state = owner.state
  if readers[state] and (state == "http" or not owner.paused) then readers[state](owner) end
end

-- Finds the entry whose delivery an error has interrupted. Returns its connection, whose callback raised.
local function find_interrupted(inbox)
  local takers, at = inbox.takers, inbox.first
  while at <= inbox.count and not takers[at] do at = at + 1 end
  local ws, is_message = takers[at], inbox.opcodes[at] ~= OTHER
  -- A payload that is still here has not been delivered.
  if at <= inbox.count and not inbox.payloads[at] then
    takers[at] = false
    at = at + 1
  end
  inbox.first = at
  return is_message and ws or nil
end

-- Prepares the inboxes for going on after an error. Messages that were read are whole there. Returns the connection
-- whose callback raised, if one did.
local function recover(state, was_hub_reading)
  local many, one = state.many, state.one
  if was_hub_reading and many.count == 0 and one.count == 0 then
    -- What the hub has put down counts. Where that is nothing, the next one is tried.
    while many.takers[many.count + 1] do many.count = many.count + 1 end
    if many.count == 0 then state.place = state.place + 1 end
    return nil
  end
  local from_many = many.count > 0 and not state.does_many_wait and find_interrupted(many) or nil
  return one.count > 0 and find_interrupted(one) or from_many
end

local function take_interrupted(context, state)
  local many, one = state.many, state.one
  state.does_many_wait = true
  take(context, one)
  one.first, state.does_many_wait = 1, false
  take(context, many)
  many.first = 1
end

--- Reads once from everything that the poller found ready; for `delivery.run`.
-- @tparam table context
-- @tparam table state of its delivery
-- @tparam table readable as the poller filled it; emptied
-- @tparam integer count how many
function delivery.read_ready(context, state, readable, count)
  local hub, owners, many = context.hub, context.owners, state.many
  local takers, opcodes, payloads = many.takers, many.opcodes, many.payloads
  local read, source = hub.read, hub.source
  while state.place <= count do
    many.count, state.place = read(source, readable, state.place, count, owners, takers, opcodes, payloads)
    take(context, many)
  end
  state.place = 1
end

--- Reads once from each of a list, whether it is ready or not; for `delivery.run`.
-- @tparam table _ context
-- @tparam table state of its delivery
-- @tparam {table,...} list
-- @tparam integer count how many
function delivery.read_list(_, state, list, count)
  while state.place <= count do
    local owner = list[state.place]
    state.place = state.place + 1
    serve(owner)
  end
  state.place = 1
end

--- Reads what came before a connection broke, for its peer's close frame may be here; for `delivery.run`.
-- @tparam table _ context
-- @tparam table state of its delivery
-- @tparam table ws
function delivery.read_rest(_, state, ws)
  while state.place <= LAST_READS and not ws.paused and (ws.state == "open" or ws.state == "closing") do
    state.place = state.place + 1
    read_messages(ws)
  end
  state.place = 1
end

local read_ready = delivery.read_ready

--- Runs a part of a turn that reads and delivers. After an error what was read before is delivered, then it goes on.
-- @tparam function work `read_ready`, `read_list` or `read_rest`
-- @tparam table context
-- @param what it is to read
-- @tparam ?integer count
function delivery.run(work, context, what, count)
  local state = context.delivery
  repeat
    local is_done, err = pcall(work, context, state, what, count)
    if not is_done then
      local was_hub_reading, is_taken = work == read_ready
      repeat
        context.agenda:fail(err, recover(state, was_hub_reading))
        is_taken, err = pcall(take_interrupted, context, state)
        was_hub_reading = false
      until is_taken
    end
  until is_done
end

return delivery
