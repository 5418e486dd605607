--- Messages on their way from the wires to the application's functions.
-- @module websockets.delivery
local agenda = require("websockets.agenda")
local ending = require("websockets.ending")
local session = require("websockets.session")

local delivery = {}

-- Messages behind a pause wait here, in the order they came.
local function hold(ws, batch, from, last)
  local held = ws.held or {}
  ws.held, ws.plain = held, false
  for i = from, last do
    held[#held + 1] = batch[i]
    batch[i] = false
  end
end

-- What was taken is false in the batch, so an error of a callback costs nobody a message.
local function take_batch(ws, batch, first, last)
  for at = first, last, 2 do
    local opcode, payload = batch[at], batch[at + 1]
    if ws.plain and opcode <= 2 then
      batch[at + 1] = false
      local handler = ws.receive_handler
      if handler then handler(ws, payload, opcode - 1) end
    elseif ws.paused then
      return hold(ws, batch, at, last)
    else
      batch[at + 1] = false
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

local function end_batch(cursor, ws)
  cursor.ws = false
  if not ws.plain and ws.state == "ending" then ending.begin(ws) end
end

-- Who was served is false in the list; `cursor` names whose messages were on their way when an error came.
local function read_on(context, cursor, readable, count, other)
  local batch, read, ws = context.batch, context.read, cursor.ws
  if ws then
    take_rest(ws, batch, cursor.last)
    end_batch(cursor, ws)
  end
  for place = 1, count do
    ws = readable[place]
    if ws then
      readable[place] = false
      local wire = ws.plain
      if not wire then
        other(context, ws)
      else
        local messages, again = read(wire, batch)
        if again == true then agenda.again(context, ws) end
        if not messages then
          if again ~= "timeout" then ending.abort(ws, again) end
        elseif messages > 0 then
          cursor.ws, cursor.last = ws, 2 * messages
          take_batch(ws, batch, 1, 2 * messages)
          end_batch(cursor, ws)
        end
      end
    end
  end
end

--- Reads once from everybody who is ready. One pcall for all: what was done shows in the lists, so that an error of a
-- callback costs nobody a message.
-- @tparam table context
-- @tparam table readable connections, and whatever else the poller reports; emptied
-- @tparam integer count how many
-- @tparam function other `other(context, owner)` for what is no open connection
function delivery.read_all(context, readable, count, other)
  local cursor = context.cursor
  cursor.ws = false
  repeat
    local is_good, err = pcall(read_on, context, cursor, readable, count, other)
    if not is_good then agenda.fail(context, err, cursor.ws or nil) end
  until is_good
end

return delivery
