--- Carries bytes between processes by the pub/sub of Redis or Valkey: at most once, in order for each publisher.
--
-- What is subscribed is asked for again after each loss of the connection, and changes of a turn go together. A node of
-- a cluster has a carrier of its own, with sharded pub/sub, which `websockets.pubsub.redis.cluster` makes.
-- @module websockets.pubsub.redis.carrier
local dialects = require("websockets.pubsub.redis.dialects")
local errors = require("websockets.errors")
local link = require("websockets.pubsub.redis.link")

local carrier = {}
carrier.__index = carrier

local BATCH_CHANNELS, SPLIT = 1000, 8
-- When is asked again for what could not be sent, because too much waited for the server.
local RETRY_SECONDS = 0.05
-- The length of a message; Redis itself ends a subscriber for which more than 32 MiB wait.
local MAX_BYTES = 16 * 1024 * 1024
-- The first version of Redis that has sharded pub/sub.
local SHARDED_VERSION = 7

--- The command that scripts publish by.
carrier.PUBLISH = "PUBLISH"

--- Makes a carrier.
-- @tparam table context
-- @tparam table settings `server` of `websockets.pubsub.redis.place`; `sharded`; and those of the link
-- @tparam ?table node the place of a node of a cluster: it is spoken to by sharded pub/sub
-- @treturn carrier
function carrier.new(context, settings, node)
  local self = setmetatable({
    context = context, settings = settings, receiver = false, link = false, is_lost = false, has_refused = false,
    is_sharded = node ~= nil, dialect = node and dialects.SHARDED or dialects.CLASSIC, is_seed = false,
    -- Channels that are wanted; those that this connection was asked for; those of which the two may differ; whether a
    -- batch waits for its confirmation.
    wanted = {}, held = {}, queue = { first = 1, last = 0 }, queued = {}, is_changing = false,
    -- How many are asked for at a time; whether a refusal of this connection was reported; whether it is not known
    -- what it was asked for.
    batch_channels = BATCH_CHANNELS, has_refused_channel = false, is_in_doubt = false,
    fire = carrier.flush, place = false,
  }, carrier)
  self.link = link.new(context, node or settings.server, settings, self)
  return self
end

--- Begins, within a turn.
-- @tparam table receiver `message(channel, bytes)`, `ready()`, `subscribed(channel)`, `refused(channel, fault)`,
-- `message_refused()`, `lost()`, `report(message)`; `found_cluster()`: `websockets.pubsub.redis.cluster` has to take
-- this carrier's place; `left_cluster()` after that: the server is alone, and this carrier has to get its channels and
-- receiver back; of a node: `moved(channel)`, which it has no more, and `redirected()`, another node has to be asked
function carrier:open(receiver)
  self.receiver = receiver
  self.link:open()
end

--- Tells whether the server can be reached.
-- @treturn boolean
function carrier:is_ready()
  return self.link.state == "ready"
end

--- Tells whether the server was asked for a channel: what is sent from now on comes after that.
-- @tparam string channel
-- @treturn boolean
function carrier:hears(channel)
  return self.held[channel] ~= nil and self:is_ready()
end

--- Tells whether histories can be kept there. The keys of a topic are in one node of a cluster, and with classic
-- pub/sub its messages come from any.
-- @treturn boolean
function carrier:may_keep() return not self.link.is_cluster end

--- Gives the slot of a channel: a server that is no cluster, or is used as if it were none, has none.
-- @treturn boolean false
function carrier.slot_of() return false end

--- Gives the connection that the histories of a slot go by.
-- @treturn ?link nil where it cannot be reached
function carrier:link_at() return self.link.state == "ready" and self.link or nil end

--- Says why a message cannot be sent while the server cannot be reached.
-- @tparam ?string bytes of the message, where they may be too many
-- @treturn nil
-- @treturn string message
-- @treturn string `too_big`, `unavailable`
function carrier.refuse(bytes)
  if bytes and #bytes > MAX_BYTES then
    return nil, ("a message has more than %d bytes"):format(MAX_BYTES), "too_big"
  end
  return nil, errors.WORDS.unavailable, "unavailable"
end

--- Says why a message cannot be sent while too much waits for the server.
-- @treturn nil
-- @treturn string message
-- @treturn string `full`
function carrier.refuse_full() return nil, "the back plane does not take messages fast enough", "full" end

--- Sends a message.
-- @tparam string channel
-- @tparam string bytes
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `too_big`, `unavailable`, `full`
function carrier:publish(channel, bytes)
  if #bytes > MAX_BYTES or self.link.state ~= "ready" then return carrier.refuse(bytes) end
  local command = self.dialect.head .. #channel .. "\r\n" .. channel .. "\r\n$" .. #bytes .. "\r\n" .. bytes .. "\r\n"
  if self.link:send(command, dialects.PUBLISHED) then return true end
  return carrier.refuse_full()
end

local function enqueue(self, channel)
  local queue = self.queue
  if self.queued[channel] then return end
  queue[queue.last + 1] = channel
  self.queued[channel] = true
  queue.last = queue.last + 1
end

--- Follows the dialect: all of a batch is confirmed.
function carrier:confirmed()
  self.is_changing, self.batch_channels = false, math.min(self.batch_channels * SPLIT, BATCH_CHANNELS)
end

--- Follows the dialect: none of these channels is confirmed. Of classic pub/sub, one that may not be subscribed has all
-- of a batch refused. So they are asked for again, less at a time; what is refused alone, with the next connection.
-- @tparam string kind of the command
-- @tparam {string,...} channels
-- @tparam string fault
function carrier:refused(kind, channels, fault)
  if not self.has_refused_channel then
    self.has_refused_channel = true
    self.receiver:report(("%s was refused: %s"):format(kind, fault))
  end
  for _, channel in ipairs(channels) do self.held[channel] = nil end
  if kind ~= self.dialect.subscribe then return end
  if #channels == 1 then return self.receiver:refused(channels[1], fault) end
  self.batch_channels = math.ceil(#channels / SPLIT)
  for _, channel in ipairs(channels) do enqueue(self, channel) end
end

-- The next batch of channels of which what is wanted and what was asked for differ in the same way.
local function next_batch(self)
  local queue, batch, kind, dialect = self.queue, {}, nil, self.dialect
  while queue.first <= queue.last and #batch < self.batch_channels do
    local channel = queue[queue.first]
    local wants = self.wanted[channel]
    local needed = wants ~= self.held[channel] and (wants and dialect.subscribe or dialect.unsubscribe)
    if needed and needed ~= (kind or needed) then break end
    queue[queue.first], queue.first, self.queued[channel] = nil, queue.first + 1, nil
    -- What is asked from here on comes after what the server was told.
    if wants and not needed then self.receiver:subscribed(channel) end
    if needed then
      kind = needed
      batch[#batch + 1] = channel
      self.held[channel] = wants
    end
  end
  if queue.first > queue.last then
    self.queue, self.queued, self.batch_channels = { first = 1, last = 0 }, {}, BATCH_CHANNELS
  end
  return batch, kind
end

local function ask(self)
  local batch, kind = next_batch(self)
  if not kind then return end
  self.dialect.send(self, kind, batch)
  if self.is_changing then return end
  for _, channel in ipairs(batch) do
    self.held[channel] = kind == self.dialect.unsubscribe or nil
    enqueue(self, channel)
  end
  self.context.timers:plan(self, self.context.now + RETRY_SECONDS)
end

--- Asks for what has changed; one batch follows when the one before is confirmed.
function carrier:flush()
  self.context.timers:unplan(self)
  if self.is_changing or self.link.state ~= "ready" then return end
  local is_good, err = pcall(ask, self)
  if is_good then return end
  -- Memory was refused, and it is not known what was sent. Over a new connection everything is asked for again.
  self.is_in_doubt = true
  self.link:renew()
  error(err, 0)
end

--- Plans `flush` for the next turn: a channel may change while a connection ends.
function carrier:plan()
  if not self.place and not self.is_changing and self.link.state == "ready" and self.queue.last > 0 then
    self.context.timers:plan(self, self.context.now)
  end
end

local function change(self, channel, is_wanted)
  enqueue(self, channel)
  self.wanted[channel] = is_wanted
  self:plan()
end

--- Asks for the messages of a channel.
-- @tparam string channel
function carrier:subscribe(channel) change(self, channel, true) end

--- Gives up the messages of a channel.
-- @tparam string channel
function carrier:unsubscribe(channel) change(self, channel, nil) end

--- Asks for all that is wanted and was not asked for, and gives up what is not wanted, after an error.
function carrier:repair()
  self.link:repair()
  if self.is_in_doubt and self:is_ready() then return self.link:renew() end
  for _, channels in ipairs({ self.wanted, self.held }) do
    for channel in pairs(channels) do
      if self.wanted[channel] ~= self.held[channel] then enqueue(self, channel) end
    end
  end
  self:plan()
end

--- Follows the link: the server can be reached, and nothing is subscribed there.
function carrier:ready()
  self.is_lost, self.has_refused, self.has_refused_channel = false, false, false
  self.held, self.is_in_doubt = {}, false
  local has_shards = self.link.is_cluster and self.settings.sharded and self.link.version >= SHARDED_VERSION
  if has_shards and not (self.is_sharded or self.is_seed) then return self.receiver:found_cluster() end
  -- The URL leads to another server than before.
  if self.is_seed and not has_shards then self.receiver:left_cluster() end
  for channel in pairs(self.wanted) do enqueue(self, channel) end
  -- First: what the application's function does may be sent only after what waits.
  self.receiver:ready()
  self:flush()
  if not (self.is_sharded or self.is_seed) then self.context.agenda:log("info", "back plane: connected") end
end

--- Follows the link: the connection is lost. The first of several failures in a row is reported, the others go to the
-- log.
-- @tparam string message
-- @tparam string code
-- @tparam number seconds until the next try
function carrier:lost(message, code, seconds)
  self.is_changing = false
  self.context.timers:unplan(self)
  self.receiver:lost()
  local text = ("%s (%s); the next try is in %.1f s"):format(message, code, seconds)
  if self.is_lost then return self.context.agenda:log("warning", "back plane: " .. text) end
  self.is_lost = true
  self.receiver:report(text)
end

--- Follows the link: a message has come.
-- @tparam string channel
-- @tparam string bytes
function carrier:message(channel, bytes)
  if self.wanted[channel] then self.receiver:message(channel, bytes) end
end

--- A node has lost the slot of a channel, or never had it.
-- @tparam string channel
function carrier:lose(channel)
  self.held[channel] = nil
  if not self.wanted[channel] then return end
  self.wanted[channel] = nil
  self.receiver:moved(channel)
end

--- Follows the link: something is confirmed.
-- @tparam table list
function carrier:push(list)
  local kind, channel = list[1], list[2]
  if kind == self.dialect.subscribe then
    if self.wanted[channel] then self.receiver:subscribed(channel) end
  elseif self.is_sharded and kind == self.dialect.unsubscribe and self.held[channel] then
    -- It was not asked for: the slot has moved.
    self:lose(channel)
  end
  if not self.is_changing then self:plan() end
end

--- Ends.
function carrier:close()
  self.context.timers:unplan(self)
  self.link:close()
end

require("websockets.loading").interpret(carrier.repair, carrier.ready)

return carrier
