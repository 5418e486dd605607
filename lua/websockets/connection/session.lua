--- The state of a WebSocket connection after its opening handshake: what each message means, what may be sent.
-- Nothing here reads or waits; what is to be sent goes into the wire's queue.
-- @module websockets.connection.session
local session = {}

local char, floor = string.char, math.floor

local CONTINUATION, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
local NO_STATUS, TRY_AGAIN_LATER = 1005, 1013

-- What the reader's close codes are called in `on_closed`.
local WHY = { [1002] = "protocol", [1007] = "utf8", [1009] = "too_big" }

-- Whoever ends leaves its group at once: nothing may follow the close frame (RFC 6455 5.5.1).
local function end_with(ws, code, reason, clean, why)
  ws.state, ws.plain = "ending", false
  ws.outcome = { code, reason, clean, why }
  ws.wire:attend()
  if ws.slot then ws.list.group.leave(ws) end
end

--- Finds out whether messages can take the short way: an open connection on a wire of the context's own kind that reads
-- and writes whole messages, and of which nobody counts the use. Nearly every one is: then `ws.plain` is the wire.
-- @tparam table ws
function session.refresh(ws)
  local is_plain = ws.state == "open" and not (ws.paused or ws.held or ws.fragment or ws.settings.idle_timeout)
    and ws.context.wire_class.is_own(ws.wire)
  ws.plain = is_plain and ws.wire
end

--- Writes the payload of a close frame.
-- @rfc 6455 5.5.1
-- @tparam ?integer code nil for an empty payload
-- @tparam ?string reason
-- @treturn string
function session.close_payload(code, reason)
  if not code then return "" end
  return char(floor(code / 256), code % 256) .. (reason or "")
end

--- Begins the closing handshake; does nothing where it has begun already.
-- @rfc 6455 7.1.2
-- @tparam table ws
-- @tparam ?integer code
-- @tparam ?string reason
-- @treturn boolean whether a close frame was queued
function session.close(ws, code, reason)
  if ws.state ~= "open" then return false end
  ws.wire:push(CLOSE, session.close_payload(code, reason))
  ws.state, ws.plain = "closing", false
  return true
end

--- Ends the session with a close frame, without waiting for the peer's.
-- @rfc 6455 7.1.7
-- @tparam table ws
-- @tparam integer code
-- @tparam string reason for `on_closed`; the peer hears only the code
-- @tparam string why for `on_closed`
function session.fail(ws, code, reason, why)
  if ws.state ~= "open" and ws.state ~= "closing" then return end
  if ws.state == "open" then ws.wire:push(CLOSE, session.close_payload(code)) end
  end_with(ws, code, reason, false, why)
end

-- RFC 6455 5.5.1, 7.1.5: the peer's close frame is answered with its own code, and its code is the connection's.
local function receive_close(ws, payload)
  -- A callback earlier in this batch may have ended the connection: that end stands.
  if ws.state ~= "open" and ws.state ~= "closing" then return end
  local code, reason = NO_STATUS, ""
  if #payload >= 2 then
    code = payload:byte(1) * 256 + payload:byte(2)
    reason = payload:sub(3)
  end
  if ws.state == "open" then
    ws.wire:push(CLOSE, payload:sub(1, 2))
  end
  end_with(ws, code, reason, true, "closed")
end

local function receive_control(ws, opcode, payload)
  if opcode == PING then
    -- RFC 6455 5.5.2; nothing may follow our close frame.
    if ws.state ~= "open" then return end
    local done, why = ws.wire:push(PONG, payload)
    if not done and why == "full" then session.overflow(ws) end
  elseif opcode == PONG then
    local handler = ws.pong_handler
    if handler and ws.state == "open" then handler(ws, payload) end
  elseif opcode == CLOSE then
    receive_close(ws, payload)
  else
    session.fail(ws, opcode, payload, WHY[opcode] or "protocol")
  end
end

--- Takes one message, as the reader gave it.
-- @tparam table ws
-- @tparam integer opcode, or the close code of a breach
-- @tparam string payload, or what was wrong
function session.receive(ws, opcode, payload)
  local state = ws.state
  if opcode > 2 then
    -- A callback may have ended the connection in the middle of a batch.
    if state == "open" or state == "closing" then receive_control(ws, opcode, payload) end
  elseif state == "open" then
    local handler = ws.receive_handler
    if handler then handler(ws, payload, opcode - 1) end
  end
end

--- Does what the slow_consumer option says when a queue is full.
-- @tparam table ws
-- @treturn boolean whether room was made, so that the message can be tried once more
function session.overflow(ws)
  local policy, wire = ws.settings.slow_consumer, ws.wire
  if policy == "close" then
    wire:drop(math.huge)
    session.fail(ws, TRY_AGAIN_LATER, "", "slow")
    return false
  elseif policy == "drop_new" then
    return false
  end
  return wire:drop(policy == "conflate" and math.huge or ws.settings.high_water_bytes) > 0
end

local function refuse(ws)
  if ws.state == "closed" then return -1, "closed" end
  if ws.state == "http" then return -1, "type" end
  return -1, "closing"
end

local function push(ws, opcode, payload, fin, plain)
  local wire = ws.wire
  local done, why = wire:push(opcode, payload, fin, plain)
  if done then return 0 end
  if why ~= "full" then return -1, why end
  if session.overflow(ws) and wire:push(opcode, payload, fin, plain) then return 0 end
  return -1, "full"
end

local function release_held(ws, held)
  for i = 1, #held, 3 do
    if ws.state ~= "open" then return end
    push(ws, held[i], held[i + 1], true, held[i + 2])
  end
end

-- RFC 6455 5.4: the fragments of one message; other data messages wait until the last of them.
local function send_fragment(ws, opcode, payload, fin, plain)
  local fragment = ws.fragment
  if opcode ~= CONTINUATION then
    if not fin then
      if fragment then return -1, "fragment" end
      ws.plain = false
      fragment = { text = opcode == TEXT, utf8 = 0, held = {}, held_bytes = 0 }
    else
      if opcode == TEXT and not ws.context.engine.valid_utf8(payload) then return -1, "utf8" end
      if fragment.held_bytes + ws.wire:buffered() > ws.settings.max_buffered_bytes then return -1, "full" end
      local held = fragment.held
      held[#held + 1], held[#held + 2], held[#held + 3] = opcode, payload, plain or false
      fragment.held_bytes = fragment.held_bytes + #payload
      return 0
    end
  elseif not fragment then
    return -1, "fragment"
  end
  local utf8 = fragment.text and ws.context.engine.utf8_next(fragment.utf8, payload, 1, #payload)
  if fragment.text and (not utf8 or (fin and utf8 ~= 0)) then return -1, "utf8" end
  local result, why = push(ws, opcode, payload, fin)
  if result ~= 0 then return result, why end
  fragment.utf8 = utf8
  ws.fragment = not fin and fragment or nil
  if fin then
    release_held(ws, fragment.held)
    session.refresh(ws)
  end
  return 0
end

--- Queues a data message or a fragment of one.
-- @tparam table ws
-- @tparam integer opcode 0, 1 or 2
-- @tparam string payload
-- @tparam boolean fin
-- @tparam ?boolean plain true: do not compress
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, `closing`, `full`, `utf8`, `fragment`, `type` or `entropy`
function session.send(ws, opcode, payload, fin, plain)
  if ws.state ~= "open" then return refuse(ws) end
  if ws.idle_slot then ws.active = ws.context.now end
  if ws.fragment or not fin or opcode == CONTINUATION then
    return send_fragment(ws, opcode, payload, fin, plain)
  end
  return push(ws, opcode, payload, true, plain)
end

--- Queues a ping or pong.
-- @rfc 6455 5.5.2
-- @tparam table ws
-- @tparam integer opcode 9 or 10
-- @tparam string payload at most 125 bytes
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, `closing`, `full` or `type`
function session.send_control(ws, opcode, payload)
  if ws.state ~= "open" then return refuse(ws) end
  return push(ws, opcode, payload)
end

return session
