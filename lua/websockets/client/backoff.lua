--- How long to wait before the next try, without time and without sockets.
-- @module websockets.client.backoff
local backoff = {}
backoff.__index = backoff

--- Gives a function that gives numbers from 0, below 1. The generator of Lua begins with the same in each process.
-- @tparam table engine
-- @treturn function for `new`
function backoff.random(engine)
  return function()
    local bytes = engine.random(3)
    if not bytes then return 0 end
    local high, middle, low = bytes:byte(1, 3)
    return (high * 65536 + middle * 256 + low) / 16777216
  end
end

--- Begins with no try made.
-- @tparam table settings `min`, `max` (seconds), `jitter` (0 to 1), `attempts` (false: without end)
-- @tparam function random gives a number from 0, below 1
-- @treturn backoff
function backoff.new(settings, random)
  return setmetatable({ settings = settings, random = random, tries = 0 }, backoff)
end

--- Begins anew: what had been opened was of use.
function backoff:reset()
  self.tries = 0
end

--- Tells how long to wait before the next try: twice as long each time, from `min` to `max`, and shorter by a random
-- part, of at most `jitter`.
-- @tparam ?number least seconds that the server asked for: it is not less, and more by a random part of `min`
-- @treturn ?number seconds; nil after so many tries in a row as are allowed
function backoff:next(least)
  local settings = self.settings
  if settings.attempts and self.tries >= settings.attempts then return nil end
  local random = settings.jitter * self.random()
  local seconds = math.min(settings.max, settings.min * 2 ^ self.tries) * (1 - random)
  self.tries = self.tries + 1
  return least and math.max(seconds, least + settings.min * random) or seconds
end

return backoff
