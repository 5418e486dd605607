--- What the current turn of a context still has to do, and protected calls of the application's functions.
-- @module websockets.connection.agenda
local agenda = {}
agenda.__index = agenda

--- Makes an agenda with nothing to do.
-- @tparam table settings `log`, `on_error`
-- @treturn agenda
function agenda.new(settings)
  return setmetatable({
    settings = settings, failure = false,
    waiting = {}, waiting_count = 0, is_waiting = {},
    touched = {}, touched_count = 0,
    retired = {}, retired_count = 0, told = 0,
    blocked = {}, blocked_count = 0,
  }, agenda)
end

--- Writes a message to the application's log.
-- @tparam string level `error`, `warning`, `info`
-- @tparam string message
function agenda:log(level, message)
  local log = self.settings.log
  if log then pcall(log, level, message) end
end

--- Reports an error of a callback: `on_error` is told; without it the first error leaves the turn at its end, and the
-- others go to the log.
-- @param err what was raised
-- @tparam ?table ws the connection whose callback raised it
function agenda:fail(err, ws)
  local on_error = self.settings.on_error
  if on_error then
    local is_told, err_there = pcall(on_error, err, ws)
    if is_told then return end
    err = err_there
  end
  if self.failure then
    local _, text = pcall(tostring, err)
    self:log("error", text)
  else
    self.failure = { err }
  end
end

local function returned(self, ws, is_good, ...)
  if is_good then return true, ... end
  self:fail((...), ws)
  return false
end

--- Calls a function of the application; what it raises does not stop the turn.
-- @tparam ?table ws the connection whose callback it is
-- @tparam function fn
-- @param ... its arguments
-- @treturn boolean whether it returned
-- @return what it returned
function agenda:call(ws, fn, ...)
  return returned(self, ws, pcall(fn, ...))
end

--- Has a connection read again in the next turn, without waiting for its descriptor.
-- @tparam table ws
function agenda:again(ws)
  -- A set beside the list: a field of the connection would be its seventeenth, and Lua doubles its table then.
  if self.is_waiting[ws] then return end
  local count = self.waiting_count + 1
  self.waiting[count], self.is_waiting[ws] = ws, true
  self.waiting_count = count
end

--- Hands over the list of connections to be read again, and begins a new one.
-- @treturn {table,...}
-- @treturn integer how many
function agenda:take_waiting()
  local waiting, count = self.waiting, self.waiting_count
  self.waiting, self.is_waiting, self.waiting_count = {}, {}, 0
  return waiting, count
end

--- Has a connection flushed at the end of this turn although it may have queued nothing.
-- @tparam table ws
function agenda:touch(ws)
  local count = self.touched_count + 1
  self.touched[count] = ws
  self.touched_count = count
end

--- Has the end of a connection reported, and its descriptor closed, at the end of this turn.
-- @tparam table ws
function agenda:retire(ws)
  local count = self.retired_count + 1
  self.retired[count] = ws
  self.retired_count = count
end

--- Notes whether a connection waits for its peer to take bytes.
-- @tparam table ws `blocked`: its place in the list, false outside
-- @tparam boolean is_blocked
function agenda:block(ws, is_blocked)
  local blocked, slot, count = self.blocked, ws.blocked, self.blocked_count
  if is_blocked and not slot then
    blocked[count + 1] = ws
    ws.blocked, self.blocked_count = count + 1, count + 1
  elseif slot and not is_blocked then
    local last = blocked[count]
    blocked[slot], last.blocked = last, slot
    blocked[count] = nil
    ws.blocked, self.blocked_count = false, count - 1
  end
end

return agenda
