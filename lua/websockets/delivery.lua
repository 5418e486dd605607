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

-- `cursor.at` is the place in the batch up to which messages were taken.
local function take_batch(ws, batch, cursor, last)
  for at = cursor.at + 1, last, 2 do
    local opcode, payload = batch[at], batch[at + 1]
    if ws.plain and opcode <= 2 then
      cursor.at = at + 1
      batch[at + 1] = false
      local handler = ws.receive_handler
      if handler then handler(ws, payload, opcode - 1) end
    elseif ws.paused then
      cursor.at = last
      return hold(ws, batch, at, last)
    else
      cursor.at = at + 1
      batch[at + 1] = false
      session.receive(ws, opcode, payload)
    end
  end
end

-- One pcall for the whole batch, the position outside: an error of a callback costs nobody a message.
local function dispatch(ws, batch, last)
  local context = ws.context
  local cursor = context.cursor
  cursor.at = 0
  repeat
    local is_good, err = pcall(take_batch, ws, batch, cursor, last)
    if not is_good then agenda.fail(context, err, ws) end
  until cursor.at >= last
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
  ws.seen = context.now
  if count > 0 then
    if ws.idle_slot and has_message(batch, count) then ws.active = context.now end
    dispatch(ws, batch, 2 * count)
  end
  if again then agenda.again(context, ws) end
end

-- The rest of a batch that an error interrupted, then everybody else who is ready.
local function read_on(context, cursor, readable, count, other)
  local batch, now, read = context.batch, context.now, context.read
  while true do
    local ws = cursor.ws
    if ws then
      take_batch(ws, batch, cursor, cursor.last)
      if ws.state == "ending" then ending.begin(ws) end
      cursor.ws = false
    end
    local place = cursor.place + 1
    if place > count then return end
    cursor.place = place
    ws = readable[place]
    readable[place] = false
    if not ws.plain then
      other(context, ws)
    else
      local messages, again = read(ws.wire, batch)
      if messages then
        ws.seen = now
        if again then agenda.again(context, ws) end
        cursor.ws, cursor.at, cursor.last = ws, 0, 2 * messages
      elseif again ~= "timeout" then
        ending.abort(ws, again)
      end
    end
  end
end

--- Reads once from everybody who is ready. One pcall for all, the place outside: an error of a callback costs nobody a
-- message.
-- @tparam table context
-- @tparam table readable connections, and whatever else the poller reports; emptied
-- @tparam integer count how many
-- @tparam function other `other(context, owner)` for what is no open connection
function delivery.read_all(context, readable, count, other)
  local cursor = context.cursor
  cursor.ws, cursor.place = false, 0
  repeat
    local is_good, err = pcall(read_on, context, cursor, readable, count, other)
    if not is_good then agenda.fail(context, err, cursor.ws or nil) end
  until is_good
end

return delivery
