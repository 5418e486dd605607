--- The option `reconnect` of `context:connect`: its checks and defaults.
-- @module websockets.options.reconnect
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")

local reconnect = {}

local is_integer, is_seconds = definition.is_integer, definition.is_seconds

local MIN_SECONDS, MAX_SECONDS, JITTER = 1, 30, 0.5
local QUEUE_BYTES = 1024 * 1024

local CHECKS = {
  min = is_seconds, max = is_seconds,
  jitter = function(value) return type(value) == "number" and value >= 0 and value <= 1 end,
  attempts = function(value) return is_integer(value, 1, 2 ^ 53) end,
  queue_bytes = function(value) return definition.is_count(value, 0) end,
}

--- What the option may be, in words.
reconnect.EXPECTED = "boolean, or table of min and max in seconds above 0, jitter 0 to 1, attempts from 1, queue_bytes "
  .. "from 0"

--- Checks the option.
-- @param value as the caller gave it
-- @treturn boolean
-- @treturn ?string what is wrong inside of a table
function reconnect.check(value)
  if type(value) == "boolean" then return true end
  if type(value) ~= "table" then return false end
  for name, one in pairs(value) do
    if not CHECKS[name] or not CHECKS[name](one) then return false, errors.entry(value, name) end
  end
  if value.min and value.max and value.min > value.max then return false, errors.entry(value, "min") .. " above max" end
  return true
end

--- Fills in the defaults.
-- @tparam boolean|table value of the option, checked
-- @tparam number room `max_buffered_bytes` of the connection: what waited is to find room there
-- @tparam integer level of the caller, as for `error`
-- @treturn[1] table `min`, `max`, `jitter`, `attempts` (false: without end), `queue_bytes`
-- @treturn[2] boolean false
-- @raise for a `queue_bytes` that is larger
function reconnect.settle(value, room, level)
  if not value then return false end
  local given = value == true and {} or value
  if given.queue_bytes and given.queue_bytes > room then
    errors.option("reconnect", "queue_bytes of at most max_buffered_bytes", nil, level + 1,
      errors.entry(given, "queue_bytes"))
  end
  local min = given.min or math.min(MIN_SECONDS, given.max or MIN_SECONDS)
  return {
    min = min, max = given.max or math.max(MAX_SECONDS, min), jitter = given.jitter or JITTER,
    attempts = given.attempts or false, queue_bytes = given.queue_bytes or math.min(QUEUE_BYTES, room),
  }
end

require("websockets.loading").interpret(reconnect.check)

return reconnect
