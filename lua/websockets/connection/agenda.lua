--- What the current turn of a context still has to do, and protected calls of the application's functions.
-- @module websockets.connection.agenda
local descriptor = require("websockets.connection.descriptor")
local drops = require("websockets.connection.drops")
local errors = require("websockets.errors")
local lifecycle = require("websockets.connection.lifecycle")
local loading = require("websockets.loading")

local agenda = {}
agenda.__index = agenda

local max = math.max

--- Stands in the place of an error that leaves the turn where none does: the turn ends, so that the next one can begin
-- with `turn.repair`, or so that it is seen that nothing is left to be served.
agenda.LEAVE = { false }

--- `task`: what of `websockets.waiting.tasks` runs in this Lua at the moment, false where nothing does; `agenda.HIDDEN`
-- where the library calls a function of the application from inside of that one, which is `hidden` then.
agenda.RUNNING = { task = false, hidden = false }
agenda.HIDDEN = {}

local RUNNING, HIDDEN = agenda.RUNNING, agenda.HIDDEN
local OUT_OF_MEMORY = loading.OUT_OF_MEMORY

-- An error may come at any place, when memory is refused or when a hook raises (Ctrl-C). So each list gets its element
-- before its count, and gives up an element only when that has been dealt with, or is named by `current`.

--- Makes an agenda with nothing to do.
-- @tparam table settings `log`, `on_error`, `on_drop`
-- @treturn agenda `current`: the connection or listener that the library works on, outside of callbacks; an error that
-- leaves it there has left that one half done. `is_damaged`: such an error has come, and `turn.repair` has not yet
-- followed. `opening`: the connection whose handler is being called, because it is open now.
function agenda.new(settings)
  return setmetatable({
    settings = settings, failure = false, kept = { false }, current = false, is_damaged = false,
    opening = false,
    waiting = {}, waiting_first = 1, waiting_count = 0, is_waiting = {},
    touched = {}, touched_count = 0,
    retired = {}, retired_count = 0, told = 0,
    blocked = {}, blocked_count = 0, drops = drops.new(settings.on_drop),
  }, agenda)
end

local function write_log(self, level, message)
  local log = self.settings.log
  if log then pcall(log, level, message) end
end

--- Writes a message to the application's log: one line, whatever names and texts of others are in it.
-- @tparam string level `error`, `warning`, `info`
-- @tparam string message
function agenda:log(level, message)
  if self.settings.log then write_log(self, level, errors.printable(message)) end
end

--- Reports an error of a callback: `on_error` is told; without it the first error leaves the turn at its end, and the
-- others go to the log.
-- @param err what was raised
-- @tparam ?table ws the connection whose callback raised it
function agenda:fail(err, ws)
  if err == OUT_OF_MEMORY then
    self.is_damaged = true
    self:leave()
    -- Lua 5.1 collects when so much is in use, not when no more can be had.
    pcall(collectgarbage)
  end
  local on_error = self.settings.on_error
  if on_error then
    local is_told, err_there = pcall(on_error, err, ws)
    if is_told then return end
    err = err_there
  end
  if not self:keep(err) then self:log_error(err) end
end

-- In Neovim bytes on stderr would spoil its screen.
local function notify(text)
  text = "websockets: " .. tostring(text)
  local vim = rawget(_G, "vim")
  if type(vim) == "table" and vim.schedule and vim.notify then
    return vim.schedule(function() vim.notify(text, vim.log.levels.ERROR) end)
  end
  io.stderr:write(text, "\n")
end

--- Writes an error to the log that nobody else hears of, as it is: it may have a traceback. Without a log it goes to
-- stderr, or to `vim.notify`.
-- @param err what was raised
function agenda:log_error(err)
  local _, text = pcall(tostring, err)
  if self.settings.log then return write_log(self, "error", text) end
  pcall(notify, text)
end

--- Has no more turns follow this one without a look at what is left; an error that leaves it does that too.
function agenda:leave()
  if not self.failure then self.failure = agenda.LEAVE end
end

--- Has an error leave the turn at its end, if it is the first. This needs no memory.
-- @param err
-- @treturn boolean whether it is
function agenda:keep(err)
  if self.failure and self.failure ~= agenda.LEAVE then return false end
  self.kept[1] = err
  self.failure = self.kept
  return true
end

local function returned(self, ws, is_good, ...)
  if is_good then return true, ... end
  self:fail((...), ws)
  return false
end

local function shown(task, hidden, ...)
  RUNNING.task, RUNNING.hidden = task, hidden
  return ...
end

-- The library is amid something that a task has called: what it calls there may not suspend that task.
local function call_hidden(self, ws, fn, ...)
  local task, hidden = RUNNING.task, RUNNING.hidden
  RUNNING.task, RUNNING.hidden = HIDDEN, task == HIDDEN and hidden or task
  return shown(task, hidden, returned(self, ws, pcall(fn, ...)))
end

--- Calls a function of the application; what it raises does not stop the turn.
-- @tparam ?table ws the connection whose callback it is
-- @tparam function fn
-- @param ... its arguments
-- @treturn boolean whether it returned
-- @return what it returned
function agenda:call(ws, fn, ...)
  if RUNNING.task then return call_hidden(self, ws, fn, ...) end
  return returned(self, ws, pcall(fn, ...))
end

--- Has a connection read again in the next turn, without waiting for its descriptor.
-- @tparam table ws
function agenda:again(ws)
  -- A set beside the list: a field of the connection would be its seventeenth, and Lua doubles its table then.
  if self.is_waiting[ws] then return end
  local count = self.waiting_count + 1
  self.waiting[count] = ws
  self.waiting_count = count
  self.is_waiting[ws] = true
end

--- Takes the next connection that is to be read again; it becomes `current`.
-- @tparam integer last place of the list that is looked at
-- @treturn ?table nil where there are no more up to there; what has been added since moves to the front
function agenda:next_waiting(last)
  local waiting, first = self.waiting, self.waiting_first
  while first <= last do
    local ws = waiting[first]
    if ws then
      self.current = ws
      self.is_waiting[ws] = nil
    end
    waiting[first] = false
    first = first + 1
    self.waiting_first = first
    if ws then return ws end
  end
  local added = self.waiting_count - last
  for i = 1, added do waiting[i] = waiting[last + i] end
  self.waiting_first = 1
  self.waiting_count = added
  for i = max(last, added) + 1, last + added do waiting[i] = false end
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
    ws.blocked = count + 1
    self.blocked_count = count + 1
  elseif slot and not is_blocked then
    -- Where an interrupted turn (Ctrl-C) had got so far, its place is that of another, or not yet in the list.
    if blocked[slot] == ws and slot <= count then
      local last = blocked[count]
      last.blocked = slot
      blocked[slot] = last
      -- Before the place is empty: all that are counted are there.
      self.blocked_count = count - 1
      blocked[count] = nil
    end
    ws.blocked = false
  end
end

--- Tells the application that a connection has ended; its descriptor is still open.
-- @tparam table ws
function agenda:tell_closed(ws)
  local handler, outcome = ws.closed_handler, ws.outcome
  lifecycle.complete(ws)
  ws.closed_handler = false
  descriptor.announce(ws, false)
  if handler then self:call(ws, handler, ws, outcome.code, outcome.reason, outcome.clean, outcome.why) end
end

return agenda
