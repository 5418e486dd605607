--- A node of a Redis cluster that has slots: its carrier, and what that tells.
-- @module websockets.pubsub.redis.member
local carrier = require("websockets.pubsub.redis.carrier")

local member = {}
member.__index = member

--- Makes one that is not opened yet.
-- @tparam cluster cluster
-- @tparam table place of the node
-- @treturn member `carrier`
function member.new(cluster, place)
  return setmetatable({
    cluster = cluster, receiver = cluster.receiver, carrier = carrier.new(cluster.context, cluster.settings, place),
  }, member)
end

function member:ready()
  self.cluster.topology:reached()
  self.cluster:member_ready()
end

function member:lost()
  self.receiver:lost(self.carrier.wanted)
  self.cluster.was_ready = false
  self.cluster:refresh()
end

function member:message(channel, bytes) self.receiver:message(channel, bytes) end

function member:subscribed(channel) self.receiver:subscribed(channel) end

function member:refused(channel, fault) self.receiver:refused(channel, fault) end

function member:message_refused() self.receiver:message_refused() end

function member:report(what) self.receiver:report(what) end

function member:moved(channel) self.cluster:moved(channel, self.carrier.link) end

function member:redirected() self.cluster:refresh(self.carrier.link) end

return member
