--- The sockets that a connection connects beside its own, in the order in which they were begun.
-- @module websockets.client.attempts
local connection = require("websockets.connection.connection")
local descriptor = require("websockets.connection.descriptor")

local attempts = {}
attempts.__index = attempts

-- Beside the connection's own.
local MAX_ATTEMPTS = 7

--- Makes an empty list.
-- @treturn attempts
function attempts.new()
  return setmetatable({}, attempts)
end

--- Tells whether another one may be begun.
-- @treturn boolean
function attempts:has_room()
  return #self < MAX_ATTEMPTS
end

--- Names the oldest.
-- @treturn ?table attempt
function attempts:first()
  return self[1]
end

--- Adds a socket that connects.
-- @tparam table ws
-- @tparam table|userdata transport or wire
function attempts:add(ws, transport)
  -- First, so that whatever ends the connection closes it.
  local attempt = { transport = transport, fd = transport:getfd(), asks_for_output = false }
  self[#self + 1] = attempt
  descriptor.add(ws, attempt)
end

-- No callback of an outside loop finds what is being taken out.
local function take_out(self, ws, at)
  local attempt = table.remove(self, at)
  descriptor.remove(ws, attempt)
  return attempt.transport
end

--- Looks for one that is connected; closes those that cannot be.
-- @tparam table ws
-- @treturn ?table attempt
-- @treturn ?string why the last of those that were closed could not be connected
function attempts:look(ws)
  local at, last_why = 1, nil
  -- A callback of an outside loop may end the connection, which closes them all.
  while self[at] do
    local is_connected, why = self[at].transport:connected()
    if is_connected then return self[at], last_why end
    if why then
      last_why = why
      take_out(self, ws, at):close()
    else
      at = at + 1
    end
  end
  return nil, last_why
end

--- Makes one of them the connection's own socket, in place of the one that it has.
-- @tparam table ws
-- @tparam table attempt
function attempts:move(ws, attempt)
  for at = #self, 1, -1 do
    if self[at] == attempt then
      local transport = take_out(self, ws, at)
      return connection.replace(ws, transport, attempt.fd)
    end
  end
end

--- Closes all of them.
-- @tparam table ws
function attempts:close(ws)
  while self[1] do take_out(self, ws, #self):close() end
end

return attempts
