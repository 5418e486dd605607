--- Listening sockets that this process has been started with: from systemd, or from a launcher of workers.
-- @module websockets.server.inherited
local control = require("websockets.server.control")
local errors = require("websockets.errors")
local luasocket = require("websockets.transport.luasocket")

local inherited = {}

--- The first descriptor that is passed on.
inherited.FIRST_FD = 3

local BACKLOG = 4096

-- Lua has no function for this. systemd runs on Linux only.
local function own_pid()
  local file = io.open("/proc/self/stat")
  local pid = file and file:read("*n")
  if file then file:close() end
  return pid
end

-- Objects of LuaSocket that have given up their sockets stand for other descriptors.
local function stand_for(kind, fd)
  local socket, why = luasocket.make(kind)
  if not socket then return nil, why end
  socket:close()
  socket:setfd(fd)
  return socket
end

--- Makes a socket non-blocking that another program has opened; LuaSocket's timeout does nothing for it. LuaSocket does
-- that each time when it binds, also where the system refuses to, because the socket is bound already.
-- @tparam integer fd of a socket that listens
function inherited.never_wait(fd)
  local socket = stand_for("tcp4", fd)
  if not socket then return end
  socket:bind("127.0.0.1", 0)
  socket:setfd(-1)
end

-- A listening socket of any family; nil and why not.
local function open(fd, never_waits)
  local socket = stand_for("tcp4", fd)
  if not never_waits then inherited.never_wait(fd) end
  local _, port = socket:getsockname()
  if not tonumber(port) then
    socket:setfd(-1)
    local why
    socket, why = stand_for("unix", fd)
    if not socket then return nil, why end
  end
  local done, why = socket:listen(BACKLOG)
  if done then return socket end
  socket:setfd(-1)
  return nil, ("descriptor %d is no socket that can be listened on: %s"):format(fd, tostring(why))
end

-- The place of a name in a list with colons.
local function place_of(name, names)
  local place = 0
  for one in (names .. ":"):gmatch("([^:]*):") do
    if one == name then return place end
    place = place + 1
  end
end

-- See sd_listen_fds(3).
local function of_systemd(name)
  local given, pid = os.getenv("LISTEN_FDS"), os.getenv("LISTEN_PID")
  if not given then return nil, "systemd has passed no socket: LISTEN_FDS is not set" end
  local count = given:find("^%d+$") and tonumber(given) or 0
  if count < 1 then return nil, "systemd has passed no socket: LISTEN_FDS is " .. errors.describe(given) end
  if not pid or tonumber(pid) ~= own_pid() then
    local why = not pid and "not set" or tonumber(pid) and "not its own" or errors.describe(pid)
    return nil, "the sockets of systemd are for another process: LISTEN_PID is " .. why
  end
  local place = 0
  if name then
    local names = os.getenv("LISTEN_FDNAMES") or ""
    place = place_of(name, names)
    if not place or place >= count then
      return nil, ("systemd has passed no socket of the name '%s' (there are: %s)"):format(name, names)
    end
  elseif count > 1 then
    return nil, ('systemd has passed %d sockets: choose one by "systemd:NAME"'):format(count)
  end
  return open(inherited.FIRST_FD + place)
end

-- The launcher has made it non-blocking.
local function of_launcher()
  if control.is_here() then return open(inherited.FIRST_FD, true) end
  return nil, "this process is no worker: it has not been started by websockets.workers"
end

--- Tells whether the option `socket` names a socket that is inherited.
-- @param value
-- @treturn boolean
function inherited.is_name(value)
  return type(value) == "string" and (value == "systemd" or value == "worker" or value:find("^systemd:[^:]+$") ~= nil)
end

--- Opens the socket that the option `socket` names.
-- @tparam string name `worker`, `systemd`, or `systemd:` and a name of LISTEN_FDNAMES
-- @treturn[1] userdata listening LuaSocket object; `setfd(-1)` gives up the descriptor, which stays open
-- @treturn[2] nil
-- @treturn[2] string why there is none
function inherited.open(name)
  if name == "worker" then return of_launcher() end
  return of_systemd(name:match("^systemd:(.*)$"))
end

return inherited
