--- Calls on a descriptor that belongs to an object without them: a LuaSocket object is lent the descriptor.
-- @module websockets.transport.lent
local luasocket = require("websockets.transport.luasocket")

local lent = {}

local object

-- Makes a LuaSocket client object without a descriptor.
local function new_object()
  local made = luasocket.library().tcp()
  made:settimeout(0)
  -- It fails before anything is sent, and makes the object one of a connection.
  made:connect("127.0.0.1", "no such port")
  made:close()
  return made
end

local function give_back(taker, is_good, ...)
  -- Else its collection would close the descriptor.
  taker:setfd(-1)
  -- What it has read ahead is not for the next one.
  if taker:dirty() then object = nil end
  if not is_good then return nil, (...) end
  return ...
end

--- Calls a method of LuaSocket's client objects. What the object would keep for a later call is lost.
-- @tparam number fd nothing is done below 0
-- @tparam string method
-- @param ... its arguments
-- @return what it returns; nil and why where it raises, as for an option that a kind of socket does not have
function lent.call(fd, method, ...)
  if fd < 0 then return nil, "closed" end
  object = object or new_object()
  object:setfd(fd)
  return give_back(object, pcall(object[method], object, ...))
end

return lent
