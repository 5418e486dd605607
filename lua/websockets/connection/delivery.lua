--- Messages on their way from the wires to the application's functions.
-- @module websockets.connection.delivery
local agenda = require("websockets.connection.agenda")
local ending = require("websockets.connection.ending")
local hub_of = require("websockets.wire.hub")
local session = require("websockets.connection.session")

local delivery = {}

local OTHER = hub_of.OTHER

-- Messages behind a pause wait here, in the order they came.
local function hold(ws, opcode, payload)
  local held = ws.held or {}
  ws.held, ws.plain = held, false
  held[#held + 1] = opcode
  held[#held + 1] = payload
end

-- What was taken is false in the batch, so an error of a callback costs nobody a message.
local function take_batch(ws, batch, first, last)
  for at = first, last, 2 do
    local opcode, payload = batch[at], batch[at + 1]
    batch[at + 1] = false
    if ws.paused then
      hold(ws, opcode, payload)
    else
      session.receive(ws, opcode, payload)
    end
  end
end

-- What an error left of a batch.
local function take_rest(ws, batch, last)
  local first = 1
  while first < last and not batch[first + 1] do first = first + 2 end
  take_batch(ws, batch, first, last)
end

local function dispatch(ws, batch, last)
  repeat
    local is_good, err = pcall(take_rest, ws, batch, last)
    if not is_good then agenda.fail(ws.context, err, ws) end
  until is_good
  if ws.state == "ending" then ending.begin(ws) end
end

-- Pings and pongs are no use of a connection: idle_timeout counts messages.
local function has_message(batch, count)
  for i = 1, count do
    if batch[2 * i - 1] <= 2 then return true end
  end
  return false
end

--- Reads once from one connection.
-- @tparam table ws open or closing
function delivery.read(ws)
  local context, held = ws.context, ws.held
  if held then
    ws.held = nil
    dispatch(ws, held, #held)
    if ws.paused then return end
    session.refresh(ws)
  end
  local batch = context.batch
  local count, again = ws.wire:read(batch)
  if not count then
    if again ~= "timeout" then ending.abort(ws, again) end
    return
  end
  if count > 0 then
    if ws.idle_slot and has_message(batch, count) then ws.active = context.now end
    dispatch(ws, batch, 2 * count)
  end
  if again then agenda.again(context, ws) end
end

-- What is no message has the opcode of none: true where more may be here, why nothing is, or false for an owner that is
-- no open connection without anything special.
local function take_other(context, ws, opcode, payload, other)
  if opcode == OTHER then
    if payload == true then
      agenda.again(context, ws)
    elseif payload and ws.plain then
      ending.abort(ws, payload)
    else
      -- Somebody else's callback may have paused or ended it since: then it is read, or not, as it is now.
      other(context, ws)
    end
  elseif ws.paused or ws.held then
    hold(ws, opcode, payload)
  else
    session.receive(ws, opcode, payload)
    if ws.state == "ending" then ending.begin(ws) end
  end
end

local function take_many(context, ready, first, other)
  local owners, opcodes, payloads = ready.owners, ready.opcodes, ready.payloads
  for at = first, ready.count do
    local ws, opcode, payload = owners[at], opcodes[at], payloads[at]
    payloads[at] = false
    if ws.plain and opcode <= 2 then
      local handler = ws.receive_handler
      if handler then handler(ws, payload, opcode - 1) end
    else
      take_other(context, ws, opcode, payload, other)
    end
    owners[at] = false
  end
  ready.count = 0
end

local function read_on(context, ready, readable, count, other)
  if ready.count > 0 then take_many(context, ready, ready.failed + 1, other) end
  local hub, owners, opcodes, payloads = context.hub, ready.owners, ready.opcodes, ready.payloads
  local read, source = hub.read, hub.source
  while ready.next <= count do
    ready.count, ready.next = read(source, readable, ready.next, count, owners, opcodes, payloads)
    take_many(context, ready, 1, other)
  end
end

-- An error in the midst of reading: what has been read is here, whole, and the list still has who was being read.
local function recover(ready)
  local owners, count = ready.owners, 0
  while owners[count + 1] do count = count + 1 end
  ready.count, ready.failed = count, 0
  if count == 0 then ready.next = ready.next + 1 end
end

-- Who was on his way when an error came is the first who has not been served.
local function find_failed(ready)
  local owners, count = ready.owners, ready.count
  if count == 0 then return recover(ready) end
  for at = 1, count do
    local owner = owners[at]
    if owner then
      -- A message that is still here has not been taken.
      local is_begun = not ready.payloads[at]
      ready.failed = is_begun and at or at - 1
      if is_begun then owners[at] = false end
      return ready.opcodes[at] ~= OTHER and owner or nil
    end
  end
  ready.count = 0
end

--- Reads once from everybody who is ready. One pcall for all: what was done shows in the lists, so that an error of a
-- callback costs nobody a message.
-- @tparam table context
-- @tparam table readable connections, and whatever else the poller reports; emptied
-- @tparam integer count how many
-- @tparam function other `other(context, owner)` for what is no open connection
function delivery.read_all(context, readable, count, other)
  local ready = context.ready
  ready.next, ready.count = 1, 0
  repeat
    local is_good, err = pcall(read_on, context, ready, readable, count, other)
    if not is_good then agenda.fail(context, err, find_failed(ready)) end
  until is_good
end

return delivery
