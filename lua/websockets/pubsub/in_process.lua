--- The back plane of a context that is alone: what is published goes to its own subscribers, at once.
--
-- A back plane carries messages to all processes that have subscribers. It is an object with these functions, none of
-- which waits or raises:
--
-- - `open(receiver)`: begins. `receiver:deliver(name, opcode, data, except, key)` hands a message to subscribers in
--   this process; it may be called at any time inside a turn.
-- - `publish(name, opcode, data, except, key)`: has the message delivered in every process, this one included, once.
--   `except` is a connection of this process that does not get it; `key` is for `conflate`. Returns true, or nil, a
--   message and a word of `websockets.errors`.
-- - `subscribe(name)`: the topic has its first subscriber in this process; `unsubscribe(name)`: it has none any more.
--   Both may be called while a connection ends: then a back plane can only note it for later.
-- - `left(ws, name)`: a connection has left a topic; it is called once `websockets.pubsub.presence` is there, which the
--   field `presence` has then. `forget(ws)`: the end of a connection begins, which may have been joining topics.
-- - `repair(topics)`: an error may have come between any two steps of a call; `topics` are those that have subscribers,
--   by name.
-- - `close()`: the context is being destroyed. Its connections end after that, and leave their topics.
--
-- One that carries broadcasts has itself in the field `plane` of each group, and `broadcast(group, data)`. Layers below
-- this one call no other functions, and read no fields.
-- @module websockets.pubsub.in_process
local in_process = {}
in_process.__index = in_process

--- Makes a back plane.
-- @treturn in_process
function in_process.new()
  return setmetatable({ receiver = false, presence = false }, in_process)
end

--- Begins.
-- @tparam table receiver
function in_process:open(receiver) self.receiver = receiver end

--- Delivers a message.
-- @tparam string name the topic
-- @tparam integer opcode 1 or 2
-- @tparam string data
-- @tparam ?table except connection that does not get it
-- @tparam string key for `conflate`
-- @treturn boolean true
function in_process:publish(name, opcode, data, except, key)
  self.receiver:deliver(name, opcode, data, except, key)
  return true
end

--- A topic has its first subscriber: nothing follows.
function in_process.subscribe() end

--- A topic has no subscriber any more: nothing follows.
function in_process.unsubscribe() end

--- A connection has left a topic, and is no longer present there.
-- @tparam table ws
-- @tparam string name
function in_process:left(ws, name) self.presence:leave(ws, name) end

--- The end of a connection begins: nothing follows, for none joins a topic for longer than a call.
function in_process.forget() end

--- Nothing is left half done.
function in_process.repair() end

--- Ends: nothing follows.
function in_process.close() end

return in_process
