--- Headers that an application gives: which of them it may set, in an answer and in the request of a client.
-- @module websockets.http.headers
local errors = require("websockets.errors")
local fields = require("websockets.http.fields")

local headers = {}

local lower = string.lower

-- How long a message is and whether the connection goes on is decided by this library.
local RESERVED = { ["content-length"] = true, ["transfer-encoding"] = true, connection = true }
local RESERVED_IN_HANDSHAKE = {
  upgrade = true, ["sec-websocket-accept"] = true, ["sec-websocket-protocol"] = true,
  ["sec-websocket-extensions"] = true, ["sec-websocket-version"] = true,
}
local RESERVED_IN_REQUEST = { host = true, upgrade = true, origin = true }

--- Checks the headers of an answer.
-- @rfc 9110 5.5
-- @param given nil, or table of name -> value or list of values
-- @tparam string function_name the public function
-- @tparam integer position of the argument
-- @tparam[opt=3] integer level of the caller, as for `error`
-- @tparam[opt] boolean in_handshake whether the answer accepts a WebSocket
-- @raise naming the header
function headers.check(given, function_name, position, level, in_handshake)
  if given == nil then return end
  level = level or 3
  if type(given) ~= "table" then errors.argument(position, function_name, "table of headers", given, level + 1) end
  for name, value in pairs(given) do
    if not fields.is_token(name) then
      errors.argument(position, function_name, "header names that are tokens", name, level + 1)
    elseif RESERVED[lower(name)] or (in_handshake and RESERVED_IN_HANDSHAKE[lower(name)]) then
      error(("header '%s' is set by this library"):format(name), level)
    elseif not fields.are_values(value) then
      error(("header '%s' must be a string without control characters"):format(name), level)
    end
  end
end

--- Tells whether a client may send these headers with its opening handshake.
-- @rfc 6455 4.1
-- @param given
-- @treturn boolean
function headers.may_request(given)
  if type(given) ~= "table" then return false end
  for name, value in pairs(given) do
    if not fields.is_token(name) or not fields.are_values(value) then return false end
    local field = lower(name)
    if RESERVED[field] or RESERVED_IN_REQUEST[field] or field:find("^sec%-websocket%-") then return false end
  end
  return true
end

return headers
