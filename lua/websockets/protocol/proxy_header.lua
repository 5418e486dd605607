--- The header of the PROXY protocol, versions 1 and 2, by which a proxy tells the address of its client.
-- @module websockets.protocol.proxy_header
local address = require("websockets.protocol.address")

local proxy_header = {}

local byte, find, sub = string.byte, string.find, string.sub

local FIRST_1 = "PROXY "
local FIRST_2 = "\r\n\r\n\0\r\nQUIT\n"
-- The shortest header of version 1 is "PROXY UNKNOWN" with its end of line.
local LEAST_1, MOST_1 = 15, 107
local FIXED_2 = 16
-- The addresses, and what a proxy adds to them: with the certificate of a client some hundred bytes.
local MOST_2 = 4096
local LOCAL, PROXY = 0x20, 0x21
-- Family and kind of the connection: how many bytes there are of one address.
local UNSPECIFIED = 0
local ADDRESS_BYTES = { [0x11] = 4, [0x21] = 16, [0x31] = 108 }
local UNIX = 0x31
local FAMILIES = { TCP4 = 4, TCP6 = 16 }

local function is_port(text)
  return find(text, "^%d%d?%d?%d?%d?$") and tonumber(text) <= 65535 and not find(text, "^0%d")
end

local function read_line(line)
  if line == "UNKNOWN" or find(line, "^UNKNOWN ") then return true end
  local family, source, destination, from, to = line:match("^(TCP[46]) ([%x.:]+) ([%x.:]+) (%d+) (%d+)$")
  if not family then return false, "a line of another form" end
  local packed = address.pack(source)
  local other = address.pack(destination)
  local size = FAMILIES[family]
  if not packed or not other or #packed ~= size or #other ~= size then return false, "addresses of another form" end
  if not is_port(from) or not is_port(to) then return false, "ports of another form" end
  return true, address.format(address.unmap(packed))
end

local function read_1(bytes)
  local stop = find(bytes, "\r\n", 1, true)
  if stop and stop + 1 > MOST_1 or not stop and #bytes >= MOST_1 then return false, "a line that is too long" end
  -- The last byte may be the first of the two.
  if not stop then return nil, math.max(LEAST_1 - #bytes, sub(bytes, -1) == "\r" and 1 or 2) end
  local is_good, ip = read_line(sub(bytes, #FIRST_1 + 1, stop - 1))
  if not is_good then return false, ip end
  return stop + 2, ip or nil
end

local function read_2(bytes)
  if #bytes < FIXED_2 then return nil, FIXED_2 - #bytes end
  local command, kind, high, low = byte(bytes, #FIRST_2 + 1, FIXED_2)
  local size = FIXED_2 + high * 256 + low
  if command ~= LOCAL and command ~= PROXY then return false, "another version or command" end
  if size > MOST_2 then return false, "a header that is too long" end
  local one = ADDRESS_BYTES[kind]
  if command == PROXY then
    if not one and kind ~= UNSPECIFIED then return false, "addresses of another family" end
    -- TCP has two ports of two bytes after the addresses.
    if one and size < FIXED_2 + 2 * one + (kind ~= UNIX and 4 or 0) then return false, "a header that is too short" end
  end
  if #bytes < size then return nil, size - #bytes end
  if command == LOCAL or not one then return size + 1 end
  return size + 1, kind == UNIX and "unix" or address.format(address.unmap(sub(bytes, FIXED_2 + 1, FIXED_2 + one)))
end

--- Reads the header at the beginning of what a connection has sent.
-- @tparam string bytes
-- @treturn[1] integer position after the header
-- @treturn[1] ?string IP address of the client, `unix`; nil where the proxy speaks for itself or does not tell
-- @treturn[2] nil it has not come whole
-- @treturn[2] integer how many bytes are missing at least
-- @treturn[3] boolean false: this is no such header
-- @treturn[3] string what it is instead
function proxy_header.read(bytes)
  if sub(bytes, 1, #FIRST_1) == sub(FIRST_1, 1, #bytes) and #bytes > 0 then return read_1(bytes) end
  if sub(bytes, 1, #FIRST_2) == sub(FIRST_2, 1, #bytes) then
    if #bytes == 0 then return nil, LEAST_1 end
    return read_2(bytes)
  end
  return false, "no header of the PROXY protocol"
end

return proxy_header
