--- The topics of a context: subscribing and publishing, over a back plane.
-- @module websockets.pubsub.pubsub
local errors = require("websockets.errors")
local fanout = require("websockets.connection.fanout")
local history = require("websockets.pubsub.history")
local in_process = require("websockets.pubsub.in_process")
local load = require("websockets.loading").load
local nested = require("websockets.pubsub.nested")
local outbox = require("websockets.connection.outbox")
local session = require("websockets.protocol.session")
local subscriptions = require("websockets.connection.subscriptions")

local pubsub = {}
pubsub.__index = pubsub

local function fail(word, message)
  return nil, message or errors.WORDS[word], word
end

-- In the words of a connection that is to be subscribed.
local function refuse_state(ws)
  local _, word = outbox.refuse(ws)
  return fail(word, word == "type" and "the connection is not open yet" or nil)
end

-- Alone, or with other processes, as the option `backplane` says.
local function make_plane(context)
  if not context.settings.backplane then return in_process.new() end
  return load("websockets.pubsub.shared").of(context, context.settings.backplane)
end

--- Gives the topics of a context, which are made when they are first asked for.
-- @tparam table context
-- @treturn pubsub
function pubsub.of(context)
  if context.pubsub then return context.pubsub end
  local self = setmetatable({
    context = context, plane = make_plane(context), subscriptions = false, store = false, presence = false,
    -- How many of the application's functions that may publish run inside of each other.
    depth = 0,
  }, pubsub)
  self.subscriptions = subscriptions.new(self.plane)
  context.pubsub, context.subscriptions = self, self.subscriptions
  self.plane:open(self)
  return self
end

local function is_too_long(self, name)
  return #name > self.context.settings.max_topic_bytes
end

local function refuse_name(self, name)
  return fail("limit", ("a topic's name has %d bytes, and at most %d are allowed"):format(#name,
    self.context.settings.max_topic_bytes))
end

--- Gives the options of a topic.
-- @tparam string name
-- @treturn ?table those that it has itself, nil for none; none too after an error of the application's function, which
-- `on_error` hears
function pubsub:options_of(name)
  local context = self.context
  local options_of = context.settings.topic_options
  if not options_of then return nil end
  local _, options = nested.call(context, "the function of topics", options_of, name)
  return options
end

-- What a topic is begun with that is not as in most: how slow subscribers are treated; what is kept of it.
local function new_topic(self, name)
  local options = self:options_of(name)
  local policy = options and options.slow_consumer or self.context.settings.slow_consumer
  local made = { count = 0 }
  if policy ~= "close" then made.policy = policy end
  if options and options.history then made.keep = options.history end
  return made
end

--- Gives what is kept of a topic.
-- @tparam string name
-- @treturn ?table the option `history`, nil for none
function pubsub:history_of(name)
  if not self.context.settings.topic_options then return nil end
  local topic = self.subscriptions.topics[name]
  if topic then return topic.keep end
  local options = self:options_of(name)
  return options and options.history
end

-- Where histories are: with the back plane, or in memory. Nil with a back plane of the application's.
local function store_of(self)
  if not self.store and not self.context.settings.backplane then
    self.store = load("websockets.pubsub.memory").new(self.context, self)
  end
  return self.store or self.plane.store or nil
end

local function refuse_topics(ws)
  return fail("limit", ("the connection has its %d topics"):format(ws.settings.max_topics))
end

local function refuse_history()
  return fail("unavailable", "a back plane of one's own keeps no history")
end

-- Where connections that join are known; nil where none can.
local function joining_store(self) return self.store or self.plane.store or nil end

-- The topics that a connection joins; whether it joins this one.
local function joined_by(self, ws, name)
  local store = joining_store(self)
  local list = store and store:joins(ws) or {}
  for _, joined in ipairs(list) do
    if joined == name then return list, true end
  end
  return list, false
end

--- Subscribes a connection.
-- @tparam table ws
-- @tparam string name
-- @tparam ?function is_joining tells whether it joins this topic still; one that does counts for `max_topics` already
-- @treturn[1] boolean true
-- @treturn[2] nil where it joins the topic no more
-- @treturn[3] nil
-- @treturn[3] string message
-- @treturn[3] string `limit`, or why the connection is not open
function pubsub:subscribe(ws, name, is_joining)
  local index = self.subscriptions
  if ws.state ~= "open" then return refuse_state(ws) end
  if index:place(ws, name) then return true end
  if is_too_long(self, name) then return refuse_name(self, name) end
  if not is_joining then
    local list, has_begun = joined_by(self, ws, name)
    if has_begun then return true end
    if index:count(ws) + #list >= ws.settings.max_topics then return refuse_topics(ws) end
  end
  local made = not index.topics[name] and new_topic(self, name)
  -- The application's function may have done anything.
  if ws.state ~= "open" then return refuse_state(ws) end
  if is_joining and not is_joining() then return nil end
  if index:place(ws, name) then return true end
  index:join(ws, name, made)
  return true
end

-- Nothing can be missed in a topic without history.
local function join_plain(self, ws, name, since, on_joined)
  if since then return fail("type", "the topic has no history") end
  local is_subscribed, message, code = self:subscribe(ws, name)
  if is_subscribed then history.tell_joined(ws, name, on_joined, true, "") end
  return is_subscribed, message, code
end

--- Subscribes a connection, and gives it what it has missed of a topic with a history.
-- @tparam table ws
-- @tparam string name
-- @tparam ?string since id of the last message that it has, of a peer, perhaps; or "all"
-- @tparam ?function on_joined `on_joined(ws, name, is_complete, last)`, or `on_joined(ws, name, nil, message, code)`
-- @treturn[1] boolean true: it is subscribed, or soon will be
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string as `subscribe`; `type`: the topic has no history
function pubsub:join(ws, name, since, on_joined)
  if ws.state ~= "open" then return refuse_state(ws) end
  if is_too_long(self, name) then return refuse_name(self, name) end
  local keep = self:history_of(name)
  if not keep then return join_plain(self, ws, name, since, on_joined) end
  local store = store_of(self)
  if not store then return refuse_history() end
  self:unsubscribe(ws, name)
  if self.subscriptions:count(ws) + #store:joins(ws) >= ws.settings.max_topics then return refuse_topics(ws) end
  return store:join(ws, name, keep, since, on_joined)
end

local function presence_of(self)
  if not self.presence then
    local plane = self.plane.tell and self.plane
    self.presence = load("websockets.pubsub.presence").new(self.context, plane, plane and plane.presence_seconds)
    self.plane.presence, self.subscriptions.tells_left = self.presence, true
  end
  return self.presence
end

-- Gives an `on_joined` that enters the name of a connection first.
local function entering(self, own_name, on_joined)
  return function(ws, name, ...)
    if self.subscriptions:place(ws, name) then presence_of(self):enter(ws, name, own_name) end
    if on_joined then on_joined(ws, name, ...) end
  end
end

--- Subscribes a connection as it is told.
-- @tparam table ws
-- @tparam string name
-- @tparam table options `since`, `on_joined`, `name`
-- @return as `subscribe` and `join`; `limit` where the name is too long
function pubsub:subscribe_by(ws, name, options)
  local own_name, on_joined = options.name, options.on_joined
  if own_name then
    if is_too_long(self, own_name) then return fail("limit", "the name is longer than max_topic_bytes") end
    on_joined = entering(self, own_name, on_joined)
  end
  return self:join(ws, name, options.since, on_joined)
end

--- Lists the names that are present in a topic.
-- @tparam string name
-- @treturn {string,...} sorted
function pubsub:present(name)
  -- The name may come from a peer; nothing can be subscribed to this one.
  if is_too_long(self, name) then return {} end
  local presence = presence_of(self)
  if self.subscriptions.topics[name] then presence:track(name) else presence:watch(name) end
  return presence:list(name)
end

--- Takes a connection out of a topic.
-- @tparam table ws
-- @tparam string name
-- @treturn boolean whether it was subscribed, or was to be
function pubsub:unsubscribe(ws, name)
  local store = joining_store(self)
  local was_joining = store and store:cancel(ws, name)
  return self.subscriptions:leave(ws, name) or was_joining or false
end

--- Lists the connections of this process that are subscribed to a topic.
-- @tparam string name
-- @treturn {table,...} a list that stays as it is
function pubsub:members(name)
  local list = {}
  local topic = self.subscriptions.topics[name]
  for i = 1, topic and topic.count or 0 do list[i] = self.subscriptions:owner(topic[i]) end
  return list
end

--- Publishes a message: the back plane delivers it.
-- @tparam string name
-- @tparam integer opcode 1 or 2
-- @tparam string data
-- @tparam ?table except connection that does not get it
-- @tparam string key for `conflate`
-- @tparam ?function on_stored `on_stored(id)` once it is kept in the history; `on_stored(nil, message, code)`
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `utf8`, `limit`, or a word of the back plane's
function pubsub:publish(name, opcode, data, except, key, on_stored)
  if not session.may_send(opcode, data, self.context.engine.valid_utf8) then return fail("utf8") end
  if is_too_long(self, name) then return refuse_name(self, name) end
  local keep = self:history_of(name)
  if not keep then return self.plane:publish(name, opcode, data, except, key) end
  local store = store_of(self)
  if not store then return refuse_history() end
  return store:publish(name, keep, opcode, data, except, key, on_stored)
end

--- Sends a message to the subscribers in this process, within a turn.
-- @tparam string name
-- @tparam integer opcode 1 or 2
-- @tparam string data UTF-8 where it is text
-- @tparam ?table except connection that does not get it
-- @tparam string key for `conflate`
function pubsub:deliver(name, opcode, data, except, key)
  local index = self.subscriptions
  local topic = index.topics[name]
  if not topic then return end
  local but = except and index:place(except, name)
  fanout.send(self.context, topic, but, opcode, data, name, key)
end

--- Tells how many connections of this process are subscribed to a topic, or join it.
-- @tparam string name
-- @treturn integer
function pubsub:subscribers(name)
  local topic, store = self.subscriptions.topics[name], joining_store(self)
  return (topic and topic.count or 0) + (store and store:count(name) or 0)
end

--- Lists the topics that a connection is subscribed to, or joins.
-- @tparam table ws
-- @treturn {string,...} in no order
function pubsub:topics(ws)
  local list = self.subscriptions:names(ws)
  for _, name in ipairs((joined_by(self, ws))) do list[#list + 1] = name end
  return list
end

--- Tells how many messages of a topic were dropped because their receivers are slow, since it has subscribers.
-- @tparam string name
-- @treturn integer
function pubsub:dropped(name)
  local topic = self.subscriptions.topics[name]
  return topic and topic.dropped or 0
end

return pubsub
