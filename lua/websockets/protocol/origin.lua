--- Origins of pages: how they are written, and which of them may connect.
-- @module websockets.protocol.origin
-- @rfc 6454 4, 6.2
local address = require("websockets.protocol.address")
local errors = require("websockets.errors")
local url = require("websockets.protocol.url")

local origin = {}

local quote = errors.quote
local concat, find, lower = table.concat, string.find, string.lower

local DEFAULT_PORTS = { http = 80, https = 443 }
-- These are schemes of connections; no page has them.
local NO_PAGE = { ws = true, wss = true }
local MAX_LOGGED_BYTES = 200

local function read_host(scheme, text)
  if not DEFAULT_PORTS[scheme] then return find(text, "^[a-z0-9._-]+$") and text end
  local host, kind = url.host(text)
  if kind ~= "ipv6" then return host or nil end
  return "[" .. address.format(address.pack(host)) .. "]"
end

--- Writes an origin as a browser does: in lower case, without the default port.
-- @rfc 6454 6.2
-- @tparam string text may have a slash at its end
-- @treturn ?string nil if it is no origin that a page can have
function origin.normal(text)
  local scheme, authority = lower(text):match("^(%a[%w+.-]*)://([^/?#]*)/?$")
  if not scheme or NO_PAGE[scheme] then return nil end
  if scheme == "file" then return authority == "" and "file://" or nil end
  local name, port = authority:match("^(.-):(%d*)$")
  local host = read_host(scheme, name or authority)
  if not host then return nil end
  if port == nil or port == "" then return scheme .. "://" .. host end
  local number = #port <= 5 and tonumber(port) or 0
  if number < 1 or number > 65535 then return nil end
  if number == DEFAULT_PORTS[scheme] then return scheme .. "://" .. host end
  return ("%s://%s:%d"):format(scheme, host, number)
end

--- Says what to write where something stands after an origin.
-- @param value
-- @treturn ?string nil if that is not what is wrong with it
function origin.path_fault(value)
  local before = type(value) == "string" and value:match("^[^/]*://[^/?#]+")
  local normal = before and before ~= value and origin.normal(before)
  return normal and ": an origin has no path, write " .. errors.describe(normal) or nil
end

-- Only hosts are compared, not schemes and ports. Anything but a host with a port is refused: two origins in one field,
-- user information.
local function host_of(authority)
  local host, after = authority:match("^(%[[%x:.]+%])()")
  if not host then host, after = authority:match("^([a-zA-Z0-9._~%%-]+)()") end
  return host and find(authority, "^:?%d*$", after) and lower(host)
end

local function is_in(origins, name)
  local normal = origin.normal(name)
  for _, allowed in ipairs(origins) do
    if allowed == normal then return true end
  end
  return false
end

--- Decides whether a page of the origin in the request may connect.
-- @rfc 6455 10.2
-- @tparam ?string|table|function origins the option: nil (the host of the request only), `"*"`, list of origins as
-- `normal` writes them, or `function(origin, request)`
-- @tparam table request
-- @tparam[opt] string own host of the request, where a proxy has told it; else that of its Host field
-- @treturn boolean
function origin.allows(origins, request, own)
  local name = request.headers.origin
  if origins == "*" then return true end
  if type(origins) == "function" then return origins(name, request) and true or false end
  if not name then return true end
  if origins then return is_in(origins, name) end
  local authority = name:match("^%a[%w+.-]*://([^/]*)$")
  local host = host_of(own or request.headers.host or "")
  return host ~= nil and authority ~= nil and host == host_of(authority)
end

local function line_for(origins, name)
  local normal = origin.normal(name)
  -- A list cannot allow what no page of its own can have, such as "null".
  if not normal then return ("origins = function(origin) return origin == %s end"):format(quote(name)) end
  local entries = {}
  for i, allowed in ipairs(origins or {}) do entries[i] = quote(allowed) end
  entries[#entries + 1] = quote(normal)
  return ("origins = { %s }"):format(concat(entries, ", "))
end

--- Says for the log what was refused, and which option line would allow it.
-- @tparam ?table|function origins the option, as for `allows`
-- @tparam ?string name value of Origin
-- @treturn string
function origin.refusal(origins, name)
  if not name then return "the function 'origins' refused a client without Origin" end
  local shown = #name <= MAX_LOGGED_BYTES and quote(name) or ("of %d bytes"):format(#name)
  if type(origins) == "function" then return "the function 'origins' refused a page of the origin " .. shown end
  local text = "refused a page of the origin " .. shown
  if #name > MAX_LOGGED_BYTES then return text end
  if name == "null" then text = text .. ", which any page can have in a sandboxed frame" end
  if not origins then text = text .. " (a list would replace the rule that pages of this host may connect)" end
  return text .. "; to allow it: " .. line_for(origins, name)
end

return origin
