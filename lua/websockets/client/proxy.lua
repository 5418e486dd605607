--- Which proxy leads to a server: an option decides, or the environment.
-- @module websockets.client.proxy
local address = require("websockets.protocol.address")
local errors = require("websockets.errors")
local url = require("websockets.protocol.url")

local proxy = {}

local HTTP_PORT, SOCKS_PORT = 80, 1080

local SCHEMES = {
  http = { protocol = "http", port = HTTP_PORT }, socks5 = { protocol = "socks5", port = SOCKS_PORT },
  socks5h = { protocol = "socks5", port = SOCKS_PORT },
}

-- RFC 1929 2
local MAX_SOCKS_CREDENTIAL_BYTES = 255

--- What the option and the variables are to be.
proxy.EXPECTED = "URL like http://user:password@host:port or socks5://host:port"

-- Not HTTP_PROXY: in a CGI program a client sets it, by a header Proxy (RFC 3875 4.1.18).
local VARIABLES = { [true] = { "https_proxy", "HTTPS_PROXY" }, [false] = { "http_proxy" } }
local FOR_ALL = { "all_proxy", "ALL_PROXY" }
local EXCEPTIONS = { "no_proxy", "NO_PROXY" }

--- Reads the URL of a proxy.
-- @tparam string text `http://`, `socks5://` or `socks5h://`; without a scheme it is http
-- @treturn[1] table `protocol` ("http" or "socks5"), and what `url.site` gives; `authority` is for messages here: "the
-- proxy host:port"
-- @treturn[2] nil
-- @treturn[2] string what was expected
function proxy.parse(text)
  local scheme, rest = text:match("^(%a[%w+.-]*)://(.*)$")
  local known = SCHEMES[(scheme or "http"):lower()]
  if not known then return nil, proxy.EXPECTED end
  local site, path = (rest or text):match("^([^/?#]*)(.*)$")
  if path ~= "" and path ~= "/" then return nil, "a URL of a proxy without a path" end
  local made, expected = url.site(site, known.port)
  if not made then return nil, expected end
  made.protocol, made.authority = known.protocol, ("the proxy %s:%d"):format(made.name, made.port)
  if made.protocol == "socks5" and made.user then
    if made.user == "" or #made.user > MAX_SOCKS_CREDENTIAL_BYTES or #made.password > MAX_SOCKS_CREDENTIAL_BYTES then
      return nil, "a user name of 1 to 255 bytes and a password of at most 255 for SOCKS5"
    end
  end
  return made
end

-- An empty variable counts as none.
local function first_of(names, getenv)
  for _, name in ipairs(names) do
    local value = getenv(name)
    if value and value:find("%S") then return value, name end
  end
end

-- `name`, `name:port`, `[address]:port`, `address`, `address/bits`.
local function split_entry(entry)
  local inside, port = entry:match("^%[(.-)%]:?(%d*)$")
  if inside then return inside, port end
  -- Two colons: an IPv6 address without brackets.
  if entry:find(":.*:") then return entry, "" end
  local name, number = entry:match("^(.*):(%d+)$")
  return name or entry, number or ""
end

local function matches_ip(host, packed)
  local network, bits = address.network(host)
  return network ~= nil and address.is_within(packed, network, bits)
end

local function matches_name(pattern, name)
  pattern = pattern:lower():gsub("^%*", ""):gsub("^%.", ""):gsub("%.$", "")
  name = name:gsub("%.$", "")
  return pattern ~= "" and (name == pattern or name:sub(-#pattern - 1) == "." .. pattern)
end

local function is_excepted(place, list)
  local packed = place.kind ~= "name" and address.unmap(address.pack(place.host))
  for entry in list:gmatch("[^,%s]+") do
    if entry == "*" then return true end
    local host, port = split_entry(entry)
    if port == "" or tonumber(port) == place.port then
      if packed and matches_ip(host, packed) or not packed and matches_name(host, place.host) then return true end
    end
  end
  return false
end

--- Tells which proxy leads to a server.
-- @tparam table place of `websockets.protocol.url`
-- @tparam ?table|boolean given the option `proxy` as `parse` made it; false for none; nil: the environment decides
-- @tparam[opt=os.getenv] function getenv gives a variable of the environment
-- @treturn[1] table proxy
-- @treturn[2] boolean false: none
-- @treturn[3] nil a variable names none that can be used
-- @treturn[3] string message
function proxy.choose(place, given, getenv)
  if place.unix or given == false then return false end
  if given then return given end
  getenv = getenv or os.getenv
  local value, name = first_of(VARIABLES[place.is_secure or false], getenv)
  if not value then value, name = first_of(FOR_ALL, getenv) end
  if not value or is_excepted(place, first_of(EXCEPTIONS, getenv) or "") then return false end
  value = value:match("^%s*(.-)%s*$")
  local made, expected = proxy.parse(value)
  if made then return made end
  return nil, ("the proxy in the environment variable %s cannot be used: %s expected, got %s"):format(name, expected,
    errors.quote(url.without_password(value)))
end

return proxy
