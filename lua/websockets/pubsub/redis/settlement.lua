--- Finds the channels of a cluster that are not at the node that has their slot, after an error that may have come
-- between any two steps: of a channel that moves, or of a new map of the cluster.
-- @module websockets.pubsub.redis.settlement
local settlement = {}

local function is_wanted(cluster, channel)
  local channels = cluster.wanted[cluster:slot_of(channel)]
  return channels and channels[channel] or false
end

-- What a node was to be asked for, and has no place there.
local function give_up_strays(cluster)
  for _, one in pairs(cluster.members) do
    for channel in pairs(one.carrier.wanted) do
      local is_right = is_wanted(cluster, channel) and cluster:carrier_of(channel) == one.carrier
      if not is_right then one.carrier:unsubscribe(channel) end
    end
  end
end

--- Notes each channel that no node was asked for, or the wrong one, as one that waits for its node.
-- @tparam cluster cluster
function settlement.note_homeless(cluster)
  give_up_strays(cluster)
  for channel in pairs(cluster.homeless) do
    if not is_wanted(cluster, channel) then cluster.homeless[channel] = nil end
  end
  for _, channels in pairs(cluster.wanted) do
    for channel in pairs(channels) do
      local one = cluster:carrier_of(channel)
      if not (one and one.wanted[channel]) then
        cluster.homeless[channel] = true
        cluster.receiver:unheard(channel)
      end
    end
  end
end

require("websockets.loading").interpret(give_up_strays, settlement.note_homeless)

return settlement
