--- IP addresses, from text to bytes and back.
-- @module websockets.protocol.address
local address = {}

local byte, char, concat, find, floor = string.byte, string.char, table.concat, string.find, math.floor

local MAX_BYTE = 255
local IPV6_BYTES, GROUP_BYTES, BYTE_BITS = 16, 2, 8
local MAPPED = ("\0"):rep(10) .. "\255\255"

-- RFC 3986 3.2.2: no leading zeros, which some readers take for octal.
local function pack_ipv4(text)
  local bytes = {}
  for part in (text .. "."):gmatch("([^.]*)%.") do
    if not find(part, "^%d%d?%d?$") or find(part, "^0%d") or tonumber(part) > MAX_BYTE then return nil end
    bytes[#bytes + 1] = char(tonumber(part))
  end
  return #bytes == 4 and table.concat(bytes) or nil
end

-- Groups of hexadecimal digits between colons; the last may be an IPv4 address.
local function pack_groups(text, is_end)
  local packed, count, size = {}, 0, 0
  if text == "" then return "" end
  local last = select(2, text:gsub(":", "")) + 1
  for group in (text .. ":"):gmatch("([^:]*):") do
    count = count + 1
    local bytes
    if find(group, "^%x%x?%x?%x?$") then
      local number = tonumber(group, 16)
      bytes = char(floor(number / 256), number % 256)
    elseif is_end and count == last then
      bytes = pack_ipv4(group)
    end
    if not bytes then return nil end
    packed[count], size = bytes, size + #bytes
    if size > IPV6_BYTES then return nil end
  end
  return table.concat(packed)
end

-- RFC 4291 2.2
local function pack_ipv6(text)
  local head, tail = text:match("^(.-)::(.*)$")
  if not head then
    local whole = pack_groups(text, true)
    return whole and #whole == IPV6_BYTES and whole or nil
  end
  head, tail = pack_groups(head, false), pack_groups(tail, true)
  if not head or not tail or #head + #tail > IPV6_BYTES - GROUP_BYTES then return nil end
  return head .. ("\0"):rep(IPV6_BYTES - #head - #tail) .. tail
end

--- Reads an IP address.
-- @rfc 4291 2.2
-- @rfc 3986 3.2.2
-- @tparam string text without brackets
-- @treturn ?string 4 or 16 bytes; nil if it is no IP address
function address.pack(text)
  if find(text, ":", 1, true) then return pack_ipv6(text) end
  return pack_ipv4(text)
end

-- RFC 5952 4, as browsers write addresses: no zeros in front of a group, "::" for the longest run of zero groups.
local function shorten(bytes)
  local groups = {}
  for high, low in bytes:gmatch("(.)(.)") do
    groups[#groups + 1] = ("%x"):format(byte(high) * 256 + byte(low))
  end
  local text = ":" .. concat(groups, ":") .. ":"
  for count = 8, 2, -1 do
    local first, last = find(text, (":0"):rep(count) .. ":", 1, true)
    if first then return text:sub(2, first - 1) .. "::" .. text:sub(last + 1, -2) end
  end
  return text:sub(2, -2)
end

--- Takes an IPv4 address out of IPv6.
-- @rfc 4291 2.5.5.2
-- @tparam string packed of `pack`
-- @treturn string another address as it is
function address.unmap(packed)
  if #packed == IPV6_BYTES and packed:sub(1, #MAPPED) == MAPPED then return packed:sub(#MAPPED + 1) end
  return packed
end

--- Writes an IP address as browsers do.
-- @rfc 5952 4
-- @tparam string packed of `pack`
-- @treturn string
function address.format(packed)
  if #packed == IPV6_BYTES then return shorten(packed) end
  return ("%d.%d.%d.%d"):format(byte(packed, 1, 4))
end

--- Reads a network: an address, or an address with the number of bits that count. A network of IPv4 addresses inside
-- IPv6 is the one that they have as IPv4.
-- @rfc 4632 3.1
-- @tparam string text
-- @treturn[1] string 4 or 16 bytes
-- @treturn[1] integer bits
-- @treturn[2] nil
-- @treturn[2] boolean whether this is a network of IPv6 that begins like IPv4 inside IPv6 and is larger than that
function address.network(text)
  local host, bits = text:match("^([%x.:]+)/(%d%d?%d?)$")
  local packed = address.pack(host or text)
  bits = packed and (tonumber(bits) or #packed * BYTE_BITS)
  if not packed or bits > #packed * BYTE_BITS then return nil, false end
  local plain = address.unmap(packed)
  bits = bits - (#packed - #plain) * BYTE_BITS
  if bits < 0 then return nil, true end
  return plain, bits
end

--- Gives the first address of a network.
-- @rfc 4632 3.1
-- @tparam string packed of `pack`
-- @tparam integer bits that count
-- @treturn string all other bits are 0
function address.first(packed, bits)
  local whole, unit = floor(bits / BYTE_BITS), 2 ^ (BYTE_BITS - bits % BYTE_BITS)
  if whole == #packed then return packed end
  local last = byte(packed, whole + 1)
  return packed:sub(1, whole) .. char(last - last % unit) .. ("\0"):rep(#packed - whole - 1)
end

--- Tells whether an address lies in a network.
-- @rfc 4632 3.1
-- @tparam string packed of `pack`
-- @tparam string network of `pack`
-- @tparam integer bits that the two have in common
-- @treturn boolean
function address.is_within(packed, network, bits)
  if #packed ~= #network or bits > #packed * 8 then return false end
  local whole = floor(bits / 8)
  if packed:sub(1, whole) ~= network:sub(1, whole) then return false end
  local rest = 2 ^ (8 - bits % 8)
  if rest == 256 then return true end
  return floor(packed:byte(whole + 1) / rest) == floor(network:byte(whole + 1) / rest)
end

return address
