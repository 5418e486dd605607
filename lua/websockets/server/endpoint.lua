--- Listening sockets: at one address, or everywhere.
-- @module websockets.server.endpoint
local luasocket = require("websockets.transport.luasocket")

local endpoint = {}

local BACKLOG = 4096

local function try_listen(make, address, port, dual)
  local socket, why = make()
  if not socket then return nil, why end
  socket:setoption("reuseaddr", true)
  -- Accepted sockets then send without Nagle's delay: on Linux for certain, and only those that connect from here on.
  socket:setoption("tcp-nodelay", true)
  if dual ~= nil then socket:setoption("ipv6-v6only", not dual) end
  local done
  done, why = socket:bind(address, port)
  if done then done, why = socket:listen(BACKLOG) end
  if done then return socket end
  socket:close()
  return nil, why
end

-- Dual-stack where the system has it.
local function listen_everywhere(sockets, port)
  local socket, why = try_listen(sockets.tcp6, "::", port, true)
  if socket or (why and why:find("in use", 1, true)) then return socket, why, "*" end
  socket, why = try_listen(sockets.tcp4, "0.0.0.0", port)
  return socket, why, "*"
end

local function resolve(interf, interface_address)
  if interf == "lo" then return "127.0.0.1" end
  if interf:find("^%d+%.%d+%.%d+%.%d+$") or interf:find(":", 1, true) then return interf end
  return interface_address and interface_address(interf)
end

--- Opens a listening socket.
-- @tparam ?string interf address or interface; nil: every address
-- @tparam integer port 0: any
-- @tparam ?function interface_address `interface_address(name)`
-- @treturn[1] userdata socket
-- @treturn[2] nil
-- @treturn[2] string why not
-- @treturn[2] string address that was tried
function endpoint.listen(interf, port, interface_address)
  local sockets = luasocket.library()
  if not interf then return listen_everywhere(sockets, port) end
  local address = resolve(interf, interface_address)
  if not address then return nil, "neither an IP address nor an interface that can be resolved here", interf end
  if address:find("^%d+%.%d+%.%d+%.%d+$") then
    local socket, why = try_listen(sockets.tcp4, address, port)
    return socket, why, address
  end
  local socket, why = try_listen(sockets.tcp6, address, port, false)
  return socket, why, "[" .. address .. "]"
end

return endpoint
