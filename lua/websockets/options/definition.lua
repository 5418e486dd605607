--- Definitions of options: the default, the check and what it expects; and the checking of values by them.
-- @module websockets.options.definition
local errors = require("websockets.errors")

local definition = {}

--- Tells whether a value is an integer within limits.
-- @param value
-- @tparam number low
-- @tparam number high
-- @treturn boolean
function definition.is_integer(value, low, high)
  return type(value) == "number" and value >= low and value <= high and value % 1 == 0
end

--- Defines an option.
-- @param default nil for none
-- @tparam function check `check(value)` tells whether the value is allowed; beside false it may describe what is wrong
-- inside of it
-- @tparam string expected what is allowed, for the error message
-- @tparam[opt] function convert `convert(value)` gives the value that is kept
-- @treturn table `default`, `check`, `expected`, `convert`
function definition.new(default, check, expected, convert)
  return { default = default, check = check, expected = expected, convert = convert }
end

--- Tells whether a value is an integer, or `math.huge`: no limit.
-- @param value
-- @tparam number low the smallest value allowed
-- @treturn boolean
function definition.is_count(value, low)
  return value == math.huge or definition.is_integer(value, low, math.huge)
end

--- Defines an option that counts something.
-- @tparam ?number default
-- @tparam number low the smallest value allowed
-- @tparam string unit with the limit in words: "bytes above 0"
-- @treturn table `default`, `check`, `expected`
function definition.count(default, low, unit)
  return definition.new(default, function(value) return definition.is_count(value, low) end,
    "whole number of " .. unit)
end

--- Tells whether a value is a finite number of seconds above 0.
-- @param value
-- @treturn boolean
function definition.is_seconds(value)
  return type(value) == "number" and value > 0 and value < math.huge
end

--- Defines an option that is a time and can be switched off.
-- @tparam number|boolean default seconds, or false
-- @treturn table `default`, `check`, `expected`
function definition.seconds(default)
  return definition.new(default, function(value) return value == false or definition.is_seconds(value) end,
    "number of seconds above 0, or false")
end

--- Defines an option that is a function.
-- @treturn table `check`, `expected`
function definition.callback()
  return definition.new(nil, function(value) return type(value) == "function" end, "function")
end

--- Copies a table without its metatable.
-- @tparam table map
-- @treturn table
function definition.copy(map)
  local made = {}
  for key, value in pairs(map) do made[key] = value end
  return made
end

--- Collects the defaults.
-- @tparam table definitions name -> definition
-- @treturn table name -> default
function definition.defaults(definitions)
  local settings = {}
  for name, one in pairs(definitions) do settings[name] = one.default end
  return settings
end

--- Checks one option.
-- @tparam table definitions name -> definition
-- @tparam string name
-- @param value
-- @tparam integer level of the caller, as for `error`; 0: the message has no position
-- @tparam[opt=name] string label how the message names the option
-- @return the value that is kept
-- @raise for an unknown name or a wrong value
function definition.check(definitions, name, value, level, label)
  local one = definitions[name]
  label = label or tostring(name)
  if not one then error(("unknown option '%s'"):format(label), level) end
  local is_good, culprit = one.check(value)
  if not is_good then errors.option(label, one.expected, value, errors.deeper(level), culprit) end
  if one.convert then return one.convert(value) end
  return value
end

require("websockets.loading").interpret(definition.copy, definition.defaults)

return definition
