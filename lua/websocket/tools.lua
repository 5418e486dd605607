--- Helpers of the API of 2.x: SHA-1, Base64, URLs, keys, numbers as bytes in network order.
-- @module websocket.tools
local codec = require("websockets.codec")

local tools = {
  --- SHA-1 of bytes: `sha1(bytes)` gives twenty bytes.
  sha1 = codec.sha1,
  --- `base64.encode(bytes)`.
  base64 = { encode = codec.base64 },
  --- The byte of a number, or the bytes of several: `write_int8(number, …)`.
  write_int8 = string.char,
}

local byte, char, floor = string.byte, string.char, math.floor

local DEFAULT_PORTS = { ws = 80, wss = 443 }

--- Takes a URL apart. It is not checked beyond its parts.
-- @tparam string url
-- @treturn string scheme in lower case
-- @treturn string host; an IPv6 address in its brackets
-- @treturn ?integer port; that of the scheme where the URL has none, nil for other schemes
-- @treturn string path and query, at least `/`
-- @raise `Invalid URL:` and the URL, for one without scheme or host
function tools.parse_url(url)
  local scheme, site, target = tostring(url):match("^(%w+)://([^/?]+)(.*)$")
  if not scheme then error("Invalid URL:" .. tostring(url), 2) end
  scheme = scheme:lower()
  local host, port = site:match("^(.+):(%d+)$")
  if target:sub(1, 1) ~= "/" then target = "/" .. target end
  return scheme, host or site, tonumber(port) or DEFAULT_PORTS[scheme], target
end

--- Makes the value of Sec-WebSocket-Key: 16 random bytes of the operating system in Base64.
-- @treturn string
-- @raise where the system has none
function tools.generate_key()
  local key, why = codec.key()
  if not key then error(why, 2) end
  return key
end

local function reader(count)
  return function(bytes, position)
    position = position or 1
    local value = 0
    for at = position, position + count - 1 do value = value * 256 + byte(bytes, at) end
    return position + count, value
  end
end

--- Reads a number of one byte.
-- @function tools.read_int8
-- @tparam string bytes
-- @tparam[opt=1] integer position
-- @treturn integer position after it
-- @treturn integer number
tools.read_int8 = reader(1)

--- Reads a number of two bytes; as `read_int8`.
-- @function tools.read_int16
-- @tparam string bytes
-- @tparam[opt=1] integer position
-- @treturn integer position after it
-- @treturn integer number
tools.read_int16 = reader(2)

--- Reads a number of four bytes; as `read_int8`.
-- @function tools.read_int32
-- @tparam string bytes
-- @tparam[opt=1] integer position
-- @treturn integer position after it
-- @treturn integer number
tools.read_int32 = reader(4)

--- Writes a number of two bytes.
-- @tparam integer number
-- @treturn string
function tools.write_int16(number)
  return char(floor(number / 256) % 256, number % 256)
end

--- Writes a number of four bytes.
-- @tparam integer number
-- @treturn string
function tools.write_int32(number)
  return char(floor(number / 16777216) % 256, floor(number / 65536) % 256, floor(number / 256) % 256, number % 256)
end

return tools
