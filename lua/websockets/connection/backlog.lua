--- Messages of topics that wait beside the queues of slow connections, so that they can still be dropped or replaced,
-- topic by topic: what is in a queue may have begun to leave. Only connections whose peers do not read have one. The
-- payloads are not copied.
-- @module websockets.connection.backlog
local backlog = {}
backlog.__index = backlog

local max, min = math.max, math.min

-- What a message that waits counts in addition to its payload.
local MESSAGE_BYTES = 128

--- Makes what the connections of a context share.
-- @treturn backlog `bytes` that wait in all; `lists`: connection -> what waits for it
function backlog.new()
  return setmetatable({ bytes = 0, lists = {} }, backlog)
end

local function weight(data) return #data + MESSAGE_BYTES end

local function count(self, list, queue, bytes)
  queue.bytes, list.bytes, self.bytes = queue.bytes + bytes, list.bytes + bytes, self.bytes + bytes
end

-- Takes the oldest message of a topic.
local function take(self, list, queue)
  local message = queue[queue.first]
  queue[queue.first] = nil
  queue.first = queue.first + 1
  if queue.first > queue.last then queue.first, queue.last = 1, 0 end
  if message.key then queue.keys[message.key] = nil end
  count(self, list, queue, -weight(message.data))
  return message
end

-- The topic of which most waits; nil where nothing does.
local function largest(list)
  local found
  for _, queue in pairs(list.queues) do
    if queue.first <= queue.last and not (found and queue.bytes <= found.bytes) then found = queue end
  end
  return found
end

--- Tells whether messages of topics wait for a connection, or have to wait because those before them do.
-- @tparam table ws
-- @treturn boolean
function backlog:has(ws) return self.lists[ws] ~= nil end

--- Tells how much waits for a connection.
-- @tparam table ws
-- @treturn integer bytes
function backlog:size(ws)
  local list = self.lists[ws]
  return list and list.bytes or 0
end

local function list_of(self, ws)
  local list = self.lists[ws]
  if not list then
    list = { bytes = 0, queues = {}, order = {}, at = 0 }
    -- From now on each flush of it tells whether there is room.
    ws.context.agenda:touch(ws)
    self.lists[ws] = list
  end
  return list
end

local function queue_of(list, name)
  local queue = list.queues[name]
  if not queue then
    queue = { name = name, first = 1, last = 0, bytes = 0, keys = {} }
    -- What is in the order alone is empty, and is taken out. What is not in it would never leave.
    list.order[#list.order + 1] = queue
    list.queues[name] = queue
  end
  return queue
end

--- Adds a message.
-- @tparam table ws
-- @tparam string name the topic
-- @tparam ?string key the message takes the place of one with the same key; nil: of none
-- @tparam integer opcode
-- @tparam string data
-- @treturn boolean whether it has replaced another one
function backlog:add(ws, name, key, opcode, data)
  local list = list_of(self, ws)
  local queue = queue_of(list, name)
  local message = key and queue.keys[key]
  if message then
    count(self, list, queue, #data - #message.data)
    message.opcode, message.data = opcode, data
    return true
  end
  message = { key = key, opcode = opcode, data = data }
  -- First what may find no memory: what is not counted is not there.
  queue[queue.last + 1] = message
  if key then queue.keys[key] = message end
  queue.last = queue.last + 1
  count(self, list, queue, weight(data))
  return false
end

--- Drops messages of a connection, the oldest of the topic of which most waits, until so much is dropped.
-- @tparam table ws
-- @tparam number enough bytes
-- @treturn integer bytes
function backlog:drop(ws, enough)
  local list = self.lists[ws]
  if not list then return 0 end
  local before, drops = list.bytes, ws.context.agenda.drops
  while before - list.bytes < enough do
    local queue = largest(list)
    if not queue then break end
    take(self, list, queue)
    drops:note(ws, queue.name, 1)
  end
  return before - list.bytes
end

-- The topic whose turn it is: each has a message in turn.
local function next_queue(list)
  local order = list.order
  while #order > 0 do
    local at = list.at % #order + 1
    local queue = order[at]
    if queue.first <= queue.last then
      list.at = at
      return queue
    end
    order[at] = order[#order]
    order[#order] = nil
    if list.queues[queue.name] == queue then list.queues[queue.name] = nil end
  end
end

-- Moves messages to the queue of the connection until that has so many bytes, or takes no more.
local function move(self, ws, most)
  local list, wire = self.lists[ws], ws.wire
  repeat
    local queue = next_queue(list)
    local message = queue and queue[queue.first]
    if not message or wire:buffered() > most then return end
    local is_queued, why = wire:push(message.opcode, message.data, true)
    if not is_queued and why == "full" then return end
    take(self, list, queue)
  until false
end

--- Goes on after a flush that has left nothing in the queue of a connection.
-- @tparam table ws open
-- @treturn boolean whether anything waited: another flush follows in this turn
function backlog:feed(ws)
  local list = self.lists[ws]
  -- While a message is being sent in fragments nothing can come between; its end touches the connection.
  if not list or ws.fragment then return list ~= nil end
  if not largest(list) then
    self:forget(ws)
    return false
  end
  local settings = ws.settings
  -- First: after an error in what follows nothing else would have it go on.
  ws.context.agenda:touch(ws)
  move(self, ws, min(settings.high_water_bytes, settings.max_buffered_bytes))
  return true
end

--- Moves all that waits to the queue of a connection: what was published leaves before our close frame.
-- @tparam table ws open
function backlog:release(ws)
  if not self.lists[ws] then return end
  -- Nothing comes between the fragments of a message.
  if ws.fragment then return self:forget(ws) end
  move(self, ws, math.huge)
  self:drop(ws, math.huge)
  self:forget(ws)
end

--- Forgets what waits for a connection.
-- @tparam table ws
function backlog:forget(ws)
  local list = self.lists[ws]
  if not list then return end
  self.lists[ws] = nil
  self.bytes = max(0, self.bytes - list.bytes)
end

require("websockets.loading").interpret(largest)

return backlog
