--- The option `compression`: its checks and defaults.
-- @module websockets.options.compression
-- @rfc 7692 7
local agreement = require("websockets.protocol.compression")
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")

local compression = {}

local is_integer = definition.is_integer

local function is_boolean(value) return type(value) == "boolean" end

local FLAG = definition.new(false, is_boolean)
local WINDOW_BITS = definition.new(agreement.MAX_BITS, function(value)
  return is_integer(value, agreement.MIN_BITS, agreement.MAX_BITS)
end)

local FIELDS = {
  level = definition.new(6, function(value) return is_integer(value, 1, 9) end),
  threshold = definition.count(32, 0, "bytes"),
  server_no_context_takeover = FLAG, client_no_context_takeover = FLAG,
  server_max_window_bits = WINDOW_BITS, client_max_window_bits = WINDOW_BITS,
}

--- What the option may be, in words.
compression.EXPECTED = "boolean, or table of level 1 to 9, threshold in bytes, server_no_context_takeover and "
  .. "client_no_context_takeover true or false, server_max_window_bits and client_max_window_bits 9 to 15"

--- Checks the option.
-- @param value as the caller gave it
-- @treturn boolean
function compression.check(value)
  if type(value) == "boolean" then return true end
  if type(value) ~= "table" then return false end
  for name, one in pairs(value) do
    if not FIELDS[name] or not FIELDS[name].check(one) then return false, errors.entry(value, name) end
  end
  return true
end

--- Fills in the defaults, if the engine can compress.
-- @tparam boolean|table value of the option, checked
-- @tparam table settings `slow_consumer`
-- @tparam table engine
-- @tparam integer level of the caller, as for `error`
-- @treturn[1] table settings for `websockets.protocol.compression`: the fields of the option; `keeps_context`, whether
-- a compression context may be kept; `agreed`, a table that is filled there
-- @treturn[2] boolean false: no compression
-- @raise if compression is asked for and the engine cannot do it
function compression.settle(value, settings, engine, level)
  if not value then return false end
  local is_able, why = false, "the engine cannot"
  if engine.can_compress then is_able, why = engine.can_compress() end
  if not is_able then error("option 'compression' is not available: " .. why, level) end
  local made = definition.defaults(FIELDS)
  for name, given in pairs(type(value) == "table" and value or {}) do made[name] = given end
  -- A dropped message would be missing from the context in which the messages after it were compressed.
  made.keeps_context = settings.slow_consumer == "close"
  made.agreed = {}
  return made
end

require("websockets.loading").interpret(compression.check, compression.settle)

return compression
