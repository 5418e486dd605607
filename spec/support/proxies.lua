--- Proxies of other people that a spec starts: tinyproxy (HTTP CONNECT) and microsocks (SOCKS5).
-- @module spec.support.proxies
local await = require("spec.support.await")
local child = require("spec.support.child")
local ports = require("spec.support.ports")
local socket = require("socket")

local proxies = {}

local running = {}

local function await_listening(port)
  await(function()
    local connection = socket.connect("127.0.0.1", port)
    return connection and connection:close()
  end, "proxy that listens")
end

local proxy = {}
proxy.__index = proxy

--- Names this proxy with other credentials than none.
-- @tparam string user
-- @tparam string password
-- @treturn string URL
function proxy:url_with(user, password)
  return (self.url:gsub("//", ("//%s:%s@"):format(user, password)))
end

--- Have the proxy do nothing any more, or go on; the system still takes connections for it. Linux only.
-- @tparam boolean is_on
function proxy:stall(is_on)
  child.run(("kill -%s %d"):format(is_on and "STOP" or "CONT", self.program:child_pid()))
end

--- End the proxy, once.
function proxy:stop()
  -- The group: on a loaded machine `timeout` may not know yet that its child runs.
  child.run(("kill -TERM -- -%d"):format(self.program.pid))
  self.program:stop()
  if self.folder then child.remove_folder(self.folder) end
  self.folder = nil
end

local function start(command, scheme, port, folder)
  local program = child.start(command)
  local self = setmetatable({
    program = program, folder = folder, url = ("%s://127.0.0.1:%d"):format(scheme, port),
  }, proxy)
  running[#running + 1] = self
  await_listening(port)
  return self
end

--- Starts tinyproxy.
-- @tparam[opt] string user
-- @tparam[opt] string password
-- @treturn table `url`, `url_with(user, password)`, `stall(is_on)`, `stop()`
function proxies.tinyproxy(user, password)
  local folder, port = child.make_folder(), ports.closed()
  local file = assert(io.open(folder .. "/conf", "w"))
  file:write(("Port %d\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\n"):format(port))
  if user then file:write(("BasicAuth %s %s\n"):format(user, password)) end
  file:close()
  return start("tinyproxy -d -c " .. child.quote(folder .. "/conf"), "http", port, folder)
end

--- Starts microsocks.
-- @tparam[opt] string user
-- @tparam[opt] string password
-- @treturn table as `tinyproxy`
function proxies.microsocks(user, password)
  local port = ports.closed()
  local command = ("microsocks -i 127.0.0.1 -p %d"):format(port)
  if user then command = ("%s -u %s -P %s"):format(command, child.quote(user), child.quote(password)) end
  return start(command, "socks5", port)
end

--- Ends all of them; for `after_each`.
function proxies.stop_all()
  for i = #running, 1, -1 do
    running[i]:stop()
    running[i] = nil
  end
end

return proxies
