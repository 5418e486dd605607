--- What a connection sends: messages, fragments, control frames; and the policy for a full queue.
-- @module websockets.connection.outbox
local lifecycle = require("websockets.connection.lifecycle")
local session = require("websockets.protocol.session")

local outbox = {}

local PING, TRY_AGAIN_LATER = 9, 1013

-- Ends a connection that is too slow.
local function give_up(ws)
  ws.wire:drop(math.huge)
  lifecycle.fail(ws, TRY_AGAIN_LATER, "", "slow")
  return false
end

--- Applies the option `slow_consumer` to a connection that has a full queue.
-- @tparam table ws open
-- @tparam number enough bytes that `drop_old` drops at least, if it can
-- @tparam ?boolean must whether bytes have to go even where the policy drops new messages only
-- @treturn boolean whether there is room now, so that a message can be tried once more
function outbox.make_room(ws, enough, must)
  local policy = ws.settings.slow_consumer
  if policy == "close" then return give_up(ws) end
  if policy == "drop_new" and not must then return false end
  local dropped, messages = ws.wire:drop(policy == "conflate" and math.huge or enough)
  if dropped == 0 then return false end
  ws.context.agenda.drops:note(ws, nil, messages)
  return true
end

--- Goes on after a wire has refused a frame: a full queue is treated as `slow_consumer` says, then the frame is tried
-- once more.
-- @tparam table ws
-- @tparam string why the word of the wire
-- @tparam integer opcode
-- @tparam string payload
-- @tparam ?boolean fin
-- @tparam ?boolean plain
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `full`, `utf8`, `type` or `entropy`
function outbox.retry(ws, why, opcode, payload, fin, plain)
  if why ~= "full" then return -1, why end
  if outbox.make_room(ws, ws.settings.high_water_bytes) and ws.wire:push(opcode, payload, fin, plain) then return 0 end
  return -1, "full"
end

--- Treats one message of a broadcast to a connection that has a full queue.
-- @tparam table ws
-- @tparam integer opcode
-- @tparam string payload
function outbox.broadcast_to_full(ws, opcode, payload)
  local result = outbox.retry(ws, "full", opcode, payload, true)
  if result ~= 0 and ws.state == "open" then ws.context.agenda.drops:note(ws, nil, 1) end
end

--- Treats one message of a topic to a connection that is slow: its queue is full or, where the policy is `drop_old` or
-- `conflate`, its peer does not take what is queued.
-- @tparam table ws
-- @tparam string policy of the topic
-- @tparam string name the topic
-- @tparam string key of the message
-- @tparam integer opcode
-- @tparam string payload
function outbox.publish_to_slow(ws, policy, name, key, opcode, payload)
  if ws.state ~= "open" then return end
  local drops = ws.context.agenda.drops
  if policy == "close" then return give_up(ws) end
  if policy == "drop_new" then return drops:note(ws, name, 1) end
  local backlog = ws.context.subscriptions.backlog
  if backlog:add(ws, name, policy == "conflate" and key or nil, opcode, payload) then drops:note(ws, name, 1) end
  local excess = ws.wire:buffered() + backlog:size(ws) - ws.settings.max_buffered_bytes
  if excess > 0 then backlog:drop(ws, excess) end
end

--- Goes on after a flush that has left nothing in the queue of an open connection: messages of topics may wait for
-- that.
-- @tparam table ws
-- @tparam boolean was_blocked whether something waited before
-- @treturn boolean whether something did, and nothing does now
function outbox.go_on(ws, was_blocked)
  local subscriptions = ws.context.subscriptions
  local backlog = subscriptions and subscriptions.backlog
  if not backlog or not backlog:has(ws) then return was_blocked end
  return not backlog:feed(ws)
end

local function push(ws, opcode, payload, fin, plain)
  local is_queued, why = ws.wire:push(opcode, payload, fin, plain)
  if is_queued then return 0 end
  return outbox.retry(ws, why, opcode, payload, fin, plain)
end

--- Tells why nothing can be sent in a connection that is not open: nothing follows our close frame.
-- @rfc 6455 5.5.1
-- @tparam table ws
-- @treturn integer -1
-- @treturn string `closed`, `type` before the opening handshake is done, `closing`, or `away`: it is opened again
function outbox.refuse(ws)
  if ws.comeback then return -1, "away" end
  if ws.state == "closed" then return -1, "closed" end
  if ws.state == "http" or ws.state == "dialling" then return -1, "type" end
  return -1, "closing"
end

-- Keeps a message until the last fragment of another one has been sent.
local function hold(ws, fragment, opcode, payload, plain)
  if not session.may_send(opcode, payload, ws.context.engine.valid_utf8) then return -1, "utf8" end
  if fragment.held_bytes + ws.wire:buffered() > ws.settings.max_buffered_bytes then return -1, "full" end
  local held = fragment.held
  held[#held + 1] = { opcode, payload, plain or false }
  fragment.held_bytes = fragment.held_bytes + #payload
  return 0
end

local function end_fragment(ws, fragment)
  ws.fragment = false
  for _, message in ipairs(fragment.held) do
    if ws.state ~= "open" then return end
    push(ws, message[1], message[2], true, message[3])
  end
  local subscriptions = ws.context.subscriptions
  if subscriptions and subscriptions.backlog:has(ws) then ws.context.agenda:touch(ws) end
end

local function send_fragment(ws, opcode, payload, fin)
  local fragment = ws.fragment
  if not (fragment and fragment.is_begun) then fragment = session.new_fragment(opcode) end
  local utf8 = session.check_fragment(fragment, payload, fin, ws.context.engine.utf8_next)
  if not utf8 then return -1, "utf8" end
  -- The fast path, and broadcasts to this connection, depend on whether a message is being sent in fragments. An error
  -- must not leave the beginning of a message that nobody knows of, so this comes first.
  if not fragment.is_begun then
    ws.fragment = fragment
    lifecycle.refresh(ws)
  end
  local result, why = push(ws, opcode, payload, fin)
  if result == 0 then
    fragment.utf8, fragment.is_begun = utf8, true
    if fin then end_fragment(ws, fragment) end
  elseif not fragment.is_begun then
    ws.fragment = false
  end
  lifecycle.refresh(ws)
  return result, why
end

--- Queues a data message or a fragment of one.
-- @tparam table ws
-- @tparam integer opcode 0, 1 or 2
-- @tparam string payload
-- @tparam boolean fin
-- @tparam ?boolean plain true: do not compress
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `away`, `closed`, `closing`, `full`, `utf8`, `fragment`, `type` or `entropy`
function outbox.send(ws, opcode, payload, fin, plain)
  if ws.state ~= "open" then
    if ws.comeback and fin and opcode ~= 0 then return ws.comeback:keep(opcode, payload, plain) end
    return outbox.refuse(ws)
  end
  if ws.idle_slot then ws.active = ws.context.now end
  local place = session.place(ws.fragment, opcode, fin)
  if place == "whole" then return push(ws, opcode, payload, true, plain) end
  if place == "later" then return hold(ws, ws.fragment, opcode, payload, plain) end
  if not place then return -1, "fragment" end
  return send_fragment(ws, opcode, payload, fin)
end

--- Queues a ping or pong.
-- @rfc 6455 5.5.2
-- @tparam table ws
-- @tparam integer opcode 9 or 10
-- @tparam string payload at most 125 bytes
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `away`, `closed`, `closing`, `full` or `type`
function outbox.send_control(ws, opcode, payload)
  if ws.state ~= "open" then return outbox.refuse(ws) end
  local result, why = push(ws, opcode, payload)
  if opcode == PING and result == 0 then ws.context.tally:pinged(ws, payload) end
  return result, why
end

return outbox
