--- Carries bytes between processes by an object of the application: NATS, Kafka, or what there is.
-- @module websockets.pubsub.own_carrier
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local nested = require("websockets.pubsub.nested")

local own_carrier = {}
own_carrier.__index = own_carrier

local function call(self, name, ...)
  return self.context.agenda:call(nil, self.own[name], self.own, ...)
end

-- A channel may change while a connection ends, where no function of the application may run.
local function tell_changes(self)
  local timers, changes = self.context.timers, self.changes
  -- First: what an error keeps from being told is told in the next turn, and so is what is added meanwhile.
  timers:plan(self, self.context.now)
  for i = self.told + 1, #changes do
    local name, channel = changes[i][1], changes[i][2]
    local is_subscribed = name == "subscribe"
    -- It may be as it was, where an error has come between.
    local is_other = is_subscribed ~= (self.heard[channel] or false)
    self.heard[channel] = is_subscribed or nil
    self.told = i
    if is_other and call(self, name, channel) and is_subscribed then self.receiver:subscribed(channel) end
  end
  if self.told < #changes then return end
  self.changes, self.told = {}, 0
  timers:unplan(self)
end

--- Makes a carrier.
-- @tparam table context
-- @tparam table own `open(own, receive, context)`: begins; `receive(channel, bytes)` hands on a message, at any time.
-- `publish(own, channel, bytes)`, `subscribe(own, channel)`, `unsubscribe(own, channel)`, `close(own)`. What they raise
-- goes to `on_error`
-- @treturn own_carrier
function own_carrier.new(context, own)
  return setmetatable({
    context = context, own = own, receiver = false, is_closed = false,
    -- What is to be told, and how much of it has been; channels that are subscribed.
    changes = {}, told = 0, heard = {}, fire = tell_changes, place = false,
  }, own_carrier)
end

--- Begins, within a turn.
-- @tparam table receiver
function own_carrier:open(receiver)
  self.receiver = receiver
  local context = self.context
  call(self, "open", function(channel, bytes)
    if type(channel) ~= "string" then errors.argument(1, "receive", "string", channel) end
    if type(bytes) ~= "string" then errors.argument(2, "receive", "string", bytes) end
    if not self.is_closed then entry.within(context, receiver.message, receiver, channel, bytes) end
  end, context)
end

--- Tells whether messages of a channel come.
-- @tparam string channel
-- @treturn boolean
function own_carrier:hears(channel) return self.heard[channel] == true end

--- Sends a message.
-- @tparam string channel
-- @tparam string bytes
-- @treturn boolean true
function own_carrier:publish(channel, bytes)
  nested.call(self.context, "publish of the back plane", self.own.publish, self.own, channel, bytes)
  return true
end

local function change(self, name, channel)
  local changes = self.changes
  -- One step: half of a pair would have all that follow taken for something else.
  changes[#changes + 1] = { name, channel }
  if not self.place then self.context.timers:plan(self, self.context.now) end
end

--- Asks for the messages of a channel.
-- @tparam string channel
function own_carrier:subscribe(channel) change(self, "subscribe", channel) end

--- Gives up the messages of a channel.
-- @tparam string channel
function own_carrier:unsubscribe(channel) change(self, "unsubscribe", channel) end

--- What is to be told is told.
function own_carrier:repair()
  if self.told < #self.changes and not self.place then self.context.timers:plan(self, self.context.now) end
end

--- Ends.
function own_carrier:close()
  self.is_closed = true
  self.context.timers:unplan(self)
  call(self, "close")
end

return own_carrier
