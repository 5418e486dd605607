--- Connections of a context without sockets: what is above the wires is real, wires and poller only note what they are
-- told.
-- @module spec.support.fakes
local connection = require("websockets.connection.connection")
local delivery = require("websockets.turn.delivery")
local lifecycle = require("websockets.connection.lifecycle")
local new_context = require("websockets.context").new

local fakes = {}

-- No descriptor of the system has such a number.
local next_fd = 1000000

local wire = {}
wire.__index = wire

--- Makes a wire. What it does is set in its fields, and read there.
-- @treturn table `calls`: names of what was called; `pushed`: each `{ opcode, payload, fin, plain }`; `refusals`: how
-- many pushes are refused with `why`; `pending`: bytes that wait; `flushes`: results of the next flushes, each
-- `{ pending, took }`; `drops`: bytes that the next drops give; `reads`: what the next reads give, each a list of
-- opcodes and payloads with `again`, or `{ why = … }`, or a function that gives one
function fakes.wire()
  return setmetatable({
    calls = {}, pushed = {}, refusals = 0, why = "full", pending = 0,
    flushes = {}, drops = {}, dropped = {}, reads = {}, is_direct = false,
  }, wire)
end

local function note(self, ...) self.calls[#self.calls + 1] = table.concat({ ... }, " ") end

function wire:push(opcode, payload, fin, plain)
  if self.refusals > 0 then
    self.refusals = self.refusals - 1
    return nil, self.why
  end
  self.pushed[#self.pushed + 1] = { opcode, payload, fin, plain }
  return true
end

-- Every write of the fast path is left to the longer way.
function wire.write() return nil end

function wire:drop(enough)
  self.dropped[#self.dropped + 1] = enough
  local bytes = table.remove(self.drops, 1) or 0
  return bytes, bytes > 0 and 1 or 0
end

local function next_read(self)
  local read = table.remove(self.reads, 1) or { why = "timeout" }
  return type(read) == "function" and read() or read
end

function wire:read(batch)
  note(self, "read")
  local read = next_read(self)
  if read.why then return nil, read.why end
  for i = 1, #read do batch[i] = read[i] end
  return #read / 2, read.again or false
end

function wire:receive()
  note(self, "receive")
  local read = next_read(self)
  if read.why then return nil, read.why end
  return read[1], read.again or false
end

function wire:flush()
  note(self, "flush")
  local result = table.remove(self.flushes, 1) or { 0, false }
  self.pending = result[1] or self.pending
  return result[1], result[2]
end

function wire:direct(is_on)
  note(self, "direct", tostring(is_on))
  self.is_direct = is_on
  if self.hub then self.hub.direct[self.owner] = is_on and self or nil end
end

function wire:buffered() return self.pending end
function wire:shutdown() note(self, "shutdown") end
function wire:close() note(self, "close") end
function wire:start() note(self, "start") end
function wire:raw(bytes) note(self, "raw", bytes) end
function wire.heard() return false end
function wire.unfinished() return 0, 0 end
function wire:release() note(self, "release") end
function wire.peer() return "192.0.2.1" end

local function new_poller()
  local poller = { watched = {}, alarms = {}, waits = {}, fault = "waiting failed" }
  function poller:interrupt() self.is_interrupted = true end
  poller.source = poller
  function poller:watch(_, ws, read, write) self.watched[ws] = { read, write } end
  function poller:set_alarm(seconds) self.alarms[#self.alarms + 1] = seconds or false end
  function poller.can_watch() return true end
  function poller:close() self.is_closed = true end
  -- Finds what stands in `ready`, at once.
  function poller.wait(self, seconds, _, readable)
    self.waits[#self.waits + 1] = seconds or false
    local ready = self.ready or {}
    self.ready = nil
    for i = 1, #ready do readable[i] = ready[i] end
    return #ready, 0
  end
  return poller
end

--- Makes a context whose clock stands at `now` until that is changed.
-- @tparam[opt] table given options in place of the defaults
-- @treturn table context
function fakes.context(given)
  local self = { now = 100 }
  local function clock() return self.now end
  self = new_context(given or {}, 2, nil, { poller = { new = new_poller }, clock = clock, sleep = function() end })
  self.wire_class = {
    new = function(_, one) return one end, is_own = function() return true end,
    excess = function() return 0 end,
    fanout = function() return 0 end,
  }
  return self
end

--- Reads once from each of some connections or listeners.
-- @tparam table context
-- @tparam table ... them
function fakes.read(context, ...)
  for i = 1, select("#", ...) do delivery.run(delivery.read_one, context, nil, (select(i, ...))) end
end

--- Takes the connections that are to be read again.
-- @tparam table context
-- @treturn {table,...}
function fakes.take_waiting(context)
  local list, last = {}, context.agenda.waiting_count
  local ws = context.agenda:next_waiting(last)
  while ws do
    list[#list + 1] = ws
    ws = context.agenda:next_waiting(last)
  end
  context.agenda.current = false
  return list
end

--- Makes what a connection is until its WebSocket is open.
-- @treturn table `calls`: what it was told
function fakes.phase()
  local calls = {}
  local function noting(name)
    return function(_, _, ...) calls[#calls + 1] = { name, ... } end
  end
  return {
    calls = calls, feed = noting("feed"), ended = noting("ended"), flushed = noting("flushed"),
    failed = function(_, ws, why) lifecycle.abort(ws, why) end,
    advance = noting("advance"), release = function() calls[#calls + 1] = { "release" } end,
  }
end

-- How a connection comes into each state, from the one in which it begins.
local function conclude(ws, code)
  lifecycle.answer_close(ws, { code = code, reason = "", clean = true, why = "closed" }, "")
end

local WAYS = {
  dialling = function() end, http = function() end, open = lifecycle.open,
  closing = function(ws)
    lifecycle.open(ws)
    lifecycle.close(ws, 1000)
  end,
  draining = function(ws)
    lifecycle.open(ws)
    conclude(ws, 1000)
  end,
  lingering = function(ws)
    lifecycle.open(ws)
    lifecycle.fail(ws, 1002, "what was wrong", "protocol")
    lifecycle.drained(ws)
  end,
  closed = function(ws) lifecycle.abort(ws, "timeout") end,
  away = function(ws)
    lifecycle.abort(ws, "timeout")
    lifecycle.depart(ws)
  end,
}

--- Makes a connection, and brings it into a state.
-- @tparam table context
-- @tparam[opt="open"] string state
-- @tparam[opt="server"] string role
-- @treturn table ws
-- @treturn table its wire
-- @treturn table the phase with which it began
function fakes.connection(context, state, role)
  local one, phase = fakes.wire(), fakes.phase()
  local given
  state = state or "open"
  if state == "dialling" or role == "client" then
    given = { settings = context.settings, expire = function(ws) lifecycle.abort(ws, "timeout", "no connection") end }
  end
  next_fd = next_fd + 1
  one.hub = context.hub
  local ws = connection.new(context, one, next_fd, phase, given)
  one.owner = ws
  if given and state ~= "dialling" then lifecycle.connected(ws) end
  WAYS[state](ws)
  return ws, one, phase
end

return fakes
