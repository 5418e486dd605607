--- Timers of a context: `context:after` and `context:every` make them.
-- @classmod websockets.timer
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")

local timer = {}
timer.__index = timer

-- The next time of a timer that was due at `due`. Times that have passed are left out.
local function next_due(due, period, now)
  local passed = math.max(0, math.floor((now - due) / period))
  local following = due + (passed + 1) * period
  -- A period may be too short for the numbers.
  return following > now and following or now + period
end

local function fire(self, now)
  local context, fn, period = self.context, self.fn, self.period
  local timers = context.timers
  -- Another one that was due in this turn has destroyed the context.
  if context.destroying then return timers:unplan(self) end
  if period then
    timers:plan(self, next_due(self.due, period, now))
  else
    timers:unplan(self)
    self.fn = false
  end
  context.agenda:call(nil, fn, self)
  if not self.place then return end
  -- The callback may have taken longer than the period.
  now = context.clock()
  if self.due <= now then timers:plan(self, next_due(self.due, period, now)) end
end

local function check(context, name, expected, is_good, seconds, fn)
  errors.check_object(context, "agenda", "context:" .. name, 4)
  if context.destroyed then error("websocket context destroyed", 3) end
  if not is_good then errors.argument(1, name, expected, seconds, 4) end
  if type(fn) ~= "function" then errors.argument(2, name, "function", fn, 4) end
end

local function start(context, seconds, period, fn)
  local self = setmetatable({ context = context, fn = fn, period = period, fire = fire, place = false }, timer)
  if context.destroying then return self end
  -- The time of the turn may be long ago: a callback may have waited for something.
  context.timers:plan(self, context.clock() + seconds)
  entry.follow_plans(context)
  return self
end

--- Calls a function once, after some seconds; never inside of this call. In a context that is being destroyed it is not
-- called.
-- @function context:after
-- @tparam table context
-- @tparam number seconds 0 or more; 0: in the next turn
-- @tparam function fn `fn(timer)`; what it raises goes to `on_error`
-- @treturn timer
-- @raise for anything but a finite number from 0 and a function; `websocket context destroyed`
function timer.after(context, seconds, fn)
  local is_good = type(seconds) == "number" and seconds >= 0 and seconds < math.huge
  check(context, "after", "number of seconds from 0", is_good, seconds, fn)
  return start(context, seconds, false, fn)
end

--- Calls a function again and again, at whole multiples of a time from now on. Where that cannot be, because a callback
-- took longer or the loop came late, calls are left out and not made up for. It goes on after an error.
-- @function context:every
-- @tparam table context
-- @tparam number seconds above 0
-- @tparam function fn `fn(timer)`; what it raises goes to `on_error`
-- @treturn timer
-- @raise for anything but a finite number above 0 and a function; `websocket context destroyed`
function timer.every(context, seconds, fn)
  local is_good = type(seconds) == "number" and seconds > 0 and seconds < math.huge
  check(context, "every", "number of seconds above 0", is_good, seconds, fn)
  return start(context, seconds, seconds, fn)
end

--- Has the function not called any more. It may be called at any time, also from the function itself, and again.
-- @treturn nil
function timer:cancel()
  errors.check_object(self, "context", "timer:cancel")
  local context = self.context
  context.timers:unplan(self)
  self.fn = false
  entry.follow_plans(context)
end

function timer:__tostring()
  return "timer " .. errors.address(self)
end

return timer
