--- The histories of topics in the memory of one process.
-- @module websockets.pubsub.memory
local history = require("websockets.pubsub.history")
local luasocket = require("websockets.transport.luasocket")

local memory = {}
memory.__index = memory

local floor = math.floor

--- Makes a store without histories.
-- @tparam table context
-- @tparam table receiver `deliver`, `subscribe`: of `websockets.pubsub.pubsub`
-- @treturn memory
function memory.new(context, receiver)
  return setmetatable({
    context = context, receiver = receiver, topics = {},
    -- The milliseconds of the last id, and its number within them.
    time = 0, number = 0,
  }, memory)
end

local function next_id(self)
  local now = floor(luasocket.time() * 1000)
  -- The clock of the system may be set back.
  if now > self.time then
    self.time, self.number = now, 0
  else
    self.number = self.number + 1
  end
  return ("%.0f-%d"):format(self.time, self.number)
end

-- Drops what is too old or too much.
local function trim(self, topic)
  local entries, keep, oldest = topic.entries, topic.keep, self.context.now - topic.keep.seconds
  while topic.first <= topic.last
    and (topic.last - topic.first + 1 > keep.messages or entries[topic.first].at <= oldest) do
    entries[topic.first] = nil
    topic.first = topic.first + 1
  end
end

local sweep

local function set_timer(self, topic, seconds)
  local timers, lane, slot = self.context.timers, topic.lane, topic.slot
  -- The new one first: an error leaves the topic with the timer that it has.
  topic.lane, topic.slot = seconds, timers:start(seconds, self.context.now, topic, sweep)
  if slot then timers:stop(lane, slot) end
end

-- The entries go first, then what was the last of them.
function sweep(topic)
  local self = topic.store
  topic.slot = false
  trim(self, topic)
  if topic.first <= topic.last then
    set_timer(self, topic, topic.keep.seconds)
  elseif topic.lane ~= history.REMEMBERED_SECONDS then
    topic.entries, topic.first, topic.last = {}, 1, 0
    set_timer(self, topic, history.REMEMBERED_SECONDS)
  else
    -- Where an error came when it was made, its name is that of another.
    if self.topics[topic.name] == topic then self.topics[topic.name] = nil end
  end
end

local function topic_of(self, name, keep)
  local topic = self.topics[name]
  if not topic then
    topic = {
      store = self, name = name, keep = keep, last_id = "", entries = {}, first = 1, last = 0, lane = false,
      slot = false,
    }
    -- The timer before the name: what is there goes again.
    set_timer(self, topic, keep.seconds)
    self.topics[name] = topic
  end
  topic.keep = keep
  return topic
end

--- Keeps a message, and delivers it.
-- @tparam string name
-- @tparam table keep `messages`, `seconds`, `encode`
-- @tparam integer opcode
-- @tparam string data
-- @tparam ?table except
-- @tparam ?string key
-- @tparam ?function on_stored `on_stored(id)`
-- @treturn boolean true
function memory:publish(name, keep, opcode, data, except, key, on_stored)
  local topic = topic_of(self, name, keep)
  local entry = {
    id = next_id(self), prev = topic.last_id, opcode = opcode, data = data, key = key, at = self.context.now,
  }
  topic.entries[topic.last + 1] = entry
  topic.last, topic.last_id = topic.last + 1, entry.id
  trim(self, topic)
  if topic.lane ~= keep.seconds then set_timer(self, topic, keep.seconds) end
  self.receiver:deliver(name, opcode, history.data_of(self.context, name, keep, entry), except, key)
  if on_stored then self.context.agenda:call(nil, on_stored, entry.id) end
  return true
end

-- The place of the first entry that a subscriber has not had; nil where what follows is gone.
local function find(topic, since)
  local at = topic.first
  while at <= topic.last and since ~= history.ALL and not history.is_after(topic.entries[at].id, since) do
    at = at + 1
  end
  if at <= topic.last then return history.follows(topic.entries[at], since) and at or nil end
  if since == history.ALL then return at end
  return topic.last_id ~= "" and not history.is_after(topic.last_id, since) and at or nil
end

-- Returns whether nothing is gone.
local function send_missed(self, topic, ws, since)
  trim(self, topic)
  local at = (since == history.ALL or history.is_id(since)) and find(topic, since)
  for i = at or topic.last + 1, topic.last do
    if ws.state ~= "open" then break end
    history.send(ws, topic.name, topic.keep, topic.entries[i])
  end
  return at and true or false
end

--- Subscribes a connection, and gives it what it has missed.
-- @tparam table ws
-- @tparam string name
-- @tparam table _ what is kept of the topic
-- @tparam ?string since id, or `history.ALL`; nil: nothing was missed
-- @tparam ?function on_joined
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code as `subscribe` of the receiver
function memory:join(ws, name, _, since, on_joined)
  local is_subscribed, message, code = self.receiver:subscribe(ws, name)
  if not is_subscribed then return nil, message, code end
  local topic = self.topics[name]
  local is_complete = not since or since == history.ALL
  if topic and since then is_complete = send_missed(self, topic, ws, since) end
  history.tell_joined(ws, name, on_joined, is_complete, topic and topic.last_id or "")
  return true
end

--- Forgets that a connection joins a topic: none does.
-- @treturn boolean false
function memory.cancel() return false end

--- Lists the topics that a connection joins: none, joining is done at once.
-- @treturn {string,...}
function memory.joins() return {} end

--- Tells how many connections join a topic.
-- @treturn integer 0
function memory.count() return 0 end

return memory
