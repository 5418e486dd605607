--- The option `topics`: what single topics have of their own.
-- @module websockets.options.topics
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")

local topics = {}

local SLOW_CONSUMER = { close = true, drop_new = true, drop_old = true, conflate = true }

--- The option `slow_consumer`, of a context, a route, a connection or a topic.
topics.slow_consumer = definition.new("close", function(value) return SLOW_CONSUMER[value] or false end,
  '"close", "drop_new", "drop_old" or "conflate"')

local MAX_MESSAGES, MAX_SECONDS = 100000, 30 * 86400

local function is_function(value) return type(value) == "function" end

-- The fields of the option `history` of a topic.
local HISTORY = {
  messages = definition.new(100, function(value) return definition.is_integer(value, 1, MAX_MESSAGES) end),
  seconds = definition.new(3600, function(value) return definition.is_seconds(value) and value <= MAX_SECONDS end),
  encode = definition.new(nil, is_function), on_gap = definition.new(nil, is_function),
}

local function is_history(value)
  if type(value) ~= "table" then return false end
  for name, one in pairs(value) do
    if not HISTORY[name] or not HISTORY[name].check(one) then return false, errors.entry(value, name) end
  end
  return true
end

local function read_history(value)
  local made = definition.defaults(HISTORY)
  for name, one in pairs(value) do made[name] = one end
  return made
end

--- The options of a topic, by name.
topics.KNOWN = {
  slow_consumer = topics.slow_consumer,
  history = definition.new(nil, is_history, ("table of messages 1 to %d, seconds above 0 (30 days at most), and "
    .. "functions encode and on_gap"):format(MAX_MESSAGES), read_history),
}

--- Tells whether a value can be the option `topics`: the options of topics by name, or a function that gives them.
-- @param value
-- @treturn boolean
-- @treturn ?string what is wrong inside of it
function topics.check(value)
  if type(value) == "function" then return true end
  if type(value) ~= "table" then return false end
  for name, given in pairs(value) do
    if type(name) ~= "string" or type(given) ~= "table" then return false, errors.entry(value, name) end
  end
  return true
end

-- Checks the options of one topic, and gives a copy. Level 0: the message has no position.
local function read(given, name, level)
  local made = {}
  for key, value in pairs(given) do
    made[key] = definition.check(topics.KNOWN, key, value, errors.deeper(level),
      ("topics['%s'].%s"):format(name, tostring(key)))
  end
  return made
end

-- What the application's function gives is checked when it is asked.
local function asked(fn)
  return function(name)
    local given = fn(name)
    if given == nil then return nil end
    if type(given) ~= "table" then errors.option(("topics('%s')"):format(name), "table or nil", given, 0) end
    return read(given, name, 0)
  end
end

--- Checks the option `topics` as far as it is known.
-- @tparam ?table|function given
-- @tparam integer level as for `error`
-- @treturn ?function `fn(name)` gives the options of a topic, or nil; it raises where the application's function raises
-- or gives something wrong
-- @raise for an unknown name or a wrong value
function topics.read(given, level)
  if type(given) == "function" then return asked(given) end
  if not given then return nil end
  local made = {}
  for name, one in pairs(given) do made[name] = read(one, name, level + 1) end
  return function(name) return made[name] end
end

require("websockets.loading").interpret(is_history, read_history, topics.check, read, topics.read)

return topics
