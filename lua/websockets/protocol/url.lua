--- Reads WebSocket URLs.
-- @module websockets.protocol.url
-- @rfc 6455 3
local url = {}

local find = string.find

local DEFAULT_PORT = 80

-- RFC 3986 3.3, 3.4: the characters of a path and a query.
local NOT_IN_TARGET = "[^a-zA-Z0-9%-._~!$&'()*+,;=:@/?%%]"

local function is_ipv4(host)
  local count = 0
  for part in (host .. "."):gmatch("([^.]*)%.") do
    if not find(part, "^%d%d?%d?$") or tonumber(part) > 255 then return false end
    count = count + 1
  end
  return count == 4
end

-- Some readers take a name whose last label has only digits for a number.
local function is_name(host)
  if #host > 253 or not find(host, "^[a-zA-Z0-9_-][a-zA-Z0-9._-]*$") or find(host, "..", 1, true) then return false end
  return not find(host, "^%d+%.?$") and not find(host, "%.%d+%.?$")
end

--- Reads the host of a URL.
-- @rfc 3986 3.2.2
-- @tparam string text
-- @treturn[1] string host, in lower case if it is a name; an IPv6 address without its brackets
-- @treturn[1] string kind: "name", "ipv4", "ipv6"
-- @treturn[2] nil there is no such host
function url.host(text)
  local inside = text:match("^%[([%x:.]+)%]$")
  if inside and find(inside, ":.*:") then return inside, "ipv6" end
  if is_ipv4(text) then return text, "ipv4" end
  if is_name(text) then return text:lower(), "name" end
end

local function read_authority(made, authority)
  if find(authority, "@", 1, true) then return "a URL without user information" end
  local host, port = authority:match("^(.-):(%d*)$")
  -- RFC 3986 3.2.3: an empty port is the default.
  if port == "" then port = nil end
  made.host, made.kind = url.host(host or authority)
  if not made.host then return "a host name or IP address" end
  made.port = port and tonumber(port) or DEFAULT_PORT
  if #(port or "1") > 5 or made.port < 1 or made.port > 65535 then return "a port from 1 to 65535" end
  local name = made.kind == "ipv6" and "[" .. made.host .. "]" or made.host
  made.authority = made.port == DEFAULT_PORT and name or ("%s:%d"):format(name, made.port)
end

--- Reads a URL.
-- @tparam string text `ws://host:port/path?query`
-- @treturn[1] table `host` (an IPv6 address without brackets), `kind` of host ("name", "ipv4", "ipv6"), `port`,
-- `authority` for the Host header, `target` (path and query)
-- @treturn[2] nil
-- @treturn[2] string what was expected
-- @treturn[2] boolean whether it is a wss URL
function url.parse(text)
  local scheme, authority, target = text:match("^(%a+)://([^/?#]*)(.*)$")
  scheme = scheme and scheme:lower()
  if scheme == "wss" then return nil, "ws:// URL", true end
  if scheme ~= "ws" then return nil, "URL that begins with ws://" end
  local made = {}
  local expected = read_authority(made, authority)
  if expected then return nil, expected end
  -- RFC 6455 3: a fragment is not allowed.
  if find(target, "#", 1, true) then return nil, "a URL without '#'" end
  if find(target, NOT_IN_TARGET) or find(target:gsub("%%%x%x", ""), "%", 1, true) then
    return nil, "a path of URL characters, others as %XX"
  end
  made.target = target:sub(1, 1) == "/" and target or "/" .. target
  return made
end

return url
