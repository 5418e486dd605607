--- Reads WebSocket URLs, and the parts that other URLs share with them.
-- @module websockets.protocol.url
-- @rfc 6455 3
local address = require("websockets.protocol.address")
local uri = require("websockets.http.uri")

local url = {
  --- The longest path of a unix socket; a zero follows it.
  MAX_SOCKET_PATH_BYTES = 107,
}

local find, sub = string.find, string.sub

local DEFAULT_PORTS = { ws = 80, wss = 443 }

-- RFC 3986 3.3, 3.4: the characters of a path and a query.
local NOT_IN_TARGET = "[^a-zA-Z0-9%-._~!$&'()*+,;=:@/?%%]"
-- RFC 3986 3.2.1
local NOT_IN_USER_INFORMATION = "[^a-zA-Z0-9%-._~!$&'()*+,;=:%%]"

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
  if inside and find(inside, ":", 1, true) and address.pack(inside) then return inside, "ipv6" end
  if find(text, "^%d") and address.pack(text) then return text, "ipv4" end
  if is_name(text) then return text:lower(), "name" end
end

--- Reads a host with or without a port.
-- @rfc 3986 3.2
-- @tparam string text without user information
-- @tparam integer default_port
-- @treturn[1] table `host` (an IPv6 address without brackets), `kind` of host ("name", "ipv4", "ipv6"), `port`,
-- `name` (host as in a URL), `authority` (with the port, if it is another than the default)
-- @treturn[2] nil
-- @treturn[2] string what was expected
function url.authority(text, default_port)
  local host, port = text:match("^(.-):(%d*)$")
  -- RFC 3986 3.2.3: an empty port is the default.
  if port == "" then port = nil end
  local made = {}
  made.host, made.kind = url.host(host or text)
  if not made.host then return nil, "a host name or IP address" end
  made.port = port and tonumber(port) or default_port
  if #(port or "1") > 5 or made.port < 1 or made.port > 65535 then return nil, "a port from 1 to 65535" end
  made.name = made.kind == "ipv6" and "[" .. made.host .. "]" or made.host
  made.authority = made.port == default_port and made.name or ("%s:%d"):format(made.name, made.port)
  return made
end

-- RFC 7617 2: no colon in the user name, no control characters.
local function read_user_information(text)
  local user, password = text:match("^([^:]*):?(.*)$")
  user, password = uri.decode(user), uri.decode(password)
  if find(text, NOT_IN_USER_INFORMATION) or not user or not password then
    return nil, "user and password of URL characters, others as %XX"
  elseif find(user, ":", 1, true) then
    return nil, "a user name without ':'"
  elseif find(user .. password, "%c") then
    return nil, "user and password without control characters"
  end
  return user, password
end

--- Reads what stands between the slashes of a URL and its path: host and port, before them user and password.
-- @rfc 3986 3.2
-- @tparam string text
-- @tparam integer default_port
-- @treturn[1] table as `authority` gives it; with user information also `user` and `password`, decoded
-- @treturn[2] nil
-- @treturn[2] string what was expected
function url.site(text, default_port)
  local information, rest = text:match("^(.*)@(.*)$")
  local made, expected = url.authority(rest or text, default_port)
  if not made then return nil, expected end
  if information and information ~= "" then
    local user, password = read_user_information(information)
    if not user then return nil, password end
    made.user, made.password = user, password
  end
  return made
end

--- Hides what may be user information, for messages.
-- @tparam string text a URL, however wrong
-- @treturn string
function url.without_password(text)
  local rest = text:match("^.*@(.*)$")
  return rest and (text:match("^%a[%w+.-]*:/+") or "") .. "***@" .. rest or text
end

local function encode_byte(one) return ("%%%02X"):format(one:byte()) end

--- Encodes what a path and a query may not have, as blanks and letters beyond ASCII.
-- @rfc 3986 2.1
-- @tparam string text
-- @treturn string
function url.encode(text)
  return (text:gsub(NOT_IN_TARGET, encode_byte))
end

--- Tells whether a text can be path and query.
-- @rfc 3986 3.3, 3.4
-- @tparam string text
-- @treturn boolean
function url.is_target(text)
  return not find(text, NOT_IN_TARGET) and not find(text:gsub("%%%x%x", ""), "%", 1, true)
end

-- The path of a socket ends at the first colon.
local function read_unix(text)
  local written, target = text:match("^([^:]*):?(.*)$")
  local path = uri.decode(written)
  if find(written, NOT_IN_TARGET) or find(written, "?", 1, true) or not path then
    return nil, "a socket path of URL characters, others as %XX"
  elseif #path == 0 or #path > url.MAX_SOCKET_PATH_BYTES or find(path, "\0", 1, true) then
    return nil, ("a socket path of 1 to %d bytes"):format(url.MAX_SOCKET_PATH_BYTES)
  end
  return { host = "localhost", kind = "name", name = "localhost", authority = "localhost", unix = path }, target
end

--- Reads a URL.
-- @tparam string text `ws://user:password@host:port/path?query`, `wss://`, or `ws+unix:/path/to/socket:/path?query`
-- @treturn[1] table `is_secure` (whether it is a wss URL), `target` (path and query), and what `site` gives; for a unix
-- socket `unix`, its path, and the host localhost
-- @treturn[2] nil
-- @treturn[2] string what was expected
function url.parse(text)
  local scheme, site, target = text:match("^(%a+)://([^/?#]*)(.*)$")
  local over_unix, path = text:match("^(%a+)%+[uU][nN][iI][xX]:(.*)$")
  scheme = (over_unix or scheme or ""):lower()
  local default_port = DEFAULT_PORTS[scheme]
  if not default_port then return nil, "URL that begins with ws://, wss:// or ws+unix:" end
  local made, more
  if over_unix then
    made, more = read_unix(path)
    target = more
  else
    made, more = url.site(site, default_port)
  end
  if not made then return nil, more end
  -- RFC 6455 3: a fragment is not allowed.
  if find(target, "#", 1, true) then return nil, "a URL without '#'" end
  if not url.is_target(target) then return nil, "a path of URL characters, others as %XX" end
  made.is_secure = scheme == "wss"
  made.target = sub(target, 1, 1) == "/" and target or "/" .. target
  return made
end

--- Names a place, for messages.
-- @tparam table place as `parse` gives it
-- @treturn string
function url.label(place)
  return place.unix or place.authority
end

--- Gives a place the name that its server goes by there, in place of its address.
-- @tparam table place as `parse` gives it; gets `virtual_host`, as `authority` gives it
-- @tparam string text name with or without a port
function url.rename(place, text)
  place.virtual_host = url.authority(text, DEFAULT_PORTS[place.is_secure and "wss" or "ws"])
end

return url
