--- Every connection of a context, one after the other, while others come and go.
-- @module websockets.connection.walk
local walk = {}

--- Goes through the connections by their descriptors. Between two steps any connection may end or begin; one that
-- begins meanwhile may be passed over. Nothing is copied: the system gives the lowest descriptor that is free, so that
-- few numbers have no connection.
-- @tparam table context
-- @treturn function gives the next connection that has a descriptor, in any state, and nil after the last
function walk.each(context)
  local owners, fd, last = context.owners, -1, -1
  for other in pairs(owners) do
    if other > last then last = other end
  end
  return function()
    while fd < last do
      fd = fd + 1
      local owner = owners[fd]
      -- A connection that connects to several addresses at once has several; what else is watched has no wire.
      if owner and owner.wire and owner.fd == fd then return owner end
    end
  end
end

require("websockets.loading").interpret(walk.each)

return walk
