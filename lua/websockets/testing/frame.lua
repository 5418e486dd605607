--- Frames of a peer that may break the rules.
-- @module websockets.testing.frame
local definition = require("websockets.options.definition")

local frame = {}

local char, sub = string.char, string.sub
local define, is_integer = definition.new, definition.is_integer

local function is_boolean(value) return type(value) == "boolean" end

local KNOWN = {
  opcode = define(1, function(value) return is_integer(value, 0, 15) end, "number 0 to 15"),
  payload = define("", function(value) return type(value) == "string" end, "string"),
  fin = define(true, is_boolean, "boolean"),
  rsv = define(0, function(value) return is_integer(value, 0, 7) end, "sum of 4, 2 and 1"),
  masked = define(nil, is_boolean, "boolean"),
  first_bytes = define(nil, function(value) return is_integer(value, 0, math.huge) end, "number of bytes"),
}

--- Encodes a frame.
-- @rfc 6455 5.2
-- @tparam table given see `peer:send_frame`
-- @tparam boolean is_masked where `given` does not say
-- @tparam table engine
-- @tparam integer level of the caller, as for `error`
-- @treturn string
-- @treturn boolean whether more of the frame would have to follow
-- @raise for an unknown or wrong field
function frame.encode(given, is_masked, engine, level)
  local fields = definition.defaults(KNOWN)
  for name, value in pairs(given) do fields[name] = definition.check(KNOWN, name, value, level + 1) end
  if fields.masked ~= nil then is_masked = fields.masked end
  local bytes = engine.writer({ role = is_masked and "client" or "server" }):encode(2, fields.payload)
  bytes = char((fields.fin and 128 or 0) + 16 * fields.rsv + fields.opcode) .. sub(bytes, 2)
  local first_bytes = math.min(fields.first_bytes or #bytes, #bytes)
  return sub(bytes, 1, first_bytes), first_bytes > 0 and first_bytes < #bytes
end

require("websockets.loading").interpret(frame.encode)

return frame
