--- A context under copas: 1.2.0, as Debian has it, or 4.x.
-- @module websockets.loop.copas
local host = require("websockets.loop.host")

local copas = host.load("copas", "copas")
-- What copas waits with.
local socket = require("socket")

local LIMIT = socket._SETSIZE or 1024

-- Threads call these when the descriptor is ready, and go on waiting after "timeout".
local function ready(self, name)
  if self[name] and self.driver.attachment and not self.is_beginning then self.driver.attachment:ready(self.fd) end
  return nil, self[name] and "timeout" or "closed"
end

local function ignore() end

-- What copas and `select` take for a socket: one for each descriptor, because `select` reports one only.
local object = {
  receive = function(self) return ready(self, "reads") end,
  connect = function(self) return ready(self, "writes") end,
  -- `select` returns at once for one that is dirty: so threads end whose descriptor may be closed already.
  dirty = function(self) return not self.is_watched end,
  getfd = function(self) return self.is_watched and self.fd or self.spare:getfd() end,
  settimeout = ignore, close = ignore,
}
object.__index = object

local function start(self, flag, wait)
  if self[flag] then return end
  self[flag], self.is_beginning = true, true
  -- Copas 1.2.0 runs a new thread at once, within the call of the context that has us watch.
  local is_good, err = pcall(copas.addthread, function()
    wait(self)
    self[flag] = false
  end)
  self.is_beginning = false
  if is_good then return end
  -- For want of memory: else nothing would ever wait for it.
  self[flag] = false
  error(err, 0)
end

-- What these do is told in `context:attach`.
local function watch(self, fd, read, write)
  if fd >= LIMIT then error(("copas cannot wait for descriptor %d"):format(fd), 0) end
  local one = self.objects[fd]
  if not one then
    one = setmetatable({ driver = self, fd = fd, spare = self.spare, has_reader = false, has_writer = false }, object)
    self.objects[fd] = one
  end
  one.reads, one.writes, one.is_watched = read, write, read or write
  if read then start(one, "has_reader", copas.receive) end
  if write then start(one, "has_writer", copas.connect) end
  if not one.is_watched then self.objects[fd] = nil end
end

-- Copas 1.2.0 has no timers: each step waits no longer than to the alarms of these drivers.
local alarmed = {}

local function wrap_step()
  local step = copas.step
  function copas.step(timeout)
    for _, one in ipairs(alarmed) do
      local seconds = one.context:timeout()
      if seconds and (not timeout or seconds < timeout) then timeout = seconds end
    end
    local first, second = step(timeout)
    local due = {}
    for _, one in ipairs(alarmed) do
      if one.context:timeout() == 0 then due[#due + 1] = one end
    end
    for _, one in ipairs(due) do one.attachment:due() end
    return first, second
  end
  wrap_step = nil
end

local function alarm_by_step(self, seconds)
  if wrap_step then wrap_step() end
  for i = #alarmed, 1, -1 do
    if alarmed[i] == self then table.remove(alarmed, i) end
  end
  if seconds then alarmed[#alarmed + 1] = self end
end

local sleep = copas.pause or copas.sleep

-- Later ones have threads that sleep: there is one as long as an alarm is set.
local function alarm_by_thread(self, seconds)
  self.due_at = seconds and socket.gettime() + seconds
  if self.thread then return copas.wakeup(self.thread) end
  if not seconds then return end
  self.thread = copas.addthread(function()
    while self.due_at do
      local rest = self.due_at - socket.gettime()
      if rest <= 0 then
        self.due_at = nil
        self.attachment:due()
      end
      -- Others take their turn, also where nothing is waited for.
      sleep(math.max(0, rest))
    end
    self.thread = nil
  end)
end

-- For functions of `websockets.coroutine`, which run in threads of copas.
local protected, running = host.coroutines()

-- What a thread of copas 1.2.0 waits for. `select` returns at once for one that is dirty.
local parking = {
  receive = function(self)
    if not self.is_woken then return nil, "timeout" end
    self.is_woken = false
    return true
  end,
  dirty = function(self) return self.is_woken end,
  getfd = function(self) return self.spare:getfd() end,
  settimeout = ignore, close = ignore,
}
parking.__index = parking

local driver = {
  watch = watch, alarm = copas.wakeup and alarm_by_thread or alarm_by_step, limit = LIMIT,
  running = function() return (running()) end, xpcall = protected,
}
driver.__index = driver

if copas.pauseforever then
  function driver.start(_, fn) copas.addthread(fn) end
  function driver.wait() copas.pauseforever() end
  function driver.wake(_, thread) copas.wakeup(thread) end
else
  function driver.start(self, fn)
    local thread = copas.addthread(function()
      local thread = running()
      self.parked[thread] = setmetatable({ spare = self.spare, is_woken = false }, parking)
      -- It begins within the call that starts it.
      copas.receive(self.parked[thread])
      fn()
      self.parked[thread] = nil
    end)
    self:wake(thread)
  end
  function driver.wait(self) copas.receive(self.parked[running()]) end
  function driver.wake(self, thread) self.parked[thread].is_woken = true end
end

local adapter = {}

--- Has copas serve a context.
-- @tparam table context
-- @treturn websockets.attachment `detach()` takes the context from the loop again
-- @raise as `context:attach`
function adapter.attach(context)
  local self = setmetatable({ context = context, objects = {}, parked = {}, spare = assert(socket.udp4()) }, driver)
  local attachment = host.attach(context, self)
  return attachment
end

return adapter
