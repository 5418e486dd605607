--- A server inside the spec that tests it: served by hand, with time under control, ended for certain.
-- @module spec.support.server
local inside = require("spec.support.inside")
local recorder = require("spec.support.recorder")
local socket = require("socket")
local websockets = require("websockets")

local server = {}

--- Whether the accelerator is at work.
server.is_native = require("websockets").engine == "native"

--- How many descriptors beside listener and connections a context announces to an outside loop.
server.own_fds = server.is_native and 1 or 0
--- Handlers of `spec.support.recorder`.
server.recorder, server.echo = recorder.new, recorder.echo
server.__index = server

--- Of a server: the number of the present turn.
server.turn_count = 0

-- It only ends a wait that has failed; a machine with much else to do must not reach it.
local CALM_TURNS = 40
local DEADLINE_SECONDS = 20
-- Of a second of fake time.
local GRAINS = 2 ^ 20
-- After so many turns without success the pump lets the system wait a millisecond.
local BUSY_ROUNDS = 50

local running = {}

--- Start a server on a port that the system chooses.
-- @tparam table options of `websockets.context`; port "any" and interf "127.0.0.1" are filled in
-- @treturn table with `context` and `port`
function server.start(options)
  local all = { port = "any", interf = "127.0.0.1" }
  if options.socket or options.unix then all = {} end
  for name, value in pairs(options) do all[name] = value end
  local context = websockets.context(all)
  local self = setmetatable({ context = context, port = context:get_port(), clients = {} }, server)
  running[#running + 1] = self
  return self
end

--- Serve one turn; replaced by specs that have a loop of their own.
-- @tparam number ms
function server:turn(ms)
  self.turn_count = self.turn_count + 1
  self.context:service(ms)
end

--- Have servers serve each other: a turn of one is a turn of all, but for those with the field `is_still`, and those
-- that were destroyed.
-- @tparam {table,...} list
function server.serve_together(list)
  for _, one in ipairs(list) do
    local turn = one.turn
    function one.turn(...)
      for _, other in ipairs(list) do
        if other ~= one and not other.is_still and not inside.is_destroyed(other.context) then
          other.context:service(0)
        end
      end
      return turn(...)
    end
  end
end

--- Serve so many turns without waiting.
-- @tparam[opt=1] number count
function server:turns(count)
  for _ = 1, count or 1 do self:turn(0) end
end

--- Serve until a condition holds; raises after twenty seconds.
-- @tparam function condition called after each turn
-- @tparam[opt] string what is waited for
-- @return what the condition returned
function server:pump(condition, what)
  local rounds, deadline = 0, socket.gettime() + DEADLINE_SECONDS
  while true do
    local result = condition()
    if result then return result end
    rounds = rounds + 1
    self:turn(rounds > BUSY_ROUNDS and 1 or 0)
    if rounds > BUSY_ROUNDS and socket.gettime() > deadline then
      error("waited too long for " .. (what or "a condition"), 2)
    end
  end
end

--- Serve until as much waits to be sent as many turns ago: the system goes on moving bytes to the peer's side for a
-- while, which would look as if the peer had taken them.
-- @tparam table ws
function server:calm(ws)
  local before, calm = ws:buffered(), 0
  self:pump(function()
    self:turn(1)
    local waits = ws:buffered()
    before, calm = waits, waits == before and calm + 1 or 0
    return calm == CALM_TURNS
  end, "a socket that stays full")
end

--- Serve until the server is quiet: turns enough for anything on its way over the loopback to be done.
function server:settle()
  for _ = 1, 10 do self:turn(0) end
  self:turn(1)
  self:turn(0)
end

-- Up to a fraction of a second that is told exactly however long the system has been running: sums of other numbers
-- would now and then be rounded to less than a deadline.
local function rounded(seconds)
  return math.ceil(seconds * GRAINS) / GRAINS
end

--- Take the time into the spec's own hands: it stands still but for `advance`.
function server:fake_time()
  inside.set_clock(self.context, function(clock)
    self.fake_now = rounded(clock())
    return function() return self.fake_now end
  end)
end

--- Let fake time pass and serve one turn.
-- @tparam number seconds
function server:advance(seconds)
  self.fake_now = rounded(self.fake_now + seconds)
  self:turns(1)
end

--- Have the clock go ahead by so many seconds each time it is asked, where a deadline is waited for that has to be long
-- otherwise: for a program beside this one that is slow because the machine has much else to do.
-- @tparam number seconds 0: from here on it is as fast as all clocks
function server:hurry(seconds)
  if not self.hurry_seconds then
    inside.set_clock(self.context, function(clock)
      local ahead = 0
      return function()
        ahead = ahead + self.hurry_seconds
        return clock() + ahead
      end
    end)
  end
  self.hurry_seconds = seconds
end

--- Let fake time pass up to a deadline that runs while the peer takes nothing, and past it. What the system still
-- takes of a full socket is progress, and begins the time again.
-- @tparam table ws
-- @tparam number seconds since the last progress
-- @tparam function is_over whether the connection has ended: right after the deadline, not before
function server:expire(ws, seconds, is_over)
  local waits
  repeat
    waits = ws:buffered()
    self:advance(seconds - 0.1)
    if is_over() then error("ended before its deadline", 2) end
    if ws:buffered() == waits then self:advance(0.2) end
  until is_over() or ws:buffered() == waits
  if not is_over() then error("not ended at its deadline", 2) end
end

--- Serve one turn that must raise.
-- @treturn any what came out of `service`, nil where nothing did
function server:failure()
  local is_good, err = pcall(self.turn, self, 0)
  if not is_good then return err end
end

--- Serve until a turn raises.
-- @treturn any what came out of `service`
function server:pump_failure()
  local deadline = socket.gettime() + DEADLINE_SECONDS
  while socket.gettime() < deadline do
    local is_good, err = pcall(self.turn, self, 1)
    if not is_good then return err end
  end
  error("no turn raised", 2)
end

--- End the server and its clients.
function server:stop()
  for i = 1, #self.clients do self.clients[i]:close() end
  self.clients = {}
  pcall(self.context.destroy, self.context)
  if self.on_stop then self.on_stop() end
end

--- End all servers; for `after_each`.
function server.stop_all()
  for i = #running, 1, -1 do
    running[i]:stop()
    running[i] = nil
  end
end

return server
