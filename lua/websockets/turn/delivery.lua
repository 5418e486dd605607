--- Reading, and delivering what came to the application: one way for every connection, with one recovery from errors.
-- @module websockets.turn.delivery
local bytes = require("websockets.turn.bytes")
local descriptor = require("websockets.connection.descriptor")
local hub_of = require("websockets.wire.hub")
local lifecycle = require("websockets.connection.lifecycle")
local outbox = require("websockets.connection.outbox")
local recovery = require("websockets.turn.recovery")
local session = require("websockets.protocol.session")
local unfinished = require("websockets.connection.unfinished")

local delivery = {}

local OTHER, LAST_READS, MAX_ERRORS = hub_of.OTHER, 64, 2
-- In the place of `again`.
local UNFINISHED = 0

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
    -- How many errors have come since anything was read or delivered.
    errors = 0,
  }
end

-- Messages that come while reading is paused wait in the connection, in their order.
local function hold(ws, opcode, payload)
  local held = ws.held or {}
  ws.held = held
  -- The payload first: without its opcode it is nothing.
  local count = #held
  held[count + 2] = payload
  held[count + 1] = opcode
end

-- What the session answers a message with.
local effects = { close = lifecycle.answer_close, fail = lifecycle.fail, answer = outbox.send_control }

function effects.message(ws, payload, kind)
  local handler = ws.receive_handler
  ws.context.agenda.current = false
  if handler then handler(ws, payload, kind) end
end

function effects.pong(ws, payload)
  local handler = ws.pong_handler
  ws.context.tally:ponged(ws, payload)
  ws.context.agenda.current = false
  if handler then handler(ws, payload) end
end

local function receive(ws, opcode, payload)
  local state = ws.state
  -- A callback may have ended the connection since this was read.
  if state ~= "open" and state ~= "closing" then return end
  local effect, first, second, third = session.receive(state == "open" or ws.hears_on and opcode <= 2, opcode, payload)
  if effect then effects[effect](ws, first, second, third) end
end

local serve

-- An entry with the opcode OTHER is no message. Its payload is true where more of a connection may be here, 0 where its
-- wire has something to be told by `unfinished`, a word where it has ended, or false for an owner that the hub does not
-- read. `ws` is `current` here.
local function take_other(context, ws, opcode, payload)
  if opcode == OTHER then
    -- Without the accelerator 0 stands in the place of true, too.
    if payload == true or payload == UNFINISHED then
      context.agenda:again(ws)
      if payload == UNFINISHED then unfinished.note(ws) end
    elseif payload and ws.fast then
      lifecycle.abort(ws, payload)
    else
      -- Also where a callback has paused or ended a connection since: it is read, or not, as it is now.
      serve(ws)
    end
    context.agenda.current = false
    return
  end
  -- Pings and pongs are no use of a connection: `idle_timeout` counts messages.
  if opcode <= 2 and ws.idle_slot then ws.active = context.now end
  if ws.paused or ws.held then hold(ws, opcode, payload) else receive(ws, opcode, payload) end
  context.agenda.current = false
end

local read_beside

local function take(context, inbox)
  local takers, opcodes, payloads = inbox.takers, inbox.opcodes, inbox.payloads
  for at = inbox.first, inbox.count do
    local ws, opcode, payload = takers[at], opcodes[at], payloads[at]
    if ws.fast and opcode <= 2 then
      local handler = ws.receive_handler
      payloads[at] = false
      if handler then handler(ws, payload, opcode - 1) end
    else
      -- First: an error must not leave a connection without the end that this may be.
      context.agenda.current = ws
      payloads[at] = false
      if payload == false and ws.fast and opcode == OTHER then
        read_beside(context, ws, inbox, at)
      else
        take_other(context, ws, opcode, payload)
      end
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
  context.agenda.current = false
  take(context, inbox)
end

-- What a read of its wire has brought a connection.
local function take_read(context, ws, batch, count, again)
  if count then
    if again then context.agenda:again(ws) end
    if count > 0 then take_batch(ws, batch, count) end
    if again == UNFINISHED then unfinished.note(ws) end
  elseif again == "timeout" then
    descriptor.follow(ws)
  else
    lifecycle.abort(ws, again)
  end
end

-- Reads a wire that is not the hub's. One message, as nearly always, takes the place of its entry in the inbox.
function read_beside(context, ws, inbox, at)
  local batch = context.delivery.batch
  local count, again = ws.wire:read(batch)
  local opcode, payload = batch[1], batch[2]
  if count == 1 and not again and opcode <= 2 then
    inbox.opcodes[at] = opcode
    batch[2], context.agenda.current = false, false
    if ws.receive_handler then ws.receive_handler(ws, payload, opcode - 1) end
  else
    take_read(context, ws, batch, count, again)
    context.agenda.current = false
  end
end

local function read_messages(ws)
  local context, held = ws.context, ws.held
  if held then
    -- Nothing more is read before these are delivered: a callback may pause again after each.
    ws.held = false
    context.agenda:again(ws)
    return take_batch(ws, held, #held / 2)
  end
  -- Messages that were held have been delivered now.
  if not ws.fast then lifecycle.refresh(ws) end
  take_read(context, ws, context.delivery.batch, ws.wire:read(context.delivery.batch))
end

-- How a connection is read in each state.
local readers = {
  dialling = bytes.advance, http = bytes.read, open = read_messages, closing = read_messages,
  draining = bytes.discard, lingering = bytes.discard,
}

-- Reads once from whatever is ready: a connection, or a listener.
function serve(owner)
  local agenda = owner.context.agenda
  agenda.current = owner
  local state = owner.state
  if owner.accept then
    owner:accept()
  elseif readers[state] and (state == "http" or not owner.paused) then
    readers[state](owner)
  end
  agenda.current = false
end

local function take_interrupted(context, state)
  local many, one = state.many, state.one
  recovery.end_current(context.agenda)
  state.does_many_wait = true
  take(context, one)
  one.first, state.does_many_wait = 1, false
  take(context, many)
  many.first = 1
end

-- Delivers what was read before an error.
local function resume(context, state, err, readable)
  local is_taken
  repeat
    local ws, is_ours = recovery.find(context.agenda, state, readable)
    state.errors = is_ours and state.errors + 1 or 0
    -- Without memory nothing can be done: the turn ends here, and the next one goes on.
    if state.errors > MAX_ERRORS then error(err, 0) end
    context.agenda:fail(err, ws)
    is_taken, err = pcall(take_interrupted, context, state)
  until is_taken
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
end

--- Reads once from each connection that is to be read again; for `delivery.run`.
-- @tparam table context
-- @tparam table _ state of its delivery
-- @tparam nil _ nothing
-- @tparam integer count how many
function delivery.read_waiting(context, _, _, count)
  local agenda = context.agenda
  local owner = agenda:next_waiting(count)
  while owner do
    serve(owner)
    owner = agenda:next_waiting(count)
  end
end

--- Reads once from a connection or listener, whether it is ready or not; for `delivery.run`.
-- @tparam table _ context
-- @tparam table state of its delivery
-- @tparam nil _ nothing
-- @tparam table owner
function delivery.read_one(_, state, _, owner)
  if state.place > 1 then return end
  state.place = 2
  serve(owner)
end

--- Reads what came before a connection broke, for its peer's close frame may be here; for `delivery.run`.
-- @tparam table context
-- @tparam table state of its delivery
-- @tparam nil _ nothing
-- @tparam table ws
function delivery.read_rest(context, state, _, ws)
  while state.place <= LAST_READS and not ws.paused and (ws.state == "open" or ws.state == "closing") do
    state.place = state.place + 1
    context.agenda.current = ws
    read_messages(ws)
    context.agenda.current = false
  end
end

local read_ready = delivery.read_ready

--- Runs a part of a turn that reads and delivers. After an error what was read before is delivered, then it goes on.
-- @tparam function work one of the functions above
-- @tparam table context
-- @tparam ?table readable as the poller filled it
-- @tparam ?integer|table what it is to read
function delivery.run(work, context, readable, what)
  local state = context.delivery
  state.place = 1
  local is_done, err = pcall(work, context, state, readable, what)
  if is_done then return end
  state.errors = 0
  repeat
    resume(context, state, err, readable)
    is_done, err = pcall(work, context, state, readable, what)
  until is_done
end

--- Delivers what an error has left of a turn that it ended, and reads what the poller had found ready; for
-- `delivery.run`.
-- @tparam table context
-- @tparam table state of its delivery
-- @tparam table readable as the poller filled it
-- @tparam integer count how many
function delivery.finish(context, state, readable, count)
  recovery.leave_out(state.one, true)
  recovery.leave_out(state.many, true)
  take_interrupted(context, state)
  read_ready(context, state, readable, count)
end

return delivery
