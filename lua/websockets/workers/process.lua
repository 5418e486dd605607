--- One worker: a process with the listening socket and two pipes, one for orders and one for answers.
-- @module websockets.workers.process
local control = require("websockets.server.control")

local process = {}
process.__index = process

-- What the launcher alone is to know: systemd asked it.
local HIDDEN = { LISTEN_FDS = true, LISTEN_PID = true, LISTEN_FDNAMES = true, NOTIFY_SOCKET = true }
-- What a worker may need after its time to drain, to end by itself.
local GRACE_SECONDS = 5

local function environment(uv, number, drain_seconds)
  local list = {}
  for name, value in pairs(uv.os_environ()) do
    if not HIDDEN[name] and name ~= control.NUMBER and name ~= control.DRAIN_SECONDS then
      list[#list + 1] = name .. "=" .. value
    end
  end
  list[#list + 1] = ("%s=%d"):format(control.NUMBER, number)
  list[#list + 1] = ("%s=%s"):format(control.DRAIN_SECONDS, tostring(drain_seconds))
  return list
end

local function close(handle)
  if handle and not handle:is_closing() then handle:close() end
end

-- The ends of both pipes that stay here.
local function open_pipes(self, orders, answers)
  local uv = self.uv
  self.orders, self.answers = uv.new_pipe(false), uv.new_pipe(false)
  self.orders:open(orders.write)
  self.answers:open(answers.read)
  local heard = ""
  self.answers:read_start(function(_, bytes)
    heard = heard .. (bytes or "")
    if heard:find(control.READY .. "\n", 1, true) and self.state == "starting" then
      self.state = "ready"
      self.timer:stop()
      self.on_ready(self)
    end
    if #heard > 100 or not bytes then close(self.answers) end
  end)
end

local function ended(self, code, signal)
  self.state = "ended"
  for _, handle in ipairs({ self.handle, self.orders, self.answers, self.timer }) do close(handle) end
  self.on_exit(self, code, signal)
end

local function spawn(self, settings, orders, answers)
  local args = {}
  for i = 2, #settings.command do args[i - 1] = settings.command[i] end
  return self.uv.spawn(settings.command[1], {
    args = args, env = environment(self.uv, self.number, settings.drain_seconds),
    stdio = { 0, 1, 2, settings.fd, orders.read, answers.write },
    -- Signals of a terminal are for the launcher.
    detached = true,
  }, function(code, signal) ended(self, code, signal) end)
end

--- Starts a worker.
-- @tparam table uv luv
-- @tparam integer number which worker it is
-- @tparam table settings `command`, `fd` (the listening socket), `drain_seconds`, `ready_seconds`
-- @tparam function on_ready `on_ready(process)`: it accepts connections
-- @tparam function on_exit `on_exit(process, code, signal)`
-- @treturn[1] process with `pid`, `number`, `started_at`, `state`: `starting`, `ready`, `draining` or `ended`
-- @treturn[2] nil
-- @treturn[2] string why not
function process.start(uv, number, settings, on_ready, on_exit)
  local orders, answers = uv.pipe(), uv.pipe()
  local self = setmetatable({
    uv = uv, number = number, state = "starting", on_ready = on_ready, on_exit = on_exit, started_at = uv.now(),
    grace_seconds = settings.ready_seconds,
  }, process)
  local pid
  self.handle, pid = spawn(self, settings, orders, answers)
  uv.fs_close(orders.read)
  uv.fs_close(answers.write)
  if not self.handle then
    uv.fs_close(orders.write)
    uv.fs_close(answers.read)
    return nil, ("cannot start %s: %s"):format(settings.command[1], tostring(pid))
  end
  self.pid, self.timer = pid, uv.new_timer()
  open_pipes(self, orders, answers)
  self:kill_after(settings.ready_seconds)
  return self
end

--- Ends the worker by force after a time, if it has not become ready, or ended, by then.
-- @tparam number seconds
function process:kill_after(seconds)
  self.timer:start(math.floor(seconds * 1000), 0, function()
    self.is_late, self.was_ready = true, self.state ~= "starting"
    self:signal("sigkill")
  end)
end

--- Has the worker drain and end.
-- @tparam number seconds
function process:drain(seconds)
  if self.state == "ended" or self.state == "draining" then return end
  self.state = "draining"
  -- Where it has just ended, its end is heard of.
  self.orders:write(control.drain_order(seconds))
  self:kill_after(seconds + GRACE_SECONDS)
end

--- Sends a signal.
-- @tparam string name such as `sigusr1`
function process:signal(name)
  if self.state ~= "ended" then self.handle:kill(name) end
end

require("websockets.loading").interpret(environment)

return process
