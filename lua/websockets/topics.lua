--- Topics: the methods of contexts and connections for subscribing and publishing. docs/topics.md tells more.
-- @classmod websockets.topics
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local load = require("websockets.loading").load

local topics = {}

local OPCODES = { [0] = 1, [1] = 2 }
local LEVEL_OF_CALLER = 4

local function check_context(context, name)
  errors.check_object(context, "agenda", "context:" .. name, LEVEL_OF_CALLER)
  if context.destroyed then error("websocket context destroyed", 3) end
end

local function check_ws(ws, name)
  errors.check_object(ws, "state", "websocket:" .. name, LEVEL_OF_CALLER)
end

local function check_topic(topic, name)
  if type(topic) ~= "string" then errors.argument(1, name, "topic", topic, LEVEL_OF_CALLER) end
end

-- Made when the first program asks: most contexts have no topics.
local function pubsub_of(context)
  return context.pubsub or load("websockets.pubsub.pubsub").of(context)
end

local function payload_of(data, name)
  if type(data) == "string" then return data end
  if type(data) == "number" then return tostring(data) end
  errors.argument(2, name, "string or number", data, LEVEL_OF_CALLER)
end

local function opcode_of(kind, name)
  local opcode = OPCODES[kind == nil and 0 or kind]
  if not opcode then errors.argument(3, name, "WRITE_TEXT or WRITE_BINARY", kind, LEVEL_OF_CALLER) end
  return opcode
end

local function is_string(value) return type(value) == "string" end
local function is_function(value) return type(value) == "function" end

-- The options of methods: what is expected, and the check.
local KEY, ON_STORED = { "string", is_string }, { "function", is_function }
local OF_PUBLISH = {
  except = { "connection", function(value) return type(value) == "table" and value.state ~= nil end },
  key = KEY, on_stored = ON_STORED, expected = "except, key or on_stored",
}
local OF_PUBLISH_OTHERS = { key = KEY, on_stored = ON_STORED, expected = "key or on_stored" }
local OF_SUBSCRIBE = {
  since = { "string", is_string }, on_joined = { "function", is_function }, name = { "string", is_string },
  expected = "since, on_joined or name",
}

local NO_OPTIONS = {}

local function options_of(known, given, position, name)
  if given == nil then return NO_OPTIONS end
  if type(given) ~= "table" then errors.argument(position, name, "table", given, LEVEL_OF_CALLER) end
  for key, value in pairs(given) do
    local option = known[key]
    if type(option) ~= "table" then
      errors.argument(position, name, known.expected, nil, LEVEL_OF_CALLER, "the option " .. errors.describe(key))
    end
    if not option[2](value) then errors.argument(position, name, option[1] .. " as " .. key, value, LEVEL_OF_CALLER) end
  end
  return given
end

-- Nearly every call comes from a callback: then a turn is going on.
local function publish(context, topic, opcode, data, except, options)
  local pubsub, key, on_stored = pubsub_of(context), options.key or "", options.on_stored
  if context.busy then return pubsub:publish(topic, opcode, data, except, key, on_stored) end
  return entry.within(context, pubsub.publish, pubsub, topic, opcode, data, except, key, on_stored)
end

--- Subscribes the connection to a topic: it gets what is published there. A topic is there as long as it has
-- subscribers. A connection that ends, or is to be opened again, leaves all its topics.
-- @function websocket:subscribe
-- @tparam table ws
-- @tparam string topic any bytes, at most `max_topic_bytes`
-- @tparam[opt] table options `since`: the id of the last message that it has of a topic with a history, or `"all"`;
-- what it has missed comes before what is published from then on. `on_joined(ws, topic, is_complete, last)` is called
-- when it has all that: false where some of it is gone; `last` is the id of the last message, "" for none.
-- `on_joined(ws, topic, nil, message, "unavailable")`: it is not subscribed, for the back plane refuses the topic.
-- `name`: the connection is present in the topic by this name, see `context:presence`
-- @treturn[1] boolean true, also where it is subscribed already
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit` (`max_topics`, `max_topic_bytes`); `type`: `since` for a topic without history; where the
-- connection is not open `type`, `closing`, `closed` or `away`; `unavailable`: a back plane without histories
-- @raise for a topic that is no string, a wrong or unknown option
function topics.subscribe(ws, topic, options)
  check_ws(ws, "subscribe")
  check_topic(topic, "subscribe")
  local context = ws.context
  local pubsub = pubsub_of(context)
  if options == nil then return entry.within(context, pubsub.subscribe, pubsub, ws, topic) end
  options = options_of(OF_SUBSCRIBE, options, 2, "subscribe")
  return entry.within(context, pubsub.subscribe_by, pubsub, ws, topic, options)
end

--- Takes the connection out of a topic.
-- @function websocket:unsubscribe
-- @tparam table ws
-- @tparam string topic
-- @treturn boolean whether it was subscribed
-- @raise for a topic that is no string
function topics.unsubscribe(ws, topic)
  check_ws(ws, "unsubscribe")
  check_topic(topic, "unsubscribe")
  local context = ws.context
  if not context.pubsub then return false end
  return entry.within(context, context.pubsub.unsubscribe, context.pubsub, ws, topic)
end

--- Lists the topics that the connection is subscribed to.
-- @function websocket:topics
-- @tparam table ws
-- @treturn {string,...} in no order
function topics.topics(ws)
  check_ws(ws, "topics")
  local pubsub = ws.context.pubsub
  return pubsub and pubsub:topics(ws) or {}
end

--- Publishes a message to the subscribers of a topic, but not to this connection. It need not be subscribed.
-- @function websocket:publish
-- @tparam table ws
-- @tparam string topic
-- @tparam string|number data the payload; text must be UTF-8
-- @tparam[opt=WRITE_TEXT] integer kind `WRITE_TEXT` or `WRITE_BINARY`
-- @tparam[opt] table options `key`, `on_stored`: as for `context:publish`
-- @treturn[1] boolean true, also where nothing is subscribed
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `utf8`, `limit` (`max_topic_bytes`), `too_big`; of a topic with a history `unavailable`: its back
-- plane cannot be reached, `full`: the back plane is too slow
-- @raise for a wrong argument or option; `websocket context destroyed`
function topics.publish_others(ws, topic, data, kind, options)
  check_ws(ws, "publish")
  check_topic(topic, "publish")
  if ws.context.destroyed then error("websocket context destroyed", 2) end
  local opcode, payload = opcode_of(kind, "publish"), payload_of(data, "publish")
  options = options_of(OF_PUBLISH_OTHERS, options, 4, "publish")
  return publish(ws.context, topic, opcode, payload, ws, options)
end

--- Publishes a message to the subscribers of a topic.
-- @function context:publish
-- @tparam table context
-- @tparam string topic
-- @tparam string|number data the payload; text must be UTF-8
-- @tparam[opt=WRITE_TEXT] integer kind `WRITE_TEXT` or `WRITE_BINARY`
-- @tparam[opt] table options `except`: a connection that does not get it; `key`: a string, where the topic has the
-- policy `conflate` the message takes the place of one with the same key that still waits; `on_stored(id)` is called
-- once the message is kept in the history of the topic, or `on_stored(nil, message, code)` where it is not
-- @treturn[1] boolean true, also where nothing is subscribed
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `utf8`, `limit` (`max_topic_bytes`), `too_big`; of a topic with a history `unavailable`: its back
-- plane cannot be reached, `full`: the back plane is too slow
-- @raise for a wrong argument or option; `websocket context destroyed`
function topics.publish(context, topic, data, kind, options)
  check_context(context, "publish")
  check_topic(topic, "publish")
  local opcode, payload = opcode_of(kind, "publish"), payload_of(data, "publish")
  options = options_of(OF_PUBLISH, options, 4, "publish")
  return publish(context, topic, opcode, payload, options.except, options)
end

--- Tells how many connections of this context are subscribed to a topic.
-- @function context:subscribers
-- @tparam table context
-- @tparam string topic
-- @treturn integer
-- @raise for a topic that is no string; `websocket context destroyed`
function topics.subscribers(context, topic)
  check_context(context, "subscribers")
  check_topic(topic, "subscribers")
  return context.pubsub and context.pubsub:subscribers(topic) or 0
end

--- Lists the names that are present in a topic: those that connections, of all processes, have subscribed with.
-- @function context:presence
-- @tparam table context
-- @tparam string topic
-- @treturn {string,...} each once, sorted; of a topic without subscribers in this process the first call knows nothing
-- yet of those in other processes
-- @raise for a topic that is no string; `websocket context destroyed`
function topics.presence(context, topic)
  check_context(context, "presence")
  check_topic(topic, "presence")
  local pubsub = pubsub_of(context)
  return entry.within(context, pubsub.present, pubsub, topic)
end

--- Tells how many messages were dropped because their receivers do not read fast enough.
-- @function context:dropped
-- @tparam table context
-- @tparam[opt] string topic only those of this topic, since it has subscribers; else all since the context was made,
-- broadcasts and written messages too
-- @treturn integer
-- @raise for a topic that is no string; `websocket context destroyed`
function topics.dropped(context, topic)
  check_context(context, "dropped")
  if topic == nil then return context.agenda.drops.total end
  check_topic(topic, "dropped")
  return context.pubsub and context.pubsub:dropped(topic) or 0
end

require("websockets.loading").interpret(options_of)

return topics
