--- Messages that have come and wait until the application takes them. When much waits, the connection is not read.
-- @module websockets.connection.mailbox
local lifecycle = require("websockets.connection.lifecycle")

local mailbox = {}

-- An error may come between any two steps (Ctrl-C): the order of the steps keeps the mailbox whole.

--- Makes an empty mailbox.
-- @tparam integer max_bytes where so many wait, nothing more is read
-- @tparam integer max_messages likewise
-- @treturn table `is_full`: nothing is read
function mailbox.new(max_bytes, max_messages)
  return {
    payloads = {}, kinds = {}, first = 1, last = 0, bytes = 0, is_full = false,
    max_bytes = max_bytes, max_messages = max_messages,
  }
end

--- Tells whether no message waits.
-- @tparam table box
-- @treturn boolean
function mailbox.is_empty(box)
  return box.first > box.last
end

local is_empty = mailbox.is_empty

local function holds(box, share)
  return box.bytes >= box.max_bytes * share or box.last - box.first + 1 >= box.max_messages * share
end

--- Adds a message, within a turn: a connection with the field `mailbox` has this as its `receive_handler`.
-- @tparam table ws
-- @tparam string payload
-- @tparam integer kind
function mailbox.put(ws, payload, kind)
  local box = ws.mailbox
  -- It is empty throughout these three steps.
  if is_empty(box) then
    box.last = 0
    box.bytes = 0
    box.first = 1
  end
  local last = box.last + 1
  box.payloads[last], box.kinds[last] = payload, kind
  box.bytes = box.bytes + #payload
  box.last = last
  if holds(box, 1) then
    box.is_full = true
    lifecycle.pause(ws, true)
  end
end

--- Takes the first message.
-- @tparam table box
-- @treturn ?string payload; nil where it is empty
-- @treturn ?integer kind
function mailbox.take(box)
  if is_empty(box) then return nil end
  local at = box.first
  local payload, kind = box.payloads[at], box.kinds[at]
  box.first = at + 1
  box.payloads[at], box.kinds[at] = nil, nil
  box.bytes = box.bytes - #payload
  return payload, kind
end

--- Tells whether reading can go on after the mailbox was full: half of it has been taken.
-- @tparam table box
-- @treturn boolean
function mailbox.has_room(box)
  return box.is_full and (is_empty(box) or not holds(box, 0.5))
end

--- Goes on reading, within a turn.
-- @tparam table ws
function mailbox.go_on(ws)
  lifecycle.pause(ws, false)
  ws.mailbox.is_full = false
end

--- Gives a mailbox up, within a turn: its messages are delivered before all others, to the `receive_handler` of then.
-- @tparam table ws
function mailbox.hand_over(ws)
  local box, held = ws.mailbox, {}
  local payload, kind = mailbox.take(box)
  while payload do
    held[#held + 1], held[#held + 2] = kind + 1, payload
    payload, kind = mailbox.take(box)
  end
  for _, other in ipairs(ws.held or {}) do held[#held + 1] = other end
  ws.mailbox = nil
  if #held > 0 then
    ws.held = held
    lifecycle.refresh(ws)
    ws.context.agenda:again(ws)
  end
  if box.is_full then lifecycle.pause(ws, false) end
end

return mailbox
