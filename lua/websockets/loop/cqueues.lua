--- A context under cqueues.
-- @module websockets.loop.cqueues
local host = require("websockets.loop.host")

local cqueues = host.load("cqueues", "lua-cqueues")
local condition = require("cqueues.condition")

-- A thread for each descriptor, as long as it is watched.
local function serve(self, entry)
  local fd = entry.pollfd
  while self.entries[fd] == entry do
    local first, second = cqueues.poll(entry, entry.change)
    local is_ready = first == entry or second == entry
    if is_ready and self.entries[fd] == entry then self.attachment:ready(fd) end
  end
end

-- What these do is told in `context:attach`.
local function watch(self, fd, read, write)
  local entry = self.entries[fd]
  if not (read or write) then
    self.entries[fd] = nil
    -- A closed descriptor that is still polled makes the loop fail.
    self.loop:cancel(fd)
    return entry and entry.change:signal()
  end
  local events = (read and "r" or "") .. (write and "w" or "")
  if entry then
    entry.events = events
    return entry.change:signal()
  end
  -- What `poll` takes for an object of its own.
  entry = { pollfd = fd, events = events, change = condition.new() }
  self.entries[fd] = entry
  self.loop:wrap(serve, self, entry)
end

-- A thread for the alarm, as long as one is set.
local function wait(self)
  while self.due_at do
    local seconds = self.due_at - cqueues.monotime()
    if seconds > 0 then
      cqueues.poll(self.change, seconds)
    else
      self.due_at = nil
      self.attachment:due()
      -- Others take their turn.
      cqueues.poll(0)
    end
  end
  self.has_thread = false
end

local function alarm(self, seconds)
  self.due_at = seconds and cqueues.monotime() + seconds
  if self.has_thread then return self.change:signal() end
  if not seconds then return end
  self.has_thread = true
  self.loop:wrap(wait, self)
end

-- For functions of `websockets.coroutine`, which run in threads of the loop.
local protected, running = host.coroutines()

local function start(self, fn) self.loop:wrap(fn) end

local function wait_here(self)
  local thread = running()
  self.parked[thread] = self.parked[thread] or condition.new()
  cqueues.poll(self.parked[thread])
end

local function wake(self, thread)
  if self.parked[thread] then self.parked[thread]:signal() end
end

local driver = { watch = watch, alarm = alarm }
driver.__index = driver
if protected then
  driver.start, driver.wait, driver.wake, driver.xpcall = start, wait_here, wake, protected
  -- Without the second result.
  driver.running = function() return (running()) end
end

local adapter = {}

--- Has a controller of cqueues serve a context.
-- @tparam table context
-- @tparam userdata loop what `cqueues.new()` gave
-- @treturn websockets.attachment `detach()` takes the context from the loop again
-- @raise as `context:attach`
function adapter.attach(context, loop)
  host.check(cqueues.type(loop) == "controller", "controller of cqueues", loop)
  local self = setmetatable({ loop = loop, entries = {}, change = condition.new(), has_thread = false }, driver)
  self.parked = setmetatable({}, { __mode = "k" })
  local attachment = host.attach(context, self)
  return attachment
end

return adapter
