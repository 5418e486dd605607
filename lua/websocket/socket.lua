--- What programs of 2.x find in the field `sock`: the calls of a LuaSocket object that do not move bytes, for a
-- connection that `websockets` serves.
-- @classmod websocket.socket
local socket = {}
socket.__index = socket

--- Makes one.
-- @tparam table ws connection of `websockets`
-- @tparam ?table peer `ip`, `port`, `family` where they are known
-- @treturn socket
function socket.new(ws, peer)
  return setmetatable({ ws = ws, known = peer or {}, timeout = nil, is_dirty = false }, socket)
end

--- Sets how long calls of the connection wait.
-- @tparam ?number seconds nil or below 0: without end
-- @treturn integer 1
function socket:settimeout(seconds)
  self.timeout = seconds and seconds >= 0 and seconds or nil
  return 1
end

--- Names the peer.
-- @treturn[1] string IP address
-- @treturn[1] ?integer port
-- @treturn[1] ?string family
-- @treturn[2] nil
-- @treturn[2] string `closed`
function socket:getpeername()
  local ip = self.known.ip or select(2, self.ws:get_peer_addresses())
  if not ip or ip == "" then return nil, "closed" end
  return ip, self.known.port, self.known.family
end

--- Names the descriptor.
-- @treturn integer -1 once it is closed
function socket:getfd() return self.ws:get_socket_fd() end

--- Tells `socket.select` whether a message is here that polling does not show.
-- @treturn boolean
function socket:dirty()
  local has_message = self.has_message
  return has_message ~= nil and has_message() or false
end

--- Accepts any option and does nothing: the library has set those that it needs.
-- @treturn integer 1
function socket.setoption() return 1 end

--- Ends the connection at once, without a close frame.
-- @treturn integer 1
function socket:close()
  self.ws:close(0)
  return 1
end

--- As `close`.
-- @function socket:shutdown
-- @treturn integer 1
socket.shutdown = socket.close

function socket:__tostring() return "tcp{client}: " .. tostring(self.ws):gsub("^websocket ", "") end

return socket
