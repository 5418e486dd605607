--- Keeps a number of workers running: starts them, restarts those that end, replaces them one after the other.
-- @module websockets.workers.launcher
local backoff = require("websockets.client.backoff")
local errors = require("websockets.errors")
local process = require("websockets.workers.process")
local readiness = require("websockets.server.readiness")

local launcher = {}
launcher.__index = launcher

-- A worker that ends is started again after this; twice as long each time, until one has lasted for a while.
local RESTART = { min = 0.1, max = 30, jitter = 0.5, attempts = false }
local STABLE_SECONDS = 10
-- A second signal to stop counts after this.
local TWICE_SECONDS = 1

--- Makes a launcher that has started nothing.
-- @tparam table uv luv
-- @tparam userdata socket listening LuaSocket object
-- @tparam table settings of `websockets.workers`
-- @treturn launcher
function launcher.new(uv, socket, settings)
  settings.fd = math.floor(socket:getfd())
  return setmetatable({
    uv = uv, socket = socket, settings = settings, slots = {}, signals = {}, keeps_signals = false,
    has_been_ready = false,
    -- All processes that have not ended, as a set, and how many there are.
    all = {}, alive = 0,
    -- `stopping`; the place of the slot whose worker is being replaced, false for none; whether all are to be replaced
    -- once more after that.
    state = "new", rolling = false, rolls_again = false,
  }, launcher)
end

--- Writes a message to the application's log.
-- @tparam string level
-- @tparam string message
function launcher:log(level, message)
  if self.settings.log then pcall(self.settings.log, level, errors.printable(message)) end
end

local start, roll_on

--- Leaves signals to the program again.
function launcher:close_signals()
  for _, handle in ipairs(self.signals) do handle:close() end
  self.signals, self.keeps_signals = {}, false
end

local function close_handles(self)
  for _, slot in ipairs(self.slots) do slot.timer:close() end
  if self.keeps_signals then
    -- An error may keep `run` from closing them, and a loop of the program's is to come to its end.
    for _, handle in ipairs(self.signals) do handle:unref() end
  else
    self:close_signals()
  end
  self.state = "ended"
  if not self.settings.is_adopted then self.socket:close() end
end

local function describe(one, code, signal)
  local how = one.is_late and (one.was_ready and "was ended by force" or "was not ready in time and was ended by force")
    or signal ~= 0 and "was ended by signal " .. signal or "ended with code " .. code
  return ("worker %d (process %d) %s"):format(one.number, one.pid, how)
end

-- The worker that was to take the place of another has failed: that one goes on.
local function give_up_roll(self, slot)
  slot.following = false
  self.rolling, self.rolls_again = false, false
  if self.state ~= "running" then return end
  self:log("error", ("worker %d is not replaced: the new process was not ready"):format(slot.number))
end

local function restart(self, slot)
  local delay = slot.backoff:next()
  self.uv.update_time()
  slot.timer:start(math.floor(delay * 1000), 0, function() start(self, slot) end)
end

local function exited(self, slot, one, code, signal)
  self.all[one], self.alive = nil, self.alive - 1
  local is_wanted = self.state == "running" and (one == slot.current or one == slot.following)
  self:log((is_wanted or one.is_late) and "warning" or "info", describe(one, code, signal))
  if one == slot.current then
    slot.current = false
    if self.uv.now() - one.started_at >= STABLE_SECONDS * 1000 then slot.backoff:reset() end
    if self.state == "running" and not slot.following then restart(self, slot) end
  elseif one == slot.following then
    give_up_roll(self, slot)
    if self.state == "running" and not slot.current then restart(self, slot) end
  end
  if self.state == "stopping" and self.alive == 0 then close_handles(self) end
end

-- Whether each has a worker that accepts connections.
local function tell_ready(self)
  if self.has_been_ready then return end
  for _, slot in ipairs(self.slots) do
    if not slot.current or slot.current.state ~= "ready" then return end
  end
  self.has_been_ready = true
  if self.settings.notify then readiness.tell(self, "READY=1") end
  self:log("info", "all workers are ready")
end

local function ready(self, slot, one)
  self:log("info", ("worker %d (process %d) is ready"):format(one.number, one.pid))
  if one ~= slot.following then return tell_ready(self) end
  local before = slot.current
  slot.current, slot.following = one, false
  if before then before:drain(self.settings.drain_seconds) end
  roll_on(self)
end

local function start_process(self, slot)
  local one, why = process.start(self.uv, slot.number, self.settings,
    function(made) ready(self, slot, made) end,
    function(made, code, signal) exited(self, slot, made, code, signal) end)
  if one then
    self.all[one], self.alive = true, self.alive + 1
  else
    self:log("error", why)
  end
  return one or false
end

function start(self, slot)
  if self.state ~= "running" then return end
  slot.current = start_process(self, slot)
  if not slot.current then restart(self, slot) end
end

-- Replaces the worker of the next slot.
function roll_on(self)
  if not self.rolling or self.state ~= "running" then return end
  self.rolling = self.rolling + 1
  local slot = self.slots[self.rolling]
  if not slot then
    self.rolling = false
    self:log("info", "all workers have been replaced")
    if self.rolls_again then
      self.rolls_again = false
      self:roll()
    end
    return
  end
  slot.timer:stop()
  slot.following = start_process(self, slot)
  if not slot.following then
    give_up_roll(self, slot)
    if not slot.current then restart(self, slot) end
  end
end

--- Replaces all workers, one after the other: the next one begins when the new process is ready and the old one drains.
function launcher:roll()
  if self.state ~= "running" then return end
  if self.rolling then
    self.rolls_again = true
    return
  end
  self.rolling = 0
  roll_on(self)
end

local function each(self, work)
  for _, slot in ipairs(self.slots) do
    if slot.current then work(slot.current) end
    if slot.following then work(slot.following) end
  end
end

--- Has all workers drain and end; a second call ends them by force.
function launcher:stop()
  if self.state == "stopping" then
    for one in pairs(self.all) do one:signal("sigkill") end
  end
  if self.state ~= "running" then return end
  self.state, self.stopped_at = "stopping", self.uv.now()
  if self.settings.notify then readiness.tell(self, "STOPPING=1") end
  for _, slot in ipairs(self.slots) do slot.timer:stop() end
  each(self, function(one) one:drain(self.settings.drain_seconds) end)
  if self.alive == 0 then close_handles(self) end
end

local function on_signal(self, name, work)
  local handle = self.uv.new_signal()
  handle:start(name, work)
  self.signals[#self.signals + 1] = handle
end

-- What sends a signal to a process and to its group sends it twice.
local function obey_stop(self)
  if self.state == "stopping" and self.uv.now() - self.stopped_at < TWICE_SECONDS * 1000 then return end
  self:stop()
end

--- Starts the workers, and listens to signals.
function launcher:start()
  self.state = "running"
  for number = 1, self.settings.count do
    self.slots[number] = {
      number = number, current = false, following = false, backoff = backoff.new(RESTART, math.random),
      timer = self.uv.new_timer(),
    }
  end
  on_signal(self, "sigterm", function() obey_stop(self) end)
  on_signal(self, "sigint", function() obey_stop(self) end)
  on_signal(self, "sighup", function() self:roll() end)
  for _, name in ipairs(self.settings.forward) do
    on_signal(self, name, function() each(self, function(one) one:signal(name) end) end)
  end
  for _, slot in ipairs(self.slots) do start(self, slot) end
end

--- Has a further signal do nothing once the workers have ended, until `close_signals`: it would end the program.
function launcher:keep_signals()
  self.keeps_signals = true
end

--- Lists the processes of the workers, by their numbers.
-- @treturn {table,...} `number`, `pid`, `state`
function launcher:list()
  local list = {}
  each(self, function(one) list[#list + 1] = { number = one.number, pid = one.pid, state = one.state } end)
  return list
end

require("websockets.loading").interpret(launcher.stop)

return launcher
