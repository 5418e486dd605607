--- A server for the rows of the table of system faults, and a client that stands for all others.
-- @module spec.support.system_faults.world
local client = require("spec.support.client")
local faults = require("system_faults")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local socket = require("socket")

local world = {}
world.__index = world

-- A context that waits has this many turns at most in this time; one that spins has hundreds.
local CALM_SECONDS, WAIT_MILLISECONDS, CALM_TURNS = 0.06, 20, 12
local FILE_BYTES = 300000

local function handler(self)
  return function(ws)
    self.ws[#self.ws + 1] = ws
    ws:on_receive(function(from, data, kind) from:write(data, kind) end)
    ws:on_closed(function(_, code, reason, clean, why)
      self.closed[#self.closed + 1] = { ws = ws, code = code, reason = reason, clean = clean, why = why }
    end)
  end
end

local function write_file()
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(("0123456789"):rep(FILE_BYTES / 10))
  file:close()
  return path
end

--- Makes a world.
-- @tparam[opt] table options of the context
-- @treturn table `run` (the server), `ws` (those of the server, in their order), `closed` (`ws`, `code`, `reason`,
-- `clean`, `why`), `lines` (of the log), `path` of a file of `file_bytes`
function world.new(options)
  local self = setmetatable({ ws = {}, closed = {}, lines = {}, path = write_file(), file_bytes = FILE_BYTES }, world)
  local all = {
    protocols = { echo = handler(self) },
    on_http = function(ws, uri, _, _, body)
      if uri == "/file" then ws:serve_http_file(self.path, "text/plain") else ws:respond(200, nil, body or "") end
    end,
    log = function(level, text) self.lines[#self.lines + 1] = level .. ": " .. text end,
  }
  for name, value in pairs(options or {}) do all[name] = value end
  self.run = server.start(all)
  self.context = self.run.context
  self.beside = self:open()
  self:settle()
  collectgarbage()
  collectgarbage()
  self.descriptors = faults.descriptors()
  return self
end

--- Has calls fail.
-- @tparam table rule as for the fixture's `rule`
function world.fault(_, rule) faults.rule(rule) end

--- Sets the wall clock.
-- @function world.clock
-- @tparam number seconds that it is ahead
-- @tparam number rate at which it goes
world.clock = faults.clock

--- Ends all faults.
-- @treturn number how often they have applied; raises where they never have
function world.heal()
  local hits = faults.clear()
  assert(hits > 0, "the fault was never met")
  return hits
end

--- Connects a client that says nothing yet.
function world:connect() return client.connect(self.run) end

--- Opens a WebSocket.
-- @treturn client
-- @treturn table ws of the server
function world:open()
  local made = client.open(self.run, "echo")
  return made, self.ws[#self.ws]
end

--- Connects a client, and has it accepted.
-- @treturn client
-- @treturn integer descriptor of the server
function world:accepted()
  local before, made, new = inside.all(self.context), self:connect(), nil
  self:pump(function()
    for ws in pairs(inside.all(self.context)) do
      if not before[ws] then new = ws end
    end
    return new
  end, "a connection to be accepted")
  return made, new:get_socket_fd()
end

--- Serves until a condition holds.
function world:pump(condition, what) return self.run:pump(condition, what) end

--- Serves until nothing is on its way.
function world:settle() self.run:settle() end

--- Checks that a text comes back.
function world.echo(_, from, text)
  from:text(text)
  local opcode, payload
  repeat opcode, payload = from:message() until opcode ~= 9
  assert(opcode == 1 and payload == text, ("no echo of %q: %s %q"):format(text, tostring(opcode), tostring(payload)))
end

--- Waits for the end of a connection.
-- @tparam table ws
-- @tparam integer code
-- @tparam string whys words that are right, with blanks between
function world:ended(ws, code, whys)
  local found
  self:pump(function()
    for _, one in ipairs(self.closed) do
      if one.ws == ws then found = one end
    end
    return found
  end, "on_closed")
  local is_right = (" " .. whys .. " "):find(" " .. tostring(found.why) .. " ", 1, true)
  assert(found.code == code and is_right, ("%d %s, not %d %s"):format(found.code, tostring(found.why), code, whys))
  return found
end

--- Checks that the server waits and does not spin.
function world:calm()
  local turns, until_time = 0, socket.gettime() + CALM_SECONDS
  repeat
    self.context:service(WAIT_MILLISECONDS)
    turns = turns + 1
    assert(turns <= CALM_TURNS, "it spins")
  until socket.gettime() > until_time
end

--- Checks how many lines the log has, and the first of them.
function world:logged(count, pattern)
  assert(#self.lines == count, ("%d lines: %s"):format(#self.lines, table.concat(self.lines, "\n")))
  if pattern then assert(self.lines[1]:find(pattern), self.lines[1]) end
end

--- Checks that others are served, and that everything comes back.
function world:check()
  faults.clear()
  self:echo(self.beside, "beside")
  local new = self:open()
  self:echo(new, "new")
  for _, one in ipairs(self.run.clients) do
    if one ~= self.beside then one:close() end
  end
  collectgarbage()
  collectgarbage()
  local is_clean = pcall(self.pump, self, function()
    return inside.connections(self.context) == 1 and faults.descriptors() == self.descriptors
  end)
  if not is_clean then
    error(("%d connections, %d descriptors left"):format(inside.connections(self.context) - 1,
      faults.descriptors() - self.descriptors), 0)
  end
  assert(inside.buffered(self.context) == 0 and inside.budget(self.context) == 0, "something is held")
  self:calm()
end

--- Ends everything.
function world:close()
  faults.clear()
  faults.clock(0, 1)
  server.stop_all()
  os.remove(self.path)
end

return world
