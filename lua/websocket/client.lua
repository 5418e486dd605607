--- The clients of the API of 2.x by name; each is loaded when it is first used.
-- @module websocket.client
local ALIASES = { new = "sync" }

return setmetatable({}, {
  __index = function(clients, name)
    local made = require(("websocket.client_%s"):format(ALIASES[name] or tostring(name)))
    clients[name] = made
    return made
  end,
})
