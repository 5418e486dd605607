--- The back plane of a context that shares its topics with other processes, over a carrier of bytes.
--
-- What is published goes to the subscribers of this process at once, and with the carrier to those of the others; what
-- comes back of it is left out. It has the functions of `websockets.pubsub.in_process`.
-- @module websockets.pubsub.shared
local errors = require("websockets.errors")
local incoming = require("websockets.pubsub.incoming")
local load = require("websockets.loading").load
local message = require("websockets.pubsub.message")
local recount = require("websockets.pubsub.recount")

local shared = {}
shared.__index = shared

local ORIGIN_BYTES, CAST = incoming.ORIGIN_BYTES, incoming.CAST

-- What channels of topics and of broadcasts begin with, after the prefix; the channel of all processes.
local TOPIC, BROADCAST, ALL = "t:", "b:", "p:"

--- Makes a back plane.
-- @tparam table context
-- @tparam table carrier as `websockets.pubsub.redis.carrier`
-- @tparam table settings `prefix`, `broadcast`
-- @tparam string origin 12 bytes that no other process has
-- @treturn shared
function shared.new(context, carrier, settings, origin)
  return setmetatable({
    context = context, carrier = carrier, receiver = false, origin = origin,
    topic_prefix = settings.prefix .. TOPIC, broadcast_prefix = settings.prefix .. BROADCAST,
    carries_broadcasts = settings.broadcast,
    -- The channels of topics with subscribers -> their names, and how often each is in use; those of broadcasts ->
    -- groups.
    names = {}, uses = {}, groups = {},
    -- Histories of topics, where the carrier can keep them.
    store = false,
    -- Where names are told, see `websockets.pubsub.presence`; what takes them, once there is one.
    all_channel = settings.prefix .. ALL, presence = false, presence_seconds = settings.presence_timeout,
    -- Whether the carrier can be reached, how often it was lost, and how many messages it was given that the server
    -- refused; one of the application's does not tell.
    is_up = false, losses = 0, refusals = 0,
  }, shared)
end

local function channel_of(self, name) return self.topic_prefix .. message.tag(name) end

-- Sends the broadcasts of a group through the carrier, too. The group without subprotocol has no name.
local function carry(self, group)
  local channel = self.broadcast_prefix .. (group.name or "")
  self.groups[channel], group.plane = group, self
  self.carrier:subscribe(channel)
end

--- Makes the back plane that the option of a context describes.
-- @tparam table context
-- @tparam table settings of `websockets.options.backplane`
-- @treturn shared
-- @raise where the system has no random bytes
function shared.of(context, settings)
  local random = context.engine.random(ORIGIN_BYTES / 4 * 3)
  if not random then error("websocket could not create context: the system gives no random bytes", 0) end
  local carrier
  if settings.own then
    carrier = load("websockets.pubsub.own_carrier").new(context, settings.own)
  else
    carrier = load("websockets.pubsub.redis.carrier").new(context, settings)
  end
  local self = shared.new(context, carrier, settings, context.engine.base64(random))
  if not settings.own then
    self.store = load("websockets.pubsub.redis.streams").new(context, self, settings.prefix)
  end
  return self
end

--- Begins, within a turn.
-- @tparam table receiver `deliver(receiver, name, opcode, data, except)`
function shared:open(receiver)
  self.receiver = receiver
  if self.store then self.store.receiver = receiver end
  self.carrier:open(self)
  if not self.carries_broadcasts then return end
  for _, group in pairs(self.context.groups) do carry(self, group) end
  carry(self, self.context.anonymous)
end

--- Gives the channel of a topic.
-- @function shared:channel_of
-- @tparam string name
-- @treturn string
shared.channel_of = channel_of

--- Publishes a message in every process.
-- @tparam string name the topic
-- @tparam integer opcode 1 or 2
-- @tparam string data
-- @tparam ?table except connection that does not get it
-- @tparam ?string key for `conflate`
-- @treturn[1] boolean true: the subscribers of this process have it; the others get it where the carrier can be reached
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `too_big`
function shared:publish(name, opcode, data, except, key)
  local bytes = self.origin .. message.head(opcode, key) .. data
  local _, why, code = self.carrier:publish(channel_of(self, name), bytes)
  if code == "too_big" then return nil, why, code end
  self.receiver:deliver(name, opcode, data, except, key)
  return true
end

--- Sends a broadcast to the group in the other processes.
-- @tparam group group
-- @tparam string data
function shared:broadcast(group, data)
  self.carrier:publish(self.broadcast_prefix .. (group.name or ""), self.origin .. CAST .. data)
end

local function begin(self, channel, name, keep)
  -- What may find no memory first: a channel has a name once it is asked for.
  self.names[channel] = false
  if keep then self.store:watch(name, keep) end
  self.carrier:subscribe(channel)
  self.names[channel] = name
end

--- A topic has its first subscriber in this process, or a connection that joins it.
-- @tparam string name
function shared:retain(name)
  local channel, keep = channel_of(self, name), nil
  -- The application's function may have the channel used before it returns.
  if self.store and (self.uses[channel] or 0) == 0 then keep = self.receiver:history_of(name) end
  local uses = self.uses[channel] or 0
  -- First what may find no memory: what is not counted is done again.
  self.uses[channel] = uses
  if uses == 0 then begin(self, channel, name, keep) end
  self.uses[channel] = uses + 1
end

--- Takes back what `retain` did.
-- @tparam string name
function shared:release(name)
  local channel = channel_of(self, name)
  local uses = (self.uses[channel] or 0) - 1
  self.uses[channel] = uses > 0 and uses or nil
  if uses <= 0 then self:give_up(channel, name) end
end

--- A channel is not in use any more.
-- @tparam string channel
-- @tparam string|boolean name of its topic; false where it was not asked for to the end
function shared:give_up(channel, name)
  -- First what may find no memory: a channel with a name is given up again by `repair`.
  self.carrier:unsubscribe(channel)
  self.names[channel] = nil
  if not name then return end
  if self.store then self.store:unwatch(name) end
  if self.presence then self.presence:forget(name) end
end

--- Counts anew after an error that may have come between any two steps.
-- @tparam table topics name -> those with subscribers
function shared:repair(topics) recount.run(self, topics) end

--- A topic has its first subscriber in this process.
-- @tparam string name
function shared:subscribe(name)
  local store = self.store
  local keep = store and self.receiver:history_of(name)
  if keep and self.uses[channel_of(self, name)] then store:watch_late(name, keep) end
  self:retain(name)
  if not keep then return end
  local is_good, err = pcall(store.begin, store, name)
  if is_good then return end
  self:release(name)
  error(err, 0)
end

--- A topic has no subscriber in this process any more.
-- @function shared:unsubscribe
-- @tparam string name
shared.unsubscribe = shared.release

--- A connection has left a topic, and is no longer present there.
-- @tparam table ws
-- @tparam string name
function shared:left(ws, name) self.presence:leave(ws, name) end

--- The end of a connection begins: it joins no topic any more.
-- @tparam table ws
function shared:forget(ws)
  if self.store then self.store:forget(ws) end
end

--- Tells whether messages of a topic come.
-- @tparam string name
-- @treturn boolean
function shared:hears(name)
  return self.carrier:hears(channel_of(self, name))
end

--- Tells the processes that are subscribed to a topic something.
-- @tparam string name
-- @tparam string bytes
-- @treturn ?boolean true, nil where the carrier does not take it
function shared:tell(name, bytes)
  return (self.carrier:publish(channel_of(self, name), self.origin .. bytes))
end

--- Asks for what processes tell to all, which `presence` gets.
function shared:listen() self.carrier:subscribe(self.all_channel) end

--- Tells all processes that listen something.
-- @tparam string bytes
function shared:tell_all(bytes) self.carrier:publish(self.all_channel, self.origin .. bytes) end

--- Takes a message from the carrier.
-- @function shared:message
-- @tparam string channel
-- @tparam string bytes
shared.message = incoming.take

--- The carrier can be reached, or more of it than before.
function shared:ready()
  self.is_up = self.carrier:is_ready()
  if self.store then self.store:ready() end
end

--- The carrier, or a part of it, cannot be reached any more.
-- @tparam ?table channels set of those that are lost; nil: all
function shared:lost(channels)
  if self.is_up then self.losses = self.losses + 1 end
  self.is_up = false
  if self.store and not channels then self.store:lost() end
  for channel in pairs(channels or {}) do self:unheard(channel) end
end

--- Nothing comes of a channel until it is confirmed anew.
-- @tparam string channel
function shared:unheard(channel)
  local name = self.names[channel]
  if name and self.store then self.store:unheard(name) end
end

--- The carrier has found that its server is a node of a cluster.
function shared:found_cluster()
  self.carrier = load("websockets.pubsub.redis.cluster").new(self.context, self.carrier, self)
  if self.store then self.store:give_up("the server has become a cluster", "unavailable") end
end

--- The server that the URL leads to now is alone.
function shared:left_cluster()
  self.carrier = self.carrier:hand_back()
  self:lost()
  if self.store then self.store:give_up("the server is no cluster any more", "unavailable") end
end

--- A channel is confirmed.
-- @tparam string channel
function shared:subscribed(channel)
  local name = self.names[channel]
  if name and self.store then self.store:subscribed(name) end
  if name and self.presence then self.presence:subscribed(name) end
end

--- The carrier refuses a channel: nothing comes over it.
-- @tparam string channel
-- @tparam string fault
function shared:refused(channel, fault)
  local name = self.names[channel]
  if name and self.store then self.store:refused(name, fault) end
end

--- The server has refused a message: other processes do not get it.
function shared:message_refused() self.refusals = self.refusals + 1 end

--- Reports what went wrong: to `on_error`, or to the log where there is none.
-- @tparam string what
function shared:report(what)
  local agenda, on_error = self.context.agenda, self.context.settings.on_error
  local text = "back plane: " .. errors.printable(what)
  if on_error then agenda:call(nil, on_error, text) else agenda:log("error", text) end
end

--- Ends.
function shared:close()
  if self.presence then self.presence:close() end
  if self.store then self.store:give_up("the context was destroyed", "destroyed") end
  self.carrier:close()
end

require("websockets.loading").interpret(shared.open, shared.lost)

return shared
