--- Servers of a spec under each kind of loop that an application may have. Each is started as `server.start` does.
-- @module spec.support.loops
local server = require("spec.support.server")
local socket = require("socket")
local websockets = require("websockets")

local loops = {}

local POLLIN, POLLOUT = websockets.POLLIN, websockets.POLLOUT

local function readable(fd)
  return { fd = fd, getfd = function(self) return self.fd end }
end

--- Start a server under a loop of its own that only ever watches READ, as programs of 2012 do.
-- @tparam table options
-- @treturn table server, with `ready`: how many descriptors were
-- @treturn table what is watched, by descriptor
function loops.read_only(options)
  local watched = {}
  options.on_add_fd = function(fd) watched[fd] = readable(fd) end
  options.on_del_fd = function(fd) watched[fd] = nil end
  local s = server.start(options)
  s.ready = 0
  function s:turn(ms)
    local list = {}
    for _, object in pairs(watched) do list[#list + 1] = object end
    local wait = math.min(ms / 1000, self.context:timeout() or 1)
    local ready = socket.select(list, nil, wait)
    for i = 1, #ready do
      self.ready = self.ready + 1
      self.context:service_fd(ready[i].fd, POLLIN)
    end
    if #ready == 0 then self.context:service_fd(-1) end
  end
  return s, watched
end

--- Start a server under a loop of its own that watches writing too.
-- @tparam table options
-- @treturn table server, with `ready`
-- @treturn table what is watched, by descriptor
function loops.with_modes(options)
  local modes = {}
  options.on_add_fd = function(fd, mask) modes[fd] = { [mask] = true } end
  options.on_del_fd = function(fd) modes[fd] = nil end
  options.on_set_mode_fd = function(fd, mask) modes[fd][mask] = true end
  options.on_clear_mode_fd = function(fd, mask) modes[fd][mask] = nil end
  local s = server.start(options)
  s.ready = 0
  function s:turn(ms)
    local reads, writes = {}, {}
    for fd, mask in pairs(modes) do
      if mask[POLLIN] then reads[#reads + 1] = readable(fd) end
      if mask[POLLOUT] then writes[#writes + 1] = readable(fd) end
    end
    local can_read, can_write = socket.select(reads, writes, math.min(ms / 1000, self.context:timeout() or 1))
    self.ready = self.ready + #can_read + #can_write
    for i = 1, #can_write do self.context:service_fd(can_write[i].fd, POLLOUT) end
    for i = 1, #can_read do self.context:service_fd(can_read[i].fd, POLLIN) end
    if self.context:timeout() == 0 then self.context:service_fd(-1) end
  end
  return s, modes
end

--- Start a server under a loop that watches the one descriptor of `context:get_fd`.
-- @tparam table options
-- @treturn table server, with `ready`
function loops.one_descriptor(options)
  local s = server.start(options)
  s.ready = 0
  local list = { readable(s.context:get_fd()) }
  function s:turn(ms)
    -- Each turn begins in the application; a wait that ends by itself means that there was nothing to do.
    local ready = socket.select(list, nil, ms / 1000)
    self.ready = self.ready + #ready
    if #ready > 0 then self.context:service(0) end
  end
  return s
end

-- A host that waits with select for what a driver is told.
local host = {}
host.__index = host

function host:watch(fd, read, write)
  self.calls = self.calls + 1
  self.is_open = self.is_open and socket.select({ readable(fd) }, nil, 0) ~= nil
  self.modes[fd] = (read or write) and { read = read, write = write } or nil
end

function host:alarm(seconds)
  self.due = seconds and socket.gettime() + seconds
end

function host:closed()
  self.is_closed = true
end

--- Attach a context to a loop of the spec's own.
-- @tparam table context
-- @tparam[opt] table fields of the driver beside its functions
-- @treturn table `modes`: what is watched, by descriptor; `due`: time of the alarm; `is_closed`; `is_open`: whether all
-- descriptors were open when `watch` named them; `ready`: how many were ready; `turn(ms)`
function loops.attach(context, fields)
  local self = { modes = {}, ready = 0, calls = 0, is_closed = false, is_open = true }
  for name, value in pairs(fields or {}) do self[name] = value end
  setmetatable(self, host)
  self.attachment = context:attach(self)
  return self
end

--- Wait once, and serve what is ready or due.
-- @tparam number ms
-- @treturn number how many were ready
function host:turn(ms)
  local reads, writes = {}, {}
  for fd, mode in pairs(self.modes) do
    if mode.read then reads[#reads + 1] = readable(fd) end
    if mode.write then writes[#writes + 1] = readable(fd) end
  end
  local seconds = ms / 1000
  if self.due then seconds = math.max(0, math.min(seconds, self.due - socket.gettime())) end
  local can_read, can_write = socket.select(reads, writes, seconds)
  self.ready = self.ready + #can_read + #can_write
  for i = 1, #can_write do self.attachment:ready(can_write[i].fd) end
  for i = 1, #can_read do self.attachment:ready(can_read[i].fd) end
  if self.due and socket.gettime() >= self.due then
    self.due = nil
    self.attachment:due()
  end
  return #can_read + #can_write
end

--- Count what is watched.
-- @treturn number
function host:watched()
  local count = 0
  for _ in pairs(self.modes) do count = count + 1 end
  return count
end

--- Start a server that is attached to a loop of the spec's own.
-- @tparam table options
-- @treturn table server
-- @treturn table host, see `loops.attach`
function loops.attached(options)
  local s = server.start(options)
  local it = loops.attach(s.context)
  function s.turn(_, ms)
    it:turn(ms)
    s.ready = it.ready
  end
  return s, it
end

--- Start a server that goes on by `context:run`, a moment each turn.
-- @tparam table options
-- @treturn table server
function loops.run(options)
  local s = server.start(options)
  function s:turn(ms)
    self.context:after(math.max(ms / 1000, 0.0001), function() self.context:stop() end)
    self.context:run()
  end
  return s
end

return loops
