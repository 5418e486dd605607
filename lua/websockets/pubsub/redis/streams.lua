--- The histories of topics in Redis or Valkey: for each topic a stream, which all processes share.
--
-- Everything goes over the one connection that messages of topics come by. What the server did before it answered has
-- come before its answer: a message that was published before the entries of a topic were read is among them, and one
-- that comes after them was published later. So nothing is missed and nothing comes twice between the two.
-- @module websockets.pubsub.redis.streams
local errors = require("websockets.errors")
local history = require("websockets.pubsub.history")
local jobs = require("websockets.pubsub.redis.jobs")
local joins = require("websockets.pubsub.redis.joins")
local lanes = require("websockets.pubsub.redis.lanes")
local message = require("websockets.pubsub.message")
local pages = require("websockets.pubsub.redis.pages")
local questions = require("websockets.pubsub.redis.questions")
local resp = require("websockets.pubsub.redis.resp")
local scripts = require("websockets.pubsub.redis.scripts")

local streams = {}
streams.__index = streams

local find, format, sub = string.find, string.format, string.sub

local TEXT, MAX_BYTES = 1, 1024 * 1024
-- Of data, in short answers and in long ones. An entry that is longer than a long one comes alone.
local SHORT_BYTES, LONG_BYTES = 8192, 262144
local NO_CLUSTER = "a cluster keeps histories by sharded pub/sub alone: Redis 7, and backplane.sharded not false"

--- Makes a store.
-- @tparam table context
-- @tparam table plane `websockets.pubsub.shared`: `origin`, `carrier`, `retain(name)`, `release(name)`, `report`
-- @tparam string prefix of keys
-- @treturn streams
function streams.new(context, plane, prefix)
  local self = setmetatable({
    context = context, plane = plane, receiver = false, prefix = prefix,
    -- The topics that this process is subscribed to, and have a history; the jobs of connections that join some.
    states = {}, joining = {},
    -- Messages of ours that are not answered; the number of the last; what is asked. Whether it was reported, since the
    -- server is back, that a history cannot be read.
    lanes = false, number = 0, questions = questions.new(plane), has_reported = false,
  }, streams)
  self.lanes = lanes.new(context, plane, self)
  return self
end

local function eval(self, script, name, ...)
  local tag = message.tag(name)
  return resp.command("EVAL", script, "2", self.prefix .. "s:" .. tag, self.prefix .. "h:" .. tag, ...)
end

--- Keeps a message, and delivers it in every process.
-- @tparam string name
-- @tparam table keep `messages`, `seconds`
-- @tparam integer opcode
-- @tparam string data
-- @tparam ?table except
-- @tparam ?string key
-- @tparam ?function on_stored `on_stored(id)`, or `on_stored(nil, message, code)`
-- @treturn[1] boolean true: it is on its way
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `unavailable`, `full`, `too_big`
function streams:publish(name, keep, opcode, data, except, key, on_stored)
  if #data > MAX_BYTES then return nil, ("a message has more than %d bytes"):format(MAX_BYTES), "too_big" end
  local plane, kept = self.plane, keep.seconds * 1000
  local carrier, channel = plane.carrier, plane:channel_of(name)
  if not carrier:may_keep() then return nil, NO_CLUSTER, "unavailable" end
  local number = self.number + 1
  -- First: the server takes a message with the number of another one for that.
  self.number = number
  local command = eval(self, scripts.PUBLISH, name, plane.origin, format("%.0f", number), message.head(opcode, key),
    data, format("%d", keep.messages), format("%.0f", kept),
    format("%.0f", kept + history.REMEMBERED_SECONDS * 1000), channel, carrier.PUBLISH)
  local is_on_its_way, why, code = self.lanes:add(carrier:slot_of(channel), {
    name = name, number = number, command = command, on_stored = on_stored,
  })
  local state = is_on_its_way and except and self.states[name]
  if state then state:leave_out(number, except) end
  return is_on_its_way, why, code
end

-- Takes an answer with entries.
local function entries_for(self, done)
  return function(value)
    if not self.plane.carrier:may_keep() then return done(nil, NO_CLUSTER) end
    local entries = pages.entries_of(value, self.context.engine.valid_utf8)
    if not entries then return done(nil, resp.fault(value) or "another answer came") end
    done(value[1], value[2] == 1, entries)
  end
end

local function read_command(self, name, since, bytes, least)
  return eval(self, scripts.READ, name, since == history.ALL and "-" or since, format("%d", bytes), least)
end

-- Of a topic that has a state. With another carrier it has another slot, or none.
local function slot_of(self, state)
  local carrier = self.plane.carrier
  if state.carrier ~= carrier then
    state.slot, state.carrier = carrier:slot_of(self.plane:channel_of(state.name)), carrier
  end
  return state.slot
end

--- Asks at once which entry is the last.
-- @tparam joins state of the topic
-- @tparam function done `done(last)`; `done(nil, fault)`. It is not called where the server is lost
-- @treturn boolean whether it is asked
function streams:locate(state, done)
  return self.questions:ask(slot_of(self, state), read_command(self, state.name, "", 0, "0"), entries_for(self, done))
end

--- Reads a page of entries.
-- @tparam joins state of the topic
-- @tparam string since `history.ALL`, or an id
-- @tparam ?boolean is_more whether a page has come, and was not whole: this one is long, and has one entry at least; a
-- short one has none where the first entry is long
-- @tparam function done `done(last, is_whole, entries)`; `done(nil, fault)`. It is not called where the server is lost
function streams:read(state, since, is_more, done)
  local bytes, least = is_more and LONG_BYTES or SHORT_BYTES, is_more and "1" or "0"
  local its_window = is_more and self.questions.long or self.questions.short
  local command = read_command(self, state.name, since, bytes, least)
  self.questions:ask(slot_of(self, state), command, entries_for(self, done), its_window)
end

--- Reports that a history cannot be read, once for each connection to the server.
-- @tparam string name
-- @tparam string fault
function streams:report_fault(name, fault)
  if self.has_reported then return end
  self.has_reported = true
  self.plane:report(("the history of %s cannot be read: %s"):format(errors.describe(name), fault))
end

--- A topic has its first subscriber, or its first connection that joins.
-- @tparam string name
-- @tparam table keep
function streams:watch(name, keep)
  self.states[name] = joins.new(self, name, keep)
end

--- A topic whose channel is in use has its first subscriber, or one that joins. It may have been begun as one without
-- history: for presence, or because the application's function has said something else.
-- @tparam string name
-- @tparam table keep
function streams:watch_late(name, keep)
  if self.states[name] then return end
  self:watch(name, keep)
  if not self.plane:hears(name) then return end
  local state = self.states[name]
  local is_good, err = pcall(state.catch_up, state)
  if is_good then return end
  -- What has not been asked for would never come.
  self.states[name] = nil
  error(err, 0)
end

--- A topic has its first subscriber, which has nothing to join: it gets what is published from now on.
-- @tparam string name
function streams:begin(name)
  local state = self.states[name]
  if state then state:begin() end
end

--- A topic has no subscriber any more, and none that joins.
-- @tparam string name
function streams:unwatch(name) self.states[name] = nil end

--- Takes a message from the channel of a topic.
-- @tparam string name
-- @tparam string bytes publisher, letter, id, id before, number, and what is kept
function streams:message(name, bytes)
  local state = self.states[name]
  if not state then return end
  local _, last, id, prev, number = find(bytes, "^(%d+%-%d+) (%S*) (%d+) ", 14)
  if not last then return end
  local opcode, data, key = message.read(bytes, last + 1)
  if not opcode or not pages.is_id(id) or not pages.is_id(prev) then return end
  if opcode == TEXT and not self.context.engine.valid_utf8(data) then return end
  state:live({
    id = id, prev = prev, publisher = sub(bytes, 1, 12), number = tonumber(number), opcode = opcode, data = data,
    key = key,
  })
end

local function begin_join(self, name, keep, job)
  self:watch_late(name, keep)
  self.states[name]:add(job)
end

--- Subscribes a connection, and gives it what it has missed.
-- @tparam table ws open
-- @tparam string name
-- @tparam table keep what is kept of the topic
-- @tparam ?string since id of a peer, perhaps; nil: nothing was missed
-- @tparam ?function on_joined
-- @treturn boolean true
function streams:join(ws, name, keep, since, on_joined)
  local job = jobs.new(ws, since, on_joined)
  self.plane:retain(name)
  local is_good, err = pcall(begin_join, self, name, keep, job)
  if not is_good then
    jobs.abandon(self, job, name)
    error(err, 0)
  end
  return true
end

--- Forgets that a connection joins a topic.
-- @tparam table ws
-- @tparam string name
-- @treturn boolean whether it did
function streams:cancel(ws, name)
  local state = self.states[name]
  local job = state and jobs.of(self.joining, ws, state)
  if job then state:cancel(job) end
  return job ~= nil
end

--- Forgets a connection, whose end begins: while the server is away it would wait for it as long.
-- @tparam table ws
function streams:forget(ws)
  local own = self.joining[ws]
  if not own then return end
  for job in pairs(own) do job.state:cancel(job) end
end

--- Lists the topics that a connection joins.
-- @tparam table ws
-- @treturn {string,...}
function streams:joins(ws) return jobs.topics(self.joining, ws) end

--- Tells how many connections join a topic.
-- @tparam string name
-- @treturn integer
function streams:count(name)
  local state = self.states[name]
  return state and #state.jobs or 0
end

--- The channel of a topic is confirmed.
-- @tparam string name
function streams:subscribed(name)
  local state = self.states[name]
  if state then state:catch_up() end
end

--- The channel of a topic is refused.
-- @tparam string name
-- @tparam string fault
function streams:refused(name, fault)
  local state = self.states[name]
  if state then state:refused(fault) end
end

--- A message of ours is answered for good.
-- @tparam string name
-- @tparam integer number
-- @tparam ?string id as the server gives it; nil: the message is not kept
function streams:answered(name, number, id)
  local state = self.states[name]
  if state then state.excepts:answer(number, id) end
end

--- The server is back, or another node of it has a slot: connections that join are told from where on, and what it has
-- not answered is sent again.
function streams:ready()
  local carrier = self.plane.carrier
  self.has_reported = false
  -- A new map of a cluster in trouble comes each second: what cannot be asked for yet costs a look.
  for _, own in pairs(self.joining) do
    for job in pairs(own) do
      if carrier:link_at(slot_of(self, job.state)) then job.state:locate(job) end
    end
  end
  self.lanes:ready()
  self.questions:ready()
end

--- The server is lost.
function streams:lost()
  self.questions:lost()
  for _, state in pairs(self.states) do state:lost() end
end

--- The node of a topic is lost: until it is back, and has been asked, nothing is delivered.
-- @tparam string name
function streams:unheard(name)
  local state = self.states[name]
  if state then state:lost() end
end

--- Ends what is not answered.
-- @tparam string text
-- @tparam string word
function streams:give_up(text, word) self.lanes:give_up(text, word) end

require("websockets.loading").interpret(streams.forget, streams.ready, streams.lost)

return streams
