--- Reads the URL of a Redis or Valkey server.
-- @module websockets.pubsub.redis.place
local uri = require("websockets.http.uri")
local url = require("websockets.protocol.url")

local place = {
  --- What a URL may be, in words.
  EXPECTED = "URL that begins with redis://, rediss:// or unix:",
}

local DEFAULT_PORT = 6379
local SECURE = { redis = false, rediss = true }
local MAX_DATABASE_DIGITS = 4

-- `unix:/path`, `unix:///path`; user and password are options there.
local function read_unix(text)
  local path = uri.decode((text:gsub("^//", "")))
  if not path or path:sub(1, 1) ~= "/" or #path > url.MAX_SOCKET_PATH_BYTES or path:find("\0", 1, true) then
    return nil, ("a socket path of 1 to %d bytes that begins with a slash"):format(url.MAX_SOCKET_PATH_BYTES)
  end
  return { host = "localhost", kind = "name", name = "localhost", authority = "localhost", unix = path }
end

-- "", "/", "/2"
local function read_database(text)
  local digits = text:match("^/?(%d*)$")
  if not digits or #digits > MAX_DATABASE_DIGITS or text:find("^%d") then return nil end
  return digits ~= "" and tonumber(digits) or 0
end

--- Reads a URL.
-- @tparam string text `redis://user:password@host:port/database`, `rediss://…` with TLS, or `unix:/path/to/socket`;
-- the path of a socket may have `?db=` and a number after it
-- @treturn[1] table what `websockets.client.dial` takes: as `websockets.protocol.url` gives it, and `database`
-- @treturn[2] nil
-- @treturn[2] string what was expected
function place.parse(text)
  -- RFC 3986 3.1: schemes are the same in capitals.
  local scheme, after = text:match("^(%a+):(.*)$")
  scheme = (scheme or ""):lower()
  local made, expected, database
  if scheme == "unix" then
    local path, query = after:match("^([^?#]*)%??([^#]*)$")
    if not path then return nil, place.EXPECTED end
    made, expected = read_unix(path)
    database = query == "" and 0 or read_database("/" .. (query:match("^db=(%d+)$") or "x"))
  else
    local is_secure, site, rest = SECURE[scheme], (after or ""):match("^//([^/?#]*)(.*)$")
    if is_secure == nil or not site then return nil, place.EXPECTED end
    made, expected = url.site(site, DEFAULT_PORT)
    if made then made.is_secure = is_secure end
    database = read_database(rest)
  end
  if not made then return nil, expected end
  if not database then return nil, "a number of a database at its end, or nothing" end
  made.database = database
  return made
end

return place
