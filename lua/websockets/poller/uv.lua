--- Which sockets are ready, by libuv: streams mark themselves when something has come, and one turn serves all that are
-- marked. Where the program runs the loop of libuv, as Neovim does, the context is served there; else `wait` runs it.
-- @module websockets.poller.uv
local libuv = require("websockets.transport.libuv")

local uv_poller = {
  --- What a turn raises where waiting has failed; this one does not fail.
  fault = "libuv failed",
}
uv_poller.__index = uv_poller

-- libuv goes on waiting after a signal, and Lua sees Ctrl-C, or runs another handler of signals, only between waits. A
-- handle of libuv for signals would take the place of that handler. A loop that the program runs never wakes for this.
local WAIT_SECONDS = 0.5
-- A callback that runs the loop itself keeps its context from being served: it is tried again after this.
local BUSY_MS = 10
local MAX_MS = 2 ^ 31 - 1

local ceil, floor, min = math.ceil, math.floor, math.min

local function none() end

local function milliseconds(seconds)
  return floor(min(ceil(seconds * 1000), MAX_MS))
end

--- Makes a poller that watches nothing.
-- @treturn uv_poller `source` is what its `wait` is called with
function uv_poller.new()
  local loop = libuv.library()
  local poller = setmetatable({
    loop = loop, vim = rawget(_G, "vim"), marked = {}, count = 0, is_interrupted = false, is_waiting = false,
    -- What serves the context once something is marked, and the timers that call it: at once, when one of the context's
    -- timers is due. The third ends a wait.
    serve = false, starter = loop.new_timer(), alarm = loop.new_timer(), waiter = loop.new_timer(), is_started = false,
  }, uv_poller)
  if loop ~= (poller.vim and (poller.vim.uv or poller.vim.loop)) then poller.vim = false end
  -- Neovim reports what a callback raises, and goes on; luv ends the program.
  poller.reports_errors = poller.vim and true or false
  poller.source = poller
  return poller
end

--- Tells whether a descriptor can be watched here.
-- @tparam table _ the poller
-- @tparam integer fd
-- @treturn boolean
function uv_poller.can_watch(_, fd)
  return fd >= 0
end

--- Sets what is waited for; neither ends the watch.
-- @tparam table transport or an object whose `socket` is one
-- @param owner what `wait` reports
-- @tparam boolean read
-- @tparam boolean write
function uv_poller:watch(transport, owner, read, write)
  local socket = transport.socket or transport
  -- A connection that waits for its next try has none.
  if socket.watch then socket:watch(self, owner, read, write) end
end

-- Serves in the loop that called this.
local function serve(self)
  -- A wait of our own takes what is marked by itself.
  if self.is_waiting or self.is_closed then return end
  local is_served = self.serve()
  if self.is_closed then return end
  if not is_served then
    self.starter:start(BUSY_MS, 0, self.start)
  elseif self:has_ready() then
    self:start_soon()
  end
end

--- Has the context served by the loop that runs.
-- @tparam function serve_once serves what is ready; false where that cannot be done now
function uv_poller:host(serve_once)
  self.serve = serve_once
  self.start = function()
    self.is_started = false
    serve(self)
  end
  self.ring = function()
    -- The turn that waits may find that it is not quite time.
    if self.is_waiting then return self.alarm:start(1, 0, self.ring) end
    serve(self)
  end
end

--- Begins a turn as soon as the loop has called all that is ready now.
function uv_poller:start_soon()
  if self.is_started or self.is_waiting or not self.serve then return end
  self.is_started = true
  self.starter:start(0, 0, self.start)
end

--- Takes note that something has come for a socket.
-- @tparam table socket with `is_readable`, `is_writable`, `reads`, `writes`, `owner`
function uv_poller:mark(socket)
  if not socket.is_marked then
    local count = self.count + 1
    -- First what may find no memory: each that is counted is there.
    self.marked[count] = socket
    self.count = count
    socket.is_marked = true
  end
  self:start_soon()
end

-- Fills the lists with the owners of what is ready; the other marks go.
local function collect(self, readable, writable)
  local marked, count, kept, reads, writes = self.marked, self.count, 0, 0, 0
  for i = 1, count do
    local socket = marked[i]
    local can_read = socket.reads and socket:is_readable()
    local can_write = socket.writes and socket:is_writable()
    if can_read then
      reads = reads + 1
      readable[reads] = socket.owner
    end
    if can_write then
      writes = writes + 1
      writable[writes] = socket.owner
    end
    if can_read or can_write then
      kept = kept + 1
      marked[kept] = socket
    else
      socket.is_marked = false
    end
  end
  for i = kept + 1, count do marked[i] = nil end
  self.count = kept
  return reads, writes
end

--- Tells whether a socket is ready.
-- @treturn boolean
function uv_poller:has_ready()
  if self.count > 0 then collect(self, {}, {}) end
  return self.count > 0
end

--- Tells whether `wait` can wait: not inside of a callback of the loop that serves the context anyway.
-- @treturn boolean
function uv_poller:can_wait()
  if self.vim then return not self.vim.in_fast_event() end
  return self.loop.loop_mode() == nil
end

-- One round of the loop, and one more where the first has brought nothing.
local function run_neovim(self, seconds)
  local rounds = 0
  local function is_over()
    rounds = rounds + 1
    return rounds > 1 or self.is_interrupted
  end
  local ms = milliseconds(seconds or MAX_MS / 1000)
  local _, why = self.vim.wait(ms, is_over, math.max(ms, 1))
  if why == -2 then error("interrupted!", 0) end
end

local function run_luv(self, seconds)
  local loop = self.loop
  loop.update_time()
  -- Timers that are due are called before the loop waits: it must not wait after that.
  if seconds == 0 or loop.backend_timeout() == 0 then return loop.run("nowait") end
  local ms = milliseconds(min(seconds or WAIT_SECONDS, WAIT_SECONDS))
  -- Again and again, for the first time may come before the wait.
  self.waiter:start(ms, ms, none)
  loop.run("once")
  self.waiter:stop()
end

--- Runs the loop until something comes, and tells what is ready: `poller.wait(poller.source, seconds, owners, readable,
-- writable)`. It also returns where anything else was called in the loop, for that may have had the context do
-- something; and where it can only tell what is ready, because the loop is running.
-- @tparam ?number seconds at most, nil without end
-- @tparam table _ descriptor -> owner, for a poller that knows sockets by descriptor
-- @tparam table readable filled with owners
-- @tparam table writable filled with owners
-- @treturn integer how many readable
-- @treturn integer how many writable
function uv_poller:wait(seconds, _, readable, writable)
  if self:can_wait() then
    if self.is_interrupted or self:has_ready() then seconds = 0 end
    self.is_waiting = true
    local run = self.vim and run_neovim or run_luv
    local is_good, err = pcall(run, self, seconds)
    self.is_waiting = false
    if not is_good then error(err, 0) end
  end
  self.is_interrupted = false
  return collect(self, readable, writable)
end

--- Follows a turn.
function uv_poller:settle()
  if not self.vim and self:can_wait() then libuv.finish_closing() end
end

--- Sets when the context is served although nothing has come.
-- @tparam ?number seconds from now; nil for never
function uv_poller:set_alarm(seconds)
  if self.is_closed then return end
  self.alarm:stop()
  if not (seconds and self.ring) then return end
  -- The loop's own time is that of its last round, in whole milliseconds.
  self.loop.update_time()
  self.alarm:start(seconds > 0 and milliseconds(seconds) + 1 or 0, 0, self.ring)
end

--- Makes the wait that is going on, or the next one, end.
function uv_poller:interrupt()
  self.is_interrupted = true
end

--- Forgets everything.
function uv_poller:close()
  self.is_closed, self.marked, self.count = true, {}, 0
  for _, timer in ipairs({ self.starter, self.alarm, self.waiter }) do libuv.close(timer) end
end

return uv_poller
