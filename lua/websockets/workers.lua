--- Several processes that serve one port: `websockets.workers` makes their launcher.
-- @classmod websockets.workers
local control = require("websockets.server.control")
local definition = require("websockets.options.definition")
local endpoint = require("websockets.server.endpoint")
local engine = require("websockets.engine.loader")
local errors = require("websockets.errors")
local flags = require("websockets.transport.flags")
local inherited = require("websockets.server.inherited")
local launcher = require("websockets.workers.launcher")
local luasocket = require("websockets.transport.luasocket")
local options = require("websockets.options.context").KNOWN

local workers = {}
workers.__index = workers

local define, is_integer = definition.new, definition.is_integer

local function is_words(value)
  if type(value) ~= "table" or #value == 0 then return false end
  for i, word in pairs(value) do
    if type(i) ~= "number" or type(word) ~= "string" then return false, errors.entry(value, i) end
  end
  return true
end

-- The launcher itself follows the others.
local FORWARDED = { sigusr1 = true, sigusr2 = true, sigwinch = true, sigquit = true, sigalrm = true }

local function is_signals(value)
  if type(value) ~= "table" then return false end
  for i, name in pairs(value) do
    if type(i) ~= "number" or not FORWARDED[name] then return false, errors.entry(value, i) end
  end
  return true
end

--- The options, by name: `default`, `check(value)`, `expected`.
workers.KNOWN = {
  count = define(nil, function(value) return is_integer(value, 1, 4096) end, "number of processes 1 to 4096"),
  script = define(nil, function(value) return type(value) == "string" and value ~= "" end, "path of a Lua program"),
  command = define(nil, is_words, "list of a program and its arguments"),
  port = options.port, interf = options.interf, log = options.log, notify = options.notify,
  socket = define(nil, function(value) return value ~= "worker" and options.socket.check(value) end,
    'listening LuaSocket object, "systemd" or "systemd:NAME"'),
  drain_seconds = define(30, definition.is_seconds, "number of seconds above 0"),
  ready_seconds = define(30, definition.is_seconds, "number of seconds above 0"),
  forward = define({}, is_signals, 'list of "sigusr1", "sigusr2", "sigwinch", "sigquit", "sigalrm"'),
}

local function load_luv(level)
  local found, uv = pcall(require, "luv")
  if found then return uv end
  local is_missing = tostring(uv):find("module 'luv' not found", 1, true)
  error("websockets.workers needs luv, which " .. (is_missing and "is not installed (luarocks install luv)"
    or "cannot be loaded: " .. tostring(uv):match("^[^\n]*")), level)
end

local function read(given, level)
  if type(given) ~= "table" then errors.argument(1, "workers", "table", given, level + 1) end
  local settings = definition.defaults(workers.KNOWN)
  for name, value in pairs(given) do settings[name] = definition.check(workers.KNOWN, name, value, level + 1) end
  if (settings.script == nil) == (settings.command == nil) then
    error("option 'script' or 'command' says what a worker runs: give one of them", level)
  end
  if settings.socket and (settings.port or settings.interf) then
    error("option 'socket' takes the place of 'port' and 'interf': give one or the other", level)
  end
  if not settings.socket and (settings.port or 0) == 0 then
    error("option 'port' or 'socket' says where the workers listen: give one of them", level)
  end
  settings.is_adopted = settings.socket ~= nil
  if settings.notify == nil then settings.notify = inherited.is_name(settings.socket) end
  return settings
end

-- LuaSocket makes it non-blocking; what another program has opened, `inherited` does.
local function listen(settings)
  if inherited.is_name(settings.socket) then return inherited.open(settings.socket) end
  if settings.socket then return settings.socket end
  local port = settings.port == "any" and 0 or settings.port
  local socket, why, address = endpoint.listen(luasocket, settings.interf, port, engine.choose().interface_address)
  return socket, ("cannot listen on %s:%s: %s"):format(tostring(address), tostring(port), tostring(why))
end

--- Makes a launcher: it listens, and nothing is started yet. Called as `websockets.workers`.
-- @tparam table given options by name; docs/workers.md lists them
-- @tparam integer level of the caller, as for `error`
-- @treturn workers
-- @raise for a wrong or unknown option; without luv; in a worker; `websocket could not create workers: ` and the reason
function workers.new(given, level)
  local settings = read(given, level + 1)
  if control.is_here() then error("a worker starts no workers: websockets.workers is for another program", level) end
  local uv = load_luv(level + 1)
  settings.count = settings.count or math.max(1, #(uv.cpu_info() or {}))
  settings.command = settings.command or { uv.exepath(), settings.script }
  local socket, why = listen(settings)
  if not socket then error("websocket could not create workers: " .. why, level) end
  -- A worker gets it as its descriptor 3 alone.
  flags.set(math.floor(socket:getfd()), false, true, engine.choose().set_flags)
  return setmetatable({ uv = uv, launcher = launcher.new(uv, socket, settings) }, workers)
end

--- Starts the workers, and returns. They run as long as luv's loop does.
-- @treturn nil
-- @raise where they have been started
function workers:start()
  errors.check_object(self, "launcher", "workers:start")
  if self.launcher.state ~= "new" then error("the workers have been started already", 2) end
  self.launcher:start()
end

--- Starts the workers, and keeps them running until `stop` is called or a signal comes: SIGTERM and SIGINT stop them,
-- SIGHUP replaces them. It runs luv's loop, and returns when the last worker has ended.
-- @treturn nil
-- @raise where they have ended
function workers:run()
  errors.check_object(self, "launcher", "workers:run")
  local state = self.launcher.state
  if state == "ended" then error("the workers have ended", 2) end
  if state == "new" then self.launcher:start() end
  self.launcher:keep_signals()
  while self.launcher.state ~= "ended" do self.uv.run("once") end
  -- What the last callback has closed is closing until then, and luv crashes where the program ends meanwhile.
  self.uv.run("nowait")
  self.launcher:close_signals()
  self.uv.run("nowait")
end

--- Has all workers drain, and end. A second call ends them by force.
-- @treturn nil
function workers:stop()
  errors.check_object(self, "launcher", "workers:stop")
  self.launcher:stop()
end

--- Replaces all workers, one after the other. A new process is started; when it accepts connections, the old one
-- drains. One that does not become ready ends the replacing, and what was there goes on.
-- @treturn nil
function workers:roll()
  errors.check_object(self, "launcher", "workers:roll")
  self.launcher:roll()
end

--- Lists the workers; while one is being replaced, both. Those that drain are not listed.
-- @treturn {table,...} `number`, `pid`, `state` (`starting` or `ready`)
function workers:list()
  errors.check_object(self, "launcher", "workers:list")
  return self.launcher:list()
end

--- Names the port that is listened on.
-- @treturn ?integer nil for a unix socket, and where the workers have ended
function workers:get_port()
  errors.check_object(self, "launcher", "workers:get_port")
  local _, port = self.launcher.socket:getsockname()
  port = tonumber(port)
  return port and math.floor(port)
end

require("websockets.loading").interpret(is_words, is_signals, read)

return workers
