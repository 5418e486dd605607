--- What proxies that are trusted tell about a client: its address, and how it reached the first of them.
-- @module websockets.protocol.forwarded
local address = require("websockets.protocol.address")
local fields = require("websockets.http.fields")
local head = require("websockets.http.head")

local forwarded = {}

local SCHEMES = { http = "http", ws = "http", https = "https", wss = "https" }
local UNIX = "unix"

--- Reads a network: an address, an address with the number of bits that count, or `unix`. The other bits
-- must be 0: `10.1.2.3/8` may be meant as one address, and would trust 16 million.
-- @rfc 4632 3.1
-- @param text
-- @treturn[1] table
-- @treturn[2] nil for anything else
-- @treturn[2] ?string what may be meant
function forwarded.network(text)
  if type(text) ~= "string" then return nil end
  if text == UNIX then return { is_unix = true } end
  local packed, bits = address.network(text)
  if not packed then return nil, bits and "IPv4 addresses inside IPv6 have 96 bits more" or nil end
  local first = address.first(packed, bits)
  if first ~= packed then
    local ip = address.format(packed)
    return nil, ('"%s" is one address, "%s/%d" a network'):format(ip, address.format(first), bits)
  end
  return { packed = packed, bits = bits }
end

--- Tells whether an address lies in one of several networks.
-- @tparam {table,...} networks of `network`
-- @tparam string ip as `websockets.connection.connection` tells it
-- @treturn boolean
function forwarded.trusts(networks, ip)
  local packed = ip ~= UNIX and address.pack(ip)
  packed = packed and address.unmap(packed)
  for _, network in ipairs(networks) do
    if network.is_unix then
      if ip == UNIX then return true end
    elseif packed and address.is_within(packed, network.packed, network.bits) then
      return true
    end
  end
  return false
end

-- An address in X-Forwarded-For; some proxies add the port.
local function read_address(element)
  local text = element:match("^%[([%x.:]+)%]:?%d*$") or element:match("^([%d.]+):%d+$") or element
  local packed = address.pack(text)
  return packed and address.format(address.unmap(packed))
end

-- The address of the client, and how many proxies there are. From the end: each proxy adds its own peer, and what
-- is before the first that is not trusted may be anybody's invention.
local function walk(networks, ip, list)
  local hops = 1
  for place = #list, 1, -1 do
    local found = read_address(list[place])
    if not found then return ip, hops end
    ip = found
    if not forwarded.trusts(networks, ip) then return ip, hops end
    hops = hops + 1
  end
  return ip, hops
end

-- What the first proxy has said: one that adds to a list puts it as many places from the end as there are proxies.
local function of_hop(value, hops)
  local list = fields.elements(value or "")
  return list[math.max(1, #list - hops + 1)]
end

--- Reads what the proxies tell of a request: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host.
-- @tparam {table,...} networks those of the proxies, of `network`
-- @tparam string ip address of the peer
-- @tparam table headers lower-case name -> value
-- @treturn[1] table `ip`; `scheme`: `http`, `https` or nil; `host` or nil
-- @treturn[2] boolean false: the peer is none of the proxies
function forwarded.read(networks, ip, headers)
  if not forwarded.trusts(networks, ip) then return false end
  local hops
  ip, hops = walk(networks, ip, fields.elements(headers["x-forwarded-for"] or ""))
  local scheme, host = of_hop(headers["x-forwarded-proto"], hops), of_hop(headers["x-forwarded-host"], hops)
  return { ip = ip, scheme = scheme and SCHEMES[scheme:lower()], host = host and head.is_host(host) and host or nil }
end

return forwarded
