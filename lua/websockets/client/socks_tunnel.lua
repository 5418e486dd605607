--- The way through a SOCKS5 proxy, without I/O. The proxy looks the name up.
-- @classmod websockets.client.socks_tunnel
-- @rfc 1928 3 to 6
-- @rfc 1929 2
local address = require("websockets.protocol.address")

local socks_tunnel = {}
socks_tunnel.__index = socks_tunnel

local byte, char, floor, sub = string.byte, string.char, math.floor, string.sub

local VERSION, CONNECT, RESERVED = 5, 1, 0
local NO_CREDENTIALS, USER_AND_PASSWORD = 0, 2
local CREDENTIALS_VERSION = 1
local IPV4, NAME, IPV6 = 1, 3, 4
local SUCCESS = 0

-- RFC 1928 6
local REPLIES = {
  "general failure", "not allowed by its rules", "network unreachable", "host unreachable", "connection refused",
  "time to live expired", "command not supported", "address type not supported",
}

--- Makes a tunnel.
-- @tparam table place of `websockets.protocol.url`: where it is to lead
-- @tparam table proxy of `websockets.client.proxy`
-- @treturn socks_tunnel
function socks_tunnel.new(place, proxy)
  return setmetatable({ place = place, proxy = proxy, buffer = "", read = false }, socks_tunnel)
end

-- RFC 1928 4
local function write_request(place)
  local packed = place.kind ~= "name" and address.pack(place.host)
  local kind, target
  if packed then
    kind, target = #packed == 4 and IPV4 or IPV6, packed
  else
    kind, target = NAME, char(#place.host) .. place.host
  end
  return char(VERSION, CONNECT, RESERVED, kind) .. target .. char(floor(place.port / 256), place.port % 256)
end

-- Each reads one message at the beginning of the buffer. It gives its size, or nil where it is not whole; then the
-- bytes that answer it, or nil, what the proxy did, and whether it is about our credentials. `self.read` is the next
-- one, false after the last.
local readers = {}

-- RFC 1928 3
function readers.method(self, buffer)
  if byte(buffer) ~= VERSION then return 1, nil, "does not speak SOCKS5" end
  local method = byte(buffer, 2)
  if not method then return nil end
  if method == USER_AND_PASSWORD and self.proxy.user then
    self.read = readers.credentials
    local user, password = self.proxy.user, self.proxy.password
    return 2, char(CREDENTIALS_VERSION, #user) .. user .. char(#password) .. password
  elseif method == NO_CREDENTIALS then
    self.read = readers.reply
    return 2, write_request(self.place)
  end
  return 2, nil, self.proxy.user and "takes no user and password" or "wants a user and a password", true
end

-- RFC 1929 2
function readers.credentials(self, buffer)
  local status = byte(buffer, 2)
  if not status then return nil end
  if status ~= SUCCESS then return 2, nil, "refuses these credentials", true end
  self.read = readers.reply
  return 2, write_request(self.place)
end

-- RFC 1928 5: the address at the end, by its type.
local function address_bytes(buffer)
  local kind = byte(buffer, 4)
  if kind == IPV4 then return 4 end
  if kind == IPV6 then return 16 end
  if kind == NAME then return 1 + (byte(buffer, 5) or 0) end
end

-- RFC 1928 6
function readers.reply(self, buffer)
  if byte(buffer) ~= VERSION then return 1, nil, "gave an answer that is not SOCKS5" end
  local code = byte(buffer, 2)
  if not code then return nil end
  if code ~= SUCCESS then
    return 2, nil, ("answered %s (SOCKS5 reply %d)"):format(REPLIES[code] or "with an unknown failure", code)
  end
  if #buffer < 5 then return nil end
  local size = address_bytes(buffer)
  if not size then return 4, nil, "gave an answer with an unknown type of address" end
  if #buffer < 6 + size then return nil end
  self.read = false
  return 6 + size, ""
end

--- Begins.
-- @treturn string bytes for the proxy
function socks_tunnel:begin()
  self.read = readers.method
  if self.proxy.user then return char(VERSION, 2, NO_CREDENTIALS, USER_AND_PASSWORD) end
  return char(VERSION, 1, NO_CREDENTIALS)
end

--- Takes bytes of the proxy.
-- @tparam string bytes
-- @treturn[1] string the tunnel is there: bytes that came after the proxy's answer
-- @treturn[2] nil more has to come
-- @treturn[2] ?string bytes for the proxy
-- @treturn[3] boolean false
-- @treturn[3] string what the proxy did
-- @treturn[3] boolean whether it is about our credentials
function socks_tunnel:feed(bytes)
  self.buffer = self.buffer .. bytes
  local answers = ""
  while self.read and self.buffer ~= "" do
    local size, answer, why, is_denied = self.read(self, self.buffer)
    if not size then break end
    if not answer then return false, why, is_denied or false end
    answers, self.buffer = answers .. answer, sub(self.buffer, size + 1)
  end
  if not self.read then return self.buffer end
  return nil, answers ~= "" and answers or nil
end

return socks_tunnel
