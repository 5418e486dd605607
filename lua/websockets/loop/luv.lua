--- A context under libuv: luv, or the one that Neovim has.
-- @module websockets.loop.luv
local host = require("websockets.loop.host")

local READ, WRITE, BOTH = "r", "w", "rw"

local function open(self, fd)
  local poll = assert(self.uv.new_poll(fd))
  self.polls[fd] = poll
  self.ready[fd] = function(err)
    self.attachment:ready(fd)
    -- An error, such as a reset, has stopped the handle: it goes on where the connection did not end by that. The
    -- descriptor is open: EBADF is what libuv calls every error that it sees there, and luv has written that to stderr.
    if err and self.polls[fd] == poll then poll:start(self.modes[fd], self.ready[fd]) end
  end
  return poll
end

-- What these do is told in `context:attach`.
local function watch(self, fd, read, write)
  local poll = self.polls[fd]
  if read or write then
    -- A descriptor can have one handle only.
    poll = poll or open(self, fd)
    self.modes[fd] = read and write and BOTH or read and READ or WRITE
    assert(poll:start(self.modes[fd], self.ready[fd]))
  elseif poll then
    poll:close()
    self.polls[fd], self.ready[fd], self.modes[fd] = nil, nil, nil
  end
end

local function alarm(self, seconds)
  if not seconds then return self.timer:stop() end
  -- The loop counts from when it has last looked at the clock, in whole milliseconds.
  self.uv.update_time()
  self.timer:start(math.ceil(seconds * 1000), 0, function() self.attachment:due() end)
end

local function closed(self)
  self.timer:close()
end

-- A context on the sockets of libuv needs nothing of this.
local driver = { watch = watch, alarm = alarm, closed = closed, is_libuv = true }
driver.__index = driver

local adapter = {}

-- Neovim has libuv built in.
local function find()
  local vim = rawget(_G, "vim")
  return vim and (vim.uv or vim.loop) or host.load("luv", "lua-luv")
end

--- Has the loop of libuv serve a context.
-- @tparam table context
-- @tparam[opt] table uv the module `luv`, `vim.uv` or `vim.loop`; by default the one that is there
-- @treturn websockets.attachment `detach()` takes the context from the loop again
-- @raise as `context:attach`
function adapter.attach(context, uv)
  uv = uv or find()
  host.check(type(uv) == "table" and uv.new_poll, "module luv", uv)
  local self = setmetatable({ uv = uv, polls = {}, ready = {}, modes = {}, timer = false }, driver)
  self.timer = uv.new_timer()
  local attachment = host.attach(context, self)
  return attachment
end

return adapter
