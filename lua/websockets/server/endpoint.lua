--- Listening sockets: at one address, everywhere, at a path, or from elsewhere.
-- @module websockets.server.endpoint
local flags = require("websockets.transport.flags")
local inherited = require("websockets.server.inherited")
local unix = require("websockets.server.unix")

local endpoint = {}

local BACKLOG = 4096

-- Dual-stack where the system has it.
local function listen_everywhere(sockets, port, shares)
  local socket, why = sockets.listen("tcp6", "::", port, BACKLOG, true, shares)
  if socket or (why and why:find("in use", 1, true)) then return socket, why, "*" end
  socket, why = sockets.listen("tcp4", "0.0.0.0", port, BACKLOG, nil, shares)
  return socket, why, "*"
end

local function resolve(interf, interface_address)
  if interf == "lo" then return "127.0.0.1" end
  if interf:find("^%d+%.%d+%.%d+%.%d+$") or interf:find(":", 1, true) then return interf end
  return interface_address and interface_address(interf)
end

--- Listens at an address.
-- @tparam table sockets the library, see `websockets.transport.sockets`
-- @tparam ?string interf address or interface; nil: every address
-- @tparam integer port 0: any
-- @tparam ?function interface_address `interface_address(name)`
-- @tparam[opt] boolean shares whether other processes may listen there too, if they do the same
-- @treturn[1] userdata|table socket
-- @treturn[2] nil
-- @treturn[2] string why not
-- @treturn[2] string address that was tried
function endpoint.listen(sockets, interf, port, interface_address, shares)
  if not interf then return listen_everywhere(sockets, port, shares) end
  local address = resolve(interf, interface_address)
  if not address then return nil, "neither an IP address nor an interface that can be resolved here", interf end
  if address:find("^%d+%.%d+%.%d+%.%d+$") then
    local socket, why = sockets.listen("tcp4", address, port, BACKLOG, nil, shares)
    return socket, why, address
  end
  local socket, why = sockets.listen("tcp6", address, port, BACKLOG, false, shares)
  return socket, why, "[" .. address .. "]"
end

--- Opens the listening socket that the settings of a context ask for.
-- @tparam table context
-- @treturn[1] userdata|table socket
-- @treturn[2] nil
-- @treturn[2] string why there is none
function endpoint.open(context)
  local settings = context.settings
  local socket, why, address
  if inherited.is_name(settings.socket) then return inherited.open(settings.socket) end
  if settings.socket then return settings.socket end
  if settings.unix then
    socket, why = unix.listen(context, settings.unix, settings.unix_mode)
    return socket, ("cannot listen on %s: %s"):format(settings.unix, tostring(why))
  end
  local port = settings.port == "any" and 0 or settings.port
  socket, why, address = endpoint.listen(context.sockets, settings.interf, port, context.engine.interface_address,
    settings.reuseport)
  return socket, ("cannot listen on %s:%s: %s"):format(tostring(address), tostring(port), tostring(why))
end

--- Sets the flags of a listening socket, and tells whether to accept from it may wait: LuaSocket's timeout does nothing
-- for a descriptor that another program has opened.
-- @tparam table context
-- @tparam userdata|table socket
-- @tparam integer fd its descriptor, -1 where it has none
-- @treturn boolean
function endpoint.may_wait(context, socket, fd)
  local given, set_flags = context.settings.socket, context.engine.set_flags
  -- Whether programs inherit the application's own is for the application to say.
  local closes_on_exec = given == nil or inherited.is_name(given)
  if flags.set(fd, given ~= nil, closes_on_exec, set_flags) or given == nil or given == "worker" then return false end
  if fd < 0 or type(socket) ~= "userdata" then return true end
  inherited.never_wait(fd)
  return false
end

return endpoint
