--- Addresses of sockets, as a library of sockets tells them.
-- @module websockets.transport.address
local address = {}

local floor = math.floor

--- Gives an address as users see it.
-- @tparam ?string|boolean ip
-- @tparam ?string|number port
-- @treturn string IP address, without the prefix of an IPv4 address inside IPv6; "" when unknown
-- @treturn integer port, 0 when unknown
function address.shown(ip, port)
  if not ip then return "", 0 end
  return (ip:gsub("^::[fF][fF][fF][fF]:", "")), floor(tonumber(port) or 0)
end

--- Tells whether a socket is connected to itself. Where no program listens at a port from which the system takes those
-- of clients, it may choose that very port.
-- @tparam string ip of the peer
-- @tparam string|number port
-- @tparam string own_ip
-- @tparam string|number own_port LuaSocket gives one port as a number, the other as a string
-- @treturn boolean
function address.is_same(ip, port, own_ip, own_port)
  return ip == own_ip and tonumber(port) == tonumber(own_port)
end

return address
