--- One message for many connections: broadcasts of a group, publications of a topic.
-- @module websockets.connection.fanout
local outbox = require("websockets.connection.outbox")
local stream = require("websockets.wire.stream")

local fanout = {}

-- With the accelerator, wires that are not on its sockets, as those of TLS, are served by another call, which passes
-- over false.
local function other_wires(is_own, wires, count)
  local others = {}
  for i = 1, count do
    local wire = wires[i]
    others[i] = wire and not is_own(wire) and wire
  end
  return others
end

-- Copies the wires of a topic for a message that some of its connections cannot have at once: those get false. Gives
-- lists of these connections: `singles`, which are sending another message in fragments, and `waiting`, for which
-- messages wait already.
local function select_wires(index, topic, but, is_careful)
  local wires, singles, waiting = {}, {}, {}
  for i = 1, topic.count do
    local wire = topic[i]
    local ws = index:owner(wire)
    local list = ws.fragment and singles or is_careful and index.backlog:has(ws) and waiting
    if list and i ~= but then list[#list + 1] = ws end
    wires[i] = not list and wire
  end
  return wires, singles, waiting
end

-- For `idle_timeout`.
local function note_use(index, topic, but, now)
  for i = 1, topic.count do
    local ws = i ~= but and index:owner(topic[i])
    if ws and ws.idle_slot then ws.active = now end
  end
end

--- Turns the places of those that had no room into what is at these places: places move when a connection leaves.
-- @tparam integer count how many there are
-- @tparam table troubled the places; empty afterwards
-- @tparam table list
-- @tparam[opt={}] table slow what is appended to
-- @treturn table slow
function fanout.take(count, troubled, list, slow)
  slow = slow or {}
  for i = 1, count do
    slow[#slow + 1] = list[troubled[i]]
    troubled[i] = nil
  end
  return slow
end

-- Queues a message on wires. Gives those that had no room, nil for none.
local function put(context, index, wires, count, but, opcode, data, is_careful)
  local class, troubled, slow = context.wire_class, index.troubled, nil
  local full = class.fanout(wires, count, opcode, data, troubled, is_careful, but)
  if full > 0 then slow = fanout.take(full, troubled, wires) end
  if not context.hub.streams.is_used then return slow end
  full = stream.fanout(other_wires(class.is_own, wires, count), count, opcode, data, troubled, is_careful, but)
  if full > 0 then slow = fanout.take(full, troubled, wires, slow) end
  return slow
end

--- Sends a message of a topic to its subscribers.
-- @tparam table context
-- @tparam table topic the wires of the subscribers; `count` tells how many, `policy` how slow ones are treated, nil:
-- they are closed
-- @tparam ?integer but place of one that is left out
-- @tparam integer opcode 1 or 2
-- @tparam string data UTF-8 where it is text
-- @tparam string name of the topic
-- @tparam string key of the message, for `conflate`
function fanout.send(context, topic, but, opcode, data, name, key)
  local index, policy, wires, singles, waiting = context.subscriptions, topic.policy or "close", topic, nil, nil
  local is_careful = policy == "drop_old" or policy == "conflate"
  if index.fragment_count > 0 or is_careful and index.backlog.bytes > 0 then
    wires, singles, waiting = select_wires(index, topic, but, is_careful)
  end
  if index.counts_use then note_use(index, topic, but, context.now) end
  local slow = put(context, index, wires, topic.count, but, opcode, data, is_careful)
  if not (slow or waiting) then return end
  -- Any of these may leave the topic by what is done with another one.
  for i = 1, slow and #slow or 0 do slow[i] = index:owner(slow[i]) end
  for i = 1, slow and #slow or 0 do outbox.publish_to_slow(slow[i], policy, name, key, opcode, data) end
  for i = 1, waiting and #waiting or 0 do outbox.publish_to_slow(waiting[i], policy, name, key, opcode, data) end
  for i = 1, singles and #singles or 0 do outbox.send(singles[i], opcode, data, true) end
end

return fanout
