--- The slow end of a context: nothing new begins, and what goes on comes to its own end.
-- @module websockets.turn.drain
local connection = require("websockets.connection.connection")
local entry = require("websockets.turn.entry")
local lifecycle = require("websockets.connection.lifecycle")
local walk = require("websockets.connection.walk")

local drain = {}
drain.__index = drain

local GOING_AWAY = 1001
-- How often it is looked at what is left, and the batches come.
local STEP_SECONDS = 0.05
-- How long after the beginning a connection without any request may still send one, if nothing else is left.
local FIRST_REQUEST_SECONDS = 1

--- Tells whether a request that begins now is served; the others are answered 503.
-- @tparam boolean is_first whether the connection has had no other
-- @treturn boolean
function drain:admits(is_first)
  return is_first and self.settings.serve_accepted
end

local function close(ws)
  -- What the peer sent before it has read our close frame is delivered.
  ws.hears_on = true
  connection.close(ws, GOING_AWAY)
end

-- Whether a connection in the HTTP phase waits for a request that it can do without.
local function is_idle(self, ws, now)
  local phase = ws.phase
  if phase.stage ~= "head" then return not phase.request and now >= self.began + FIRST_REQUEST_SECONDS end
  if phase.scanner or phase.rest ~= "" or ws.wire:buffered() > 0 then return false end
  return phase.number > 0 or now >= self.began + FIRST_REQUEST_SECONDS
end

-- A peer that has sent nothing has nothing to lose.
local function finish_idle(ws)
  if ws.phase.stage == "head" then lifecycle.finish(ws) else lifecycle.abort(ws, "closed") end
end

-- Deals with one connection; whether it was sent a close frame.
local function visit(self, ws, now)
  local state = ws.state
  if state == "closed" or ws.settings.is_aside then return false end
  if ws.role == "client" then
    if self.are_servers_gone and state ~= "closing" and state ~= "draining" and state ~= "lingering" then close(ws) end
    return self.are_servers_gone
  end
  self.sees_server = true
  -- Whole messages may wait for the last fragment of another one: a close frame would cut both off.
  if state == "open" and not (ws.fragment and now < self.hurry_at) then
    close(ws)
    return true
  end
  if state ~= "http" or not is_idle(self, ws, now) then
    self.sees_busy = true
  elseif self.is_quiet then
    finish_idle(ws)
  end
  return false
end

-- All have been looked at. Connections that wait for a request end last, but for those that this side has opened: what
-- is delivered may be passed on there.
local function end_sweep(self)
  self.is_quiet, self.are_servers_gone = not self.sees_busy, not self.sees_server
  self.sees_busy, self.sees_server = false, false
  self.following = false
  if self.are_servers_gone then
    for ws in pairs(self.context.away) do connection.close(ws, GOING_AWAY) end
  end
end

local function send_batch(self, now)
  self.following = self.following or walk.each(self.context)
  local sent = 0
  while sent < self.settings.batch do
    local ws = self.following()
    if not ws then return end_sweep(self) end
    if visit(self, ws, now) then
      sent = sent + 1
      if ws.role ~= "client" then self.sees_busy = true end
    end
  end
end

-- How many connections lose something by being ended now: one that lingers has sent all there was.
local function count_left(context)
  local left = context.connection_count
  for ws in walk.each(context) do
    if not ws.settings.is_aside and (ws.state == "lingering" or ws.state == "closed") then left = left - 1 end
  end
  return left
end

local function finish(self)
  local context, on_drained = self.context, self.settings.on_drained
  context.timers:unplan(self)
  if on_drained then context.agenda:call(nil, on_drained, count_left(context)) end
  entry.destroy(context)
end

local function is_over(self, now)
  local context = self.context
  return now >= self.deadline or (context.connection_count == 0 and next(context.away) == nil)
end

function drain:fire(now)
  local context = self.context
  context.timers:plan(self, math.min(now + self.step_seconds, self.deadline))
  if not is_over(self, now) then
    send_batch(self, now)
  elseif context.turn == self.turn then
    -- The call that drains returns first: `run`, which may follow it, raises in a context that has been destroyed.
    context.timers:plan(self, now)
  else
    finish(self)
  end
end

-- All get their close frame within half of the time.
local function step_seconds(context, seconds, batch)
  return math.min(STEP_SECONDS, seconds / 2 * batch / math.max(1, context.connection_count))
end

--- Begins, or sets the time anew. It must be called within a turn.
-- @tparam table context
-- @tparam number seconds
-- @tparam table settings `batch`, `on_drained`, `serve_accepted`
function drain.begin(context, seconds, settings)
  local now = context.now
  local self = context.draining
  if not self then
    self = setmetatable({
      context = context, place = false, began = now, following = false, sees_busy = false, sees_server = false,
      is_quiet = false, are_servers_gone = false,
    }, drain)
    context.draining = self
  end
  self.settings, self.deadline, self.hurry_at, self.turn = settings, now + seconds, now + seconds / 2, context.turn
  self.step_seconds = step_seconds(context, seconds, settings.batch)
  -- First: an error in what follows must not leave the context without an end.
  context.timers:plan(self, now)
  if context.listener then context.listener:finish() end
end

require("websockets.loading").interpret(end_sweep, is_over)

return drain
