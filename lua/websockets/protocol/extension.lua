--- Reads the field Sec-WebSocket-Extensions strictly.
-- @module websockets.protocol.extension
-- @rfc 6455 9.1
local fields = require("websockets.http.fields")

local extension = {}

local byte, find, sub = string.byte, string.find, string.sub

local TOKEN = "^([" .. fields.TCHARS .. "]+)[ \t]*()"
local COMMA, SEMICOLON, EQUALS, QUOTE = 44, 59, 61, 34

local function skip_blanks(text, at)
  return find(text, "[^ \t]", at) or #text + 1
end

local function read_token(text, at)
  local _, _, token, after = find(text, TOKEN, at)
  return token, after
end

-- RFC 6455 9.1: a quoted value must be a token without its quotes.
local function read_value(text, at)
  if byte(text, at) ~= QUOTE then return read_token(text, at) end
  local stop = find(text, '"', at + 1, true)
  if not stop then return nil end
  local inside = sub(text, at + 1, stop - 1):gsub("\\(.)", "%1")
  local token, after = read_token(inside, 1)
  if not token or after <= #inside or find(inside, "[ \t]") then return nil end
  return token, skip_blanks(text, stop + 1)
end

local function read_parameters(text, at, parameters)
  while byte(text, at) == SEMICOLON do
    local name, value
    name, at = read_token(text, skip_blanks(text, at + 1))
    if not name then return nil end
    if byte(text, at) == EQUALS then
      value, at = read_value(text, skip_blanks(text, at + 1))
      if not value then return nil end
    end
    parameters[#parameters + 1] = { name = name, value = value or false }
  end
  return at
end

--- Reads a list of extensions with their parameters.
-- @tparam string text value of the field
-- @treturn[1] {table,...} extensions in order: `name`, `parameters` (list of `name` and `value`; false for no value);
-- empty if the field has only empty elements
-- @treturn[2] nil the value is malformed
function extension.parse(text)
  local list, at = {}, skip_blanks(text, 1)
  while at <= #text do
    if byte(text, at) == COMMA then
      -- RFC 9110 5.6.1.2: an empty element is ignored.
      at = skip_blanks(text, at + 1)
    else
      local parameters = {}
      local name, after = read_token(text, at)
      at = name and read_parameters(text, after, parameters)
      if not at or (at <= #text and byte(text, at) ~= COMMA) then return nil end
      list[#list + 1] = { name = name, parameters = parameters }
    end
  end
  return list
end

return extension
