--- Credentials of the schemes Basic and Bearer, and a comparison of secrets in constant time.
-- @module websockets.http.credentials
local errors = require("websockets.errors")

local credentials = {}

local byte, find, sub = string.byte, string.find, string.sub

--- Compares two strings in a time that depends only on their lengths, so that timing tells nothing about a secret.
-- @tparam string a
-- @tparam string b
-- @treturn boolean whether they are equal
function credentials.constant_time_equal(a, b)
  if type(a) ~= "string" then errors.argument(1, "constant_time_equal", "string", a) end
  if type(b) ~= "string" then errors.argument(2, "constant_time_equal", "string", b) end
  local size = #b
  local difference = #a - size
  difference = difference * difference
  for i = 1, #a do
    -- If b is shorter, its bytes are compared again: the result is known already, but the time must stay the same.
    local step = byte(a, i) - (byte(b, (i - 1) % (size > 0 and size or 1) + 1) or 0)
    difference = difference + step * step
  end
  return difference == 0
end

--- Reads the credentials of the Basic scheme.
-- @rfc 7617 2
-- @tparam ?string value of Authorization
-- @tparam function unbase64 decodes Base64, as `unbase64` of the engine
-- @treturn[1] string user
-- @treturn[1] string password
-- @treturn[2] nil no credentials, or malformed ones
function credentials.basic(value, unbase64)
  local scheme, token = (value or ""):match("^(%a+) +([%w+/]+=*)$")
  if not scheme or scheme:lower() ~= "basic" then return nil end
  local text = unbase64(token)
  local colon = text and find(text, ":", 1, true)
  if not colon or find(text, "[%z\1-\31\127]") then return nil end
  return sub(text, 1, colon - 1), sub(text, colon + 1)
end

--- Reads the token of the Bearer scheme.
-- @rfc 6750 2.1
-- @tparam ?string value of Authorization
-- @treturn ?string token; nil for none, or a malformed one
function credentials.bearer(value)
  local scheme, token = (value or ""):match("^(%a+) +([a-zA-Z0-9%-._~+/]+=*)$")
  if scheme and scheme:lower() == "bearer" then return token end
end

--- Writes the value of Authorization or Proxy-Authorization for the Basic scheme.
-- @rfc 7617 2
-- @tparam string user without a colon
-- @tparam string password
-- @tparam function base64 encodes Base64, as `base64` of the engine
-- @treturn string
function credentials.write_basic(user, password, base64)
  return "Basic " .. base64(user .. ":" .. password)
end

return credentials
