--- Carries bytes between processes by the sharded pub/sub of a Redis cluster.
--
-- There is a carrier for each master, and each channel is at the node that has its slot. Which node has it is asked
-- again when a node is lost, and when a node says that it does not have a slot.
--
-- It has the functions of `websockets.pubsub.redis.carrier`.
-- @module websockets.pubsub.redis.cluster
local carrier = require("websockets.pubsub.redis.carrier")
local member = require("websockets.pubsub.redis.member")
local settlement = require("websockets.pubsub.redis.settlement")
local slots = require("websockets.pubsub.redis.slots")
local topology = require("websockets.pubsub.redis.topology")

local cluster = {}
cluster.__index = cluster

--- The command that scripts publish by.
cluster.PUBLISH = "SPUBLISH"

-- Slots of channels are remembered for so many.
local MAX_REMEMBERED = 10000

local function add_member(self, name, place)
  local made = member.new(self, place)
  self.members[name] = made
  made.carrier:open(made)
end

--- What the first connection tells, which goes to the server of the URL and has no channels.
local seed = {}
seed.__index = seed

function seed:ready() self.cluster:refresh(self.cluster.seed.link) end

function seed:left_cluster() self.cluster.receiver:left_cluster() end

function seed.lost() end

-- Nothing depends on it once the nodes are known.
function seed:report(what)
  local it = self.cluster
  if next(it.members) then it.context.agenda:log("warning", "back plane: " .. what) else it.receiver:report(what) end
end

-- The carrier is left as it is until nothing more can fail: after an error it finds the cluster anew.
local function take_over(self, first)
  local wanted, events = {}, setmetatable({ cluster = self }, seed)
  for channel in pairs(first.wanted) do self:subscribe(channel) end
  self:refresh(first.link)
  first.wanted, first.receiver, first.is_seed = wanted, events, true
end

--- Takes the place of a carrier that has found a cluster, with the channels that it has.
-- @tparam table context
-- @tparam carrier first
-- @tparam table receiver of that carrier; with `lost(channels)` and `unheard(channel)`, for channels that move
-- @treturn cluster
function cluster.new(context, first, receiver)
  local self = setmetatable({
    context = context, seed = first, settings = first.settings, receiver = receiver, topology = false,
    was_ready = false,
    -- Name of a node -> member.
    members = {},
    -- Slot -> set of the channels that are wanted; channels that no node was asked for.
    wanted = {}, homeless = {},
    -- The slots of channels, some of them.
    remembered = {}, remembered_count = 0,
  }, cluster)
  self.topology = topology.new(context, self)
  local is_good, err = pcall(take_over, self, first)
  if is_good then return self end
  self.topology:close()
  error(err, 0)
end

--- Tells whether all nodes can be reached.
-- @treturn boolean
function cluster:is_ready()
  for _, one in pairs(self.members) do
    if not one.carrier:is_ready() then return false end
  end
  return next(self.members) ~= nil
end

--- Tells that histories can be kept.
-- @treturn boolean true
function cluster.may_keep() return true end

--- Gives the slot of a channel.
-- @tparam string channel
-- @treturn integer
function cluster:slot_of(channel)
  local slot = self.remembered[channel]
  if slot then return slot end
  slot = slots.of(channel)
  if self.remembered_count == MAX_REMEMBERED then self.remembered, self.remembered_count = {}, 0 end
  self.remembered[channel], self.remembered_count = slot, self.remembered_count + 1
  return slot
end

-- The carrier of the node that has a slot; nil where that is not known.
local function carrier_at(self, slot)
  local one = self.members[self.topology.owners[slot]]
  return one and one.carrier
end

--- Gives the connection that the histories of a slot go by.
-- @tparam integer slot
-- @treturn ?link nil where it cannot be reached
function cluster:link_at(slot)
  local one = carrier_at(self, slot)
  return one and one:link_at()
end

--- Gives the connection to the node that an error names.
-- @tparam string fault
-- @tparam link its_link by which it has come
-- @treturn ?link nil where the error names none that can be reached
function cluster:link_for(fault, its_link)
  local place = slots.asked_for(fault, its_link.server)
  local one = place and self.members[place.authority]
  return one and one.carrier:link_at()
end

--- Gives the carrier of the node that has the slot of a channel.
-- @tparam string channel
-- @treturn ?carrier nil where that is not known
function cluster:carrier_of(channel) return carrier_at(self, self:slot_of(channel)) end

--- Tells whether a node was asked for a channel: what is sent from now on comes after that.
-- @tparam string channel
-- @treturn boolean
function cluster:hears(channel)
  local one = self:carrier_of(channel)
  return one ~= nil and one:hears(channel)
end

--- Sends a message.
-- @tparam string channel
-- @tparam string bytes
-- @return as the function of the carrier
function cluster:publish(channel, bytes)
  local one = self:carrier_of(channel)
  if not one then return carrier.refuse(bytes) end
  return one:publish(channel, bytes)
end

-- A wanted channel goes to the node that has its slot, or waits until there is one.
local function settle(self, channel)
  local one = self:carrier_of(channel)
  if not one then
    self.homeless[channel] = true
    return self:refresh()
  end
  -- First: where memory is refused, the channel still waits.
  one:subscribe(channel)
  self.homeless[channel] = nil
end

--- Asks for the messages of a channel.
-- @tparam string channel
function cluster:subscribe(channel)
  local slot = self:slot_of(channel)
  local channels = self.wanted[slot] or {}
  self.wanted[slot], channels[channel] = channels, true
  settle(self, channel)
end

--- Gives up the messages of a channel.
-- @tparam string channel
function cluster:unsubscribe(channel)
  local slot = self:slot_of(channel)
  local channels, one = self.wanted[slot], carrier_at(self, slot)
  if channels then
    channels[channel] = nil
    if not next(channels) then self.wanted[slot] = nil end
  end
  if one and not self.homeless[channel] then one:unsubscribe(channel) end
  self.homeless[channel] = nil
end

--- A node does not have a channel any more.
-- @tparam string channel
-- @tparam link its_link to that node, which knows of it
function cluster:moved(channel, its_link)
  self.homeless[channel] = true
  self.receiver:unheard(channel)
  self:refresh(its_link)
end

--- Follows the topology: a slot has another node than before, or none.
-- @tparam integer slot
-- @tparam ?string old name of the node that had it
function cluster:slot_moved(slot, old)
  local channels, one = self.wanted[slot], self.members[old]
  if not channels then return end
  for channel in pairs(channels) do
    if not self.homeless[channel] then
      if one then one.carrier:unsubscribe(channel) end
      self.homeless[channel] = true
      self.receiver:unheard(channel)
    end
  end
end

local function settle_all(self)
  for channel in pairs(self.homeless) do settle(self, channel) end
end

--- Follows the topology: it is known anew.
-- @tparam table places name of a node -> its place
function cluster:charted(places)
  for name, one in pairs(self.members) do
    if not places[name] then
      one.carrier:close()
      self.members[name] = nil
    end
  end
  for name, place in pairs(places) do
    if not self.members[name] then add_member(self, name, place) end
  end
  settle_all(self)
  self:member_ready()
end

--- Follows the topology: it cannot be read.
-- @tparam string what
function cluster:report(what) self.receiver:report(what) end

--- A node can be reached, or another one has a slot: what waited may go on.
function cluster:member_ready()
  self.receiver:ready()
  local is_ready = self:is_ready()
  if is_ready and not self.was_ready then self.context.agenda:log("info", "back plane: connected") end
  self.was_ready = is_ready
end

--- Gives the topology a connection to ask by.
-- @treturn ?link nil where no node can be reached
function cluster:any_link()
  if self.seed:is_ready() then return self.seed.link end
  for _, one in pairs(self.members) do
    if one.carrier:is_ready() then return one.carrier.link end
  end
end

--- Asks for the slots again, not too often.
-- @tparam ?link its_link to a node that may know more than others
function cluster:refresh(its_link) self.topology:refresh(its_link) end

-- A node refers to another one. The carrier of a server alone has no function for that.
cluster.redirected = cluster.refresh

--- Asks each node for what is wanted there, after an error, and for the slots.
function cluster:repair()
  settlement.note_homeless(self)
  settle_all(self)
  self.seed:repair()
  for _, one in pairs(self.members) do one.carrier:repair() end
  self:refresh()
end

local function close_members(self)
  self.topology:close()
  for _, one in pairs(self.members) do one.carrier:close() end
end

--- Ends, and gives the carrier whose place it took what that has had, and the channels of now.
-- @treturn carrier
function cluster:hand_back()
  local first, wanted = self.seed, {}
  for _, channels in pairs(self.wanted) do
    for channel in pairs(channels) do wanted[channel] = true end
  end
  close_members(self)
  first.wanted, first.receiver, first.is_seed = wanted, self.receiver, false
  return first
end

--- Ends.
function cluster:close()
  close_members(self)
  self.seed:close()
end

require("websockets.loading").interpret(seed.report, take_over, cluster.is_ready, cluster.unsubscribe,
  cluster.slot_moved, settle_all, cluster.charted, cluster.any_link, cluster.repair, close_members, cluster.hand_back)

return cluster
