--- The servers of the API of 2.x by name; each is loaded when it is first used.
-- @module websocket.server
return setmetatable({}, {
  __index = function(servers, name)
    local made = require(("websocket.server_%s"):format(tostring(name)))
    servers[name] = made
    return made
  end,
})
