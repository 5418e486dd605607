--- HTTP field lines: which names and values they have, how they are read and written, what lists of tokens hold, and
-- which of them an application may set.
-- @module websockets.http.fields
-- @rfc 9110 5
local errors = require("websockets.errors")

local fields = {}

local deeper = errors.deeper
local byte, find, lower, match, sub = string.byte, string.find, string.lower, string.match, string.sub

--- The characters of a token, to be put into a set of a pattern. Ranges, because `%w` depends on the locale; the
-- frequent characters come first, because a set is searched for each byte.
-- @rfc 9110 5.6.2
fields.TCHARS = "a-zA-Z%-0-9!#$%%&'*+.^_`|~"

-- RFC 9110 5.5: no control characters but the tab.
local VALUE_CHARS = " -~\128-\255\t"

local TOKEN = "^[" .. fields.TCHARS .. "]+$"
local NOT_IN_VALUE = "[^" .. VALUE_CHARS .. "]"
-- RFC 9112 5: no line folding and no space before the colon. No part of it can match in two ways, so that a peer cannot
-- cause backtracking.
local FIELD = "^([" .. fields.TCHARS .. "]+): ?([" .. VALUE_CHARS .. "]*)\r\n()"

local BLANK = { [32] = true, [9] = true }

local JOINED_BY = { cookie = "; " }
-- If one of these is repeated, two readers could understand the message differently.
local SINGLE = { host = true, ["content-length"] = true, ["transfer-encoding"] = true }

--- Tells whether a value is a token.
-- @rfc 9110 5.6.2
-- @param value
-- @treturn boolean
function fields.is_token(value)
  return type(value) == "string" and find(value, TOKEN) ~= nil
end

local function is_text(value) return type(value) == "string" or type(value) == "number" end

--- Tells whether a value can be sent as a field value: a string or number without control characters.
-- @rfc 9110 5.5
-- @param value
-- @treturn boolean
function fields.is_value(value)
  return is_text(value) and not find(value, NOT_IN_VALUE)
end

--- Tells whether a value is a field value or a list of field values.
-- @param value
-- @treturn boolean
function fields.are_values(value)
  if type(value) ~= "table" then return fields.is_value(value) end
  for _, one in ipairs(value) do
    if not fields.is_value(one) then return false end
  end
  return true
end

--- Tells whether a comma-separated list holds a token, in any case.
-- @rfc 9110 5.6.1
-- @tparam ?string list value of a field
-- @tparam string token in lower case
-- @treturn boolean
function fields.has_token(list, token)
  if not list then return false end
  list = lower(list)
  -- Most lists are the token alone or do not contain it at all.
  if list == token then return true end
  if not find(list, token, 1, true) then return false end
  for item in list:gmatch("[^,]+") do
    if match(item, "^[ \t]*([^ \t]+)[ \t]*$") == token then return true end
  end
  return false
end

--- Splits a comma-separated list without quoted strings; empty elements are ignored.
-- @rfc 9110 5.6.1.2
-- @tparam string list value of a field
-- @treturn {string,...} elements in order, without blanks at their ends
function fields.elements(list)
  local elements = {}
  for item in list:gmatch("[^,]+") do
    local element = fields.trim(item)
    if element ~= "" then elements[#elements + 1] = element end
  end
  return elements
end

--- Removes spaces and tabs at both ends.
-- @tparam string value
-- @treturn string
function fields.trim(value)
  local first, last = find(value, "[^ \t]"), #value
  while first and BLANK[byte(value, last)] do last = last - 1 end
  return first and sub(value, first, last) or ""
end

--- Reads the field lines of a head.
-- @rfc 9112 5
-- @tparam string head with its empty line
-- @tparam integer from position of the first field line
-- @tparam table headers filled: lower-case name -> value; repeated fields are joined
-- @tparam ?table list filled with pairs of lower-case name and value, in their order
-- @treturn ?integer status 400 if a line is malformed
function fields.read(head, from, headers, list)
  local empty_line = #head - 1
  while from < empty_line do
    local name, value, next_line = match(head, FIELD, from)
    if not name then return 400 end
    if BLANK[byte(value)] or BLANK[byte(value, -1)] then value = fields.trim(value) end
    name, from = lower(name), next_line
    if list then list[#list + 1] = { name, value } end
    local known = headers[name]
    if not known then
      headers[name] = value
    elseif SINGLE[name] then
      return 400
    else
      headers[name] = known .. (JOINED_BY[name] or ", ") .. value
    end
  end
end

local function write_all(lines, headers)
  for name, value in pairs(headers) do
    if type(value) == "table" then
      for _, one in ipairs(value) do lines[#lines + 1] = name .. ": " .. one end
    else
      lines[#lines + 1] = name .. ": " .. value
    end
  end
end

--- Writes field lines; a list of values becomes one line for each.
-- @tparam {string,...} lines to which they are appended, without line ends
-- @tparam ?table headers name -> value or list of values, already checked
function fields.write(lines, headers)
  if headers then write_all(lines, headers) end
end

-- How long a message is and whether the connection goes on is decided by this library.
local RESERVED = { ["content-length"] = true, ["transfer-encoding"] = true, connection = true }
local RESERVED_IN_HANDSHAKE = {
  upgrade = true, ["sec-websocket-accept"] = true, ["sec-websocket-protocol"] = true,
  ["sec-websocket-extensions"] = true, ["sec-websocket-version"] = true,
}
local RESERVED_IN_REQUEST = { host = true, upgrade = true, origin = true }

--- Checks the headers that an application gives for an answer.
-- @rfc 9110 5.5
-- @param given nil, or table of name -> value or list of values
-- @tparam string function_name the public function
-- @tparam integer position of the argument
-- @tparam[opt=3] integer level of the caller, as for `error`
-- @tparam[opt] boolean in_handshake whether the answer accepts a WebSocket
-- @raise naming the header
function fields.check(given, function_name, position, level, in_handshake)
  if given == nil then return end
  level = level or 3
  if type(given) ~= "table" then errors.argument(position, function_name, "table of headers", given, deeper(level)) end
  for name, value in pairs(given) do
    if not fields.is_token(name) then
      errors.argument(position, function_name, "header names that are tokens", name, deeper(level))
    elseif RESERVED[lower(name)] or (in_handshake and RESERVED_IN_HANDSHAKE[lower(name)]) then
      error(("%s: header '%s' is set by this library"):format(function_name, name), level)
    elseif not fields.are_values(value) then
      error(("%s: header '%s' must be a string without control characters"):format(function_name, name), level)
    end
  end
end

-- What is wrong with the value of a header, nil where nothing is.
local function value_fault(value)
  if fields.are_values(value) then return nil end
  for _, one in ipairs(type(value) == "table" and value or { value }) do
    if not is_text(one) then return "a value is a string or a number" end
  end
  return "its value has control characters"
end

local function request_fault(name, value)
  if not fields.is_token(name) then return "its name is no token" end
  local field = lower(name)
  if RESERVED[field] or RESERVED_IN_REQUEST[field] or find(field, "^sec%-websocket%-") then
    return "it belongs to the handshake"
  end
  return value_fault(value)
end

--- Tells whether a client may send these headers with its opening handshake.
-- @rfc 6455 4.1
-- @param given
-- @treturn[1] boolean true
-- @treturn[2] boolean false
-- @treturn[2] ?string the name of a wrong header, and what is wrong; its value may be a secret
function fields.may_request(given)
  if type(given) ~= "table" then return false end
  for name, value in pairs(given) do
    local fault = request_fault(name, value)
    if fault then return false, ("the header %s: %s"):format(errors.describe(name), fault) end
  end
  return true
end

require("websockets.loading").interpret(write_all, fields.check, fields.may_request)

return fields
