--- Calls of LuaSec that receive. OpenSSL does not return from one while a peer goes on sending what it passes over, as
-- KeyUpdate: the accelerator then ends the connection.
-- @module websockets.transport.watched
local engine = require("websockets.engine.loader")

local watched = {}

local floor = math.floor
local watch = engine.choose().watch

local function ended(is_good, ...)
  watch(-1)
  if not is_good then error((...), 0) end
  return ...
end

--- Calls a method. Without the accelerator nothing is watched.
-- @tparam userdata socket LuaSec object
-- @tparam string method
-- @param ... its arguments
-- @return what it returns
-- @raise what it raises
function watched.call(socket, method, ...)
  if not watch then return socket[method](socket, ...) end
  watch(floor(socket:getfd()))
  return ended(pcall(socket[method], socket, ...))
end

return watched
