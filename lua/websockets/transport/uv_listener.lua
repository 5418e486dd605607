--- A listening stream of libuv, with the methods of LuaSocket's listening objects that `websockets.server.listener`
-- calls. libuv hands over each connection as it comes; the next one comes after it has been accepted.
-- @module websockets.transport.uv_listener
local errors = require("websockets.transport.uv_errors")
local libuv = require("websockets.transport.libuv")

local listener = {}
listener.__index = listener

-- So many connections are accepted before they are asked for; the others stay with the system.
local MOST_IN_ADVANCE = 64

-- Takes the connection that libuv has ready. libuv then accepts the next one, and where no descriptor is left it closes
-- all that wait, and tells nobody: so the one that is ready stays where it is then.
local function take(self)
  local probe, handle, accepted, why
  probe, why = self.uv.placeholder()
  if probe then
    probe:close()
    self.is_one_ready = false
    handle, why = libuv.library().new_tcp()
    if handle then accepted, why = self.handle:accept(handle) end
  end
  if accepted then
    self.last = self.last + 1
    self.queue[self.last] = self.uv.new(handle)
  else
    if handle then libuv.close(handle) end
    self.trouble = errors.describe(why)
  end
end

local function follow(self, fault)
  if not self.handle then return end
  if fault then
    self.trouble = errors.describe(fault)
  else
    self.is_one_ready = true
    if self.reads and self.last - self.first + 1 < MOST_IN_ADVANCE then take(self) end
  end
  if self.poller then self.poller:mark(self) end
end

local function bind_and_listen(self, address, port, backlog, dual)
  local done, why = self.handle:bind(address, port, { ipv6only = dual == false })
  -- Each connection gets this from its transport.
  if done then done, why = self.handle:listen(backlog, function(fault) follow(self, fault) end) end
  return done, why
end

--- Opens one.
-- @tparam table uv `websockets.transport.uv`
-- @tparam string family "inet" or "inet6"
-- @tparam string address
-- @tparam integer port 0: any
-- @tparam integer backlog
-- @tparam ?boolean dual whether IPv6 listens on IPv4 too
-- @treturn[1] table
-- @treturn[2] nil
-- @treturn[2] string why not
function listener.open(uv, family, address, port, backlog, dual)
  local handle, why = libuv.library().new_tcp(family)
  if not handle then return nil, errors.describe(why) end
  local self = setmetatable({
    uv = uv, handle = handle, fd = handle:fileno(), poller = false, owner = false, reads = false, writes = false,
    is_marked = false, queue = {}, first = 1, last = 0, is_one_ready = false, trouble = false,
  }, listener)
  -- luv raises for what is no address.
  local is_good, done, fault = pcall(bind_and_listen, self, address, port, backlog, dual)
  if is_good and done then return self end
  self:close()
  return nil, errors.describe(is_good and fault or done)
end

--- Sets what the poller reports.
-- @tparam table poller
-- @param owner what is reported
-- @tparam boolean read
function listener:watch(poller, owner, read)
  self.poller, self.owner, self.reads = poller, owner, read
  if read and self:is_readable() then poller:mark(self) end
end

--- Tells whether `accept` has something to tell.
-- @treturn boolean
function listener:is_readable()
  return self.last > 0 or self.is_one_ready or self.trouble ~= false
end

--- Nothing is written here.
-- @treturn boolean false
function listener.is_writable() return false end

--- Accepts a connection.
-- @treturn[1] table transport
-- @treturn[2] nil
-- @treturn[2] string `timeout`: none waits; or why not
function listener:accept()
  if self.last == 0 and self.is_one_ready then take(self) end
  local accepted = self.queue[self.first]
  if accepted then
    self.queue[self.first] = nil
    if self.first == self.last then self.first, self.last = 1, 0 else self.first = self.first + 1 end
    return accepted
  end
  local why = self.trouble
  self.trouble = false
  return nil, why or "timeout"
end

--- Names the descriptor.
-- @treturn integer
function listener:getfd() return self.fd end

--- Names where it listens.
-- @treturn ?string IP address
-- @treturn ?integer port
function listener:getsockname()
  local own = self.handle and self.handle:getsockname()
  if own then return own.ip, own.port end
end

--- Nothing waits here.
function listener.settimeout() end

--- Closes the descriptor, and the connections that nobody has accepted.
function listener:close()
  local handle = self.handle
  if not handle then return end
  self.handle, self.fd = false, -1
  for at = self.first, self.last do self.queue[at]:close() end
  self.queue, self.first, self.last = {}, 1, 0
  libuv.close(handle)
end

return listener
