--- A context under lua-ev.
-- @module websockets.loop.ev
local host = require("websockets.loop.host")

local ev = host.load("ev", "lua-ev")

-- What these do is told in `context:attach`.
local function watch(self, fd, read, write)
  local watcher = self.watchers[fd]
  if watcher then watcher:stop(self.loop) end
  self.watchers[fd] = nil
  if not (read or write) then return end
  watcher = ev.IO.new(function() self.attachment:ready(fd) end, fd, (read and ev.READ or 0) + (write and ev.WRITE or 0))
  watcher:start(self.loop)
  self.watchers[fd] = watcher
end

local function alarm(self, seconds)
  self.timer:stop(self.loop)
  self.idle:stop(self.loop)
  if seconds == 0 then
    -- A timer would come a millisecond later.
    self.idle:start(self.loop)
  elseif seconds then
    -- The loop counts from when it has last looked at the clock.
    self.loop:update_now()
    self.timer:again(self.loop, seconds)
  end
end

local driver = { watch = watch, alarm = alarm }
driver.__index = driver

local adapter = {}

--- Has a loop of lua-ev serve a context.
-- @tparam table context
-- @tparam[opt=ev.Loop.default] userdata loop
-- @treturn websockets.attachment `detach()` takes the context from the loop again
-- @raise as `context:attach`
function adapter.attach(context, loop)
  loop = loop or ev.Loop.default
  host.check(type(loop) == "userdata", "loop of lua-ev", loop)
  local self = setmetatable({ loop = loop, watchers = {} }, driver)
  local function due(_, watcher)
    watcher:stop(loop)
    self.attachment:due()
  end
  self.timer, self.idle = ev.Timer.new(due, 1, 1), ev.Idle.new(due)
  local attachment = host.attach(context, self)
  return attachment
end

return adapter
