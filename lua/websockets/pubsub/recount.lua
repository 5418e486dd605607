--- Brings a back plane to what is there, after an error that may have come between any two of its steps: memory that
-- was refused, or a hook that raised. It looks at all topics, which nothing else does.
-- @module websockets.pubsub.recount
local mending = require("websockets.pubsub.redis.mending")

local recount = {}

-- The topics that presence follows although they have no subscriber.
local function add_followed(presence, counts)
  for _, followed in ipairs({ presence.young, presence.old }) do
    for name, is_retained in pairs(followed) do
      if is_retained then counts[name] = (counts[name] or 0) + 1 end
    end
  end
end

-- Name -> how often its channel is in use: by subscribers, by connections that join, by presence.
local function count_uses(plane, topics)
  local counts = {}
  for name in pairs(topics) do counts[name] = 1 end
  if plane.store then mending.add_uses(plane.store, counts) end
  if plane.presence then add_followed(plane.presence, counts) end
  return counts
end

--- Counts what is in use anew, gives up what is not, and asks for what is.
-- @tparam shared plane
-- @tparam table topics name -> those with subscribers
function recount.run(plane, topics)
  -- Where the error came while that was told.
  if plane.store and not plane.carrier:is_ready() then plane:lost() end
  local counts, known, unused = count_uses(plane, topics), {}, {}
  for channel, name in pairs(plane.names) do
    -- False: an error came while it was asked for.
    if name and counts[name] then
      plane.uses[channel], known[name] = counts[name], true
    else
      plane.uses[channel], unused[#unused + 1] = nil, channel
    end
  end
  for _, channel in ipairs(unused) do plane:give_up(channel, plane.names[channel]) end
  for channel in pairs(plane.uses) do
    if not plane.names[channel] then plane.uses[channel] = nil end
  end
  for name, count in pairs(counts) do
    for _ = 1, known[name] and 0 or count do plane:retain(name) end
  end
  plane.carrier:repair()
  if plane.store then mending.resume(plane.store, plane, counts) end
end

require("websockets.loading").interpret()

return recount
