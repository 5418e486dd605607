--- Messages on their way from the wires to the application's functions.
-- @module websockets.delivery
local agenda = require("websockets.agenda")
local ending = require("websockets.ending")
local session = require("websockets.session")

local delivery = {}

-- Messages behind a pause wait here, in the order they came.
local function hold(ws, batch, from, count)
  local held = ws.held or {}
  ws.held, ws.special = held, true
  for i = 2 * from - 1, 2 * count do
    held[#held + 1] = batch[i]
    batch[i] = false
  end
end

local function take_batch(ws, batch, cursor, count)
  for at = cursor.at + 1, count do
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

--- Reads once from one connection.
-- @tparam table ws open or closing
function delivery.read(ws)
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

-- The rest of a batch that an error interrupted, then everybody else who is ready.
local function read_on(context, cursor, readable, count, other)
  local batch, now = context.batch, context.now
  while true do
    local ws = cursor.ws
    if ws then
      take_batch(ws, batch, cursor, cursor.count)
      if ws.state == "ending" then ending.begin(ws) end
      cursor.ws = false
    end
    local place = cursor.place + 1
    if place > count then return end
    cursor.place = place
    ws = readable[place]
    readable[place] = false
    if ws.state ~= "open" or ws.special or ws.paused then
      other(context, ws)
    else
      local messages, again = ws.wire:read(batch)
      if messages then
        ws.seen = now
        if again then agenda.again(context, ws) end
        cursor.ws, cursor.at, cursor.count = ws, 0, messages
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
