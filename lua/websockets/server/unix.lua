--- Listening at a path: a unix socket and its file.
-- @module websockets.server.unix
local connection = require("websockets.connection.connection")
local facts = require("websockets.http.facts")
local luasocket = require("websockets.transport.luasocket")

local unix = {}
unix.__index = unix

local BACKLOG = 4096
local IN_USE = "address already in use"

-- What the system says of a socket that is to be opened as a file: ENXIO; EOPNOTSUPP on the BSDs and on macOS.
local OPENING_SOCKET = { [6] = true, [45] = true, [102] = true }

local function set_mode(context, path, mode)
  if context.engine.set_mode then return context.engine.set_mode(path, mode) end
  -- Lua has no function for this.
  local result = os.execute(("chmod %o -- '%s'"):format(mode, path:gsub("'", "'\\''")))
  return result == true or result == 0
end

local function bind(context, socket, path, mode)
  local done, why = socket:bind(path)
  if not done then return nil, why end
  -- Nobody connects before `listen`.
  if mode and not set_mode(context, path, mode) then
    os.remove(path)
    return nil, "the file did not get the permissions of unix_mode"
  end
  return socket:listen(BACKLOG)
end

-- A listening socket: LuaSocket's, for it can be given to all that knows such; else the accelerator's.
local function open(context, path, mode)
  local socket, why = luasocket.make("unix")
  if socket then
    local done
    done, why = bind(context, socket, path, mode)
    if done then return socket end
    socket:close()
    return nil, why
  end
  local listen = context.wire_class.listen
  if not listen or context.settings.tls then return nil, why end
  return listen(context.hub, path, mode)
end

-- What is at a path; false where that cannot be told.
local function kind_of(context, path)
  if facts.are_known(context.engine) then return facts.link(context.engine, path) or false end
  local file, _, number = io.open(path, "r+")
  if file then file:close() end
  return file and "file" or OPENING_SOCKET[number] and "socket" or false
end

-- Whether there is a socket at a path that nobody listens on; else what is there.
local function is_stale(context, path)
  local kind = kind_of(context, path)
  if kind ~= "socket" then return false, ("something else is there (%s)"):format(kind or "of an unknown kind") end
  local transport, why = connection.dial(context, { "unix", path })
  if transport then transport:close() end
  return why == "connection refused", IN_USE
end

local function identity(context, path)
  local known = facts.of(context.engine, path)
  return known and ("%.0f:%.0f"):format(known.device, known.inode)
end

--- Listens at a path. The file of a socket that nobody listens on is replaced; anything else that is there stays.
-- @tparam table context
-- @tparam string path
-- @tparam ?integer mode permissions of the file; nil: the system decides
-- @treturn[1] table as a listening LuaSocket object; `close` also removes the file, if it is still the same
-- @treturn[2] nil
-- @treturn[2] string why not
function unix.listen(context, path, mode)
  local socket, why = open(context, path, mode)
  if why == IN_USE then
    local is_free
    is_free, why = is_stale(context, path)
    if is_free then is_free, why = os.remove(path) end
    if not is_free then return nil, why end
    socket, why = open(context, path, mode)
  end
  if not socket then return nil, why end
  return setmetatable({ context = context, socket = socket, path = path, identity = identity(context, path) }, unix)
end

--- Accepts a connection; not where the accelerator has opened the socket and accepts by itself.
-- @treturn[1] userdata LuaSocket object
-- @treturn[2] nil
-- @treturn[2] string why not
function unix:accept()
  if not self.socket.accept then return nil, "timeout" end
  return self.socket:accept()
end

--- Sets how long LuaSocket waits.
-- @tparam number seconds
function unix:settimeout(seconds)
  if self.socket.settimeout then self.socket:settimeout(seconds) end
end

--- Names the descriptor.
-- @treturn integer
function unix:getfd() return self.socket:getfd() end

--- Tells that nothing has been read ahead, for `select`.
-- @treturn boolean
function unix.dirty() return false end

--- Names no port.
function unix.getsockname() return nil end

--- Ends listening, and removes the file unless it has become that of another.
function unix:close()
  self.socket:close()
  local context, path = self.context, self.path
  local is_ours
  if self.identity then
    is_ours = kind_of(context, path) == "socket" and identity(context, path) == self.identity
  else
    is_ours = is_stale(context, path)
  end
  local removed, why = not is_ours, nil
  if is_ours then removed, why = os.remove(path) end
  if not removed then context.agenda:log("warning", "the file of the unix socket stays: " .. tostring(why)) end
end

return unix
