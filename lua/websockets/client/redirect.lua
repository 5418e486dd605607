--- Where a server sends a client on to, and whether the client goes there.
-- @module websockets.client.redirect
-- @rfc 9110 15.4
local url = require("websockets.protocol.url")

local redirect = {}

local STATUSES = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
local SCHEMES = { http = "ws", ws = "ws", https = "wss", wss = "wss" }

-- What no other server gets.
local SECRET_HEADERS = { authorization = true, cookie = true, ["proxy-authorization"] = true }
local SECRETS_OF_TLS = { certificate = true, key = true, password = true }

-- RFC 3986 5.2.4
local function without_dots(path)
  local kept = {}
  local last = path:match("[^/]*$")
  for segment in path:gmatch("/([^/]*)") do
    if segment == ".." then
      kept[#kept] = nil
    elseif segment ~= "." then
      kept[#kept + 1] = segment
    end
  end
  -- A dot at the end leaves a slash there.
  if last == "." or last == ".." then kept[#kept + 1] = "" end
  return "/" .. table.concat(kept, "/")
end

-- RFC 3986 5.2.2 and 5.2.3, of a reference that names no other server.
local function target_of(base, reference)
  local path, query = reference:match("^([^?]*)(.*)$")
  local base_path, base_query = base:match("^([^?]*)(.*)$")
  if path == "" then return base_path .. (query ~= "" and query or base_query) end
  if path:sub(1, 1) ~= "/" then path = base_path:match("^.*/") .. path end
  return without_dots(path) .. query
end

-- A unix socket has no port; what its server calls itself by is one origin with it.
local function is_same_origin(made, place)
  if place.unix then return made.unix == place.unix end
  return made.host == place.host and made.port == place.port and made.is_secure == place.is_secure
end

local function with_target(place, target)
  local made = {}
  for name, value in pairs(place) do made[name] = value end
  made.target = target
  return made
end

-- Whether a server that is reached by a unix socket names itself.
local function goes_by(place, made)
  return made.is_secure == place.is_secure and made.authority == (place.virtual_host or place).authority
end

local function at_other(place, scheme, rest)
  local mapped = SCHEMES[scheme]
  local site, target = rest:match("^//([^/?]*)(.*)$")
  if not mapped or not site then return nil end
  target = url.encode(target)
  if target:sub(1, 1) == "/" then target = target_of("/", target) end
  local made = url.parse(mapped .. "://" .. site .. target)
  if not made then return nil end
  if place.unix then return goes_by(place, made) and with_target(place, made.target) or nil end
  if is_same_origin(made, place) then return with_target(place, made.target) end
  -- What another server says is no secret of ours.
  made.user, made.password = nil, nil
  return made
end

--- Resolves the value of Location.
-- @rfc 9110 10.2.2
-- @rfc 3986 5.2
-- @tparam table place of the server that answered
-- @tparam string location
-- @treturn ?table place of `websockets.protocol.url`; user information stays within the origin; nil for what is no URL
-- of a server
function redirect.resolve(place, location)
  -- RFC 6455 3: a fragment means nothing here.
  local reference = location:gsub("#.*$", "")
  local scheme, rest = reference:match("^(%a[%w+.-]*):(.*)$")
  if scheme then return at_other(place, scheme:lower(), rest) end
  if reference:sub(1, 2) == "//" then return at_other(place, place.is_secure and "wss" or "ws", reference) end
  local target = target_of(place.target, url.encode(reference))
  return url.is_target(target) and with_target(place, target) or nil
end

local function without(map, names)
  if not map then return map end
  local made = {}
  for name, value in pairs(map) do
    if not names[name:lower()] then made[name] = value end
  end
  return made
end

--- Makes the settings for a server of another origin: without credentials, cookies and client certificate.
-- @tparam table settings of `websockets.options.connect`
-- @treturn table
function redirect.without_secrets(settings)
  return setmetatable({
    headers = without(settings.headers, SECRET_HEADERS), tls = without(settings.tls, SECRETS_OF_TLS),
  }, { __index = settings })
end

local function location_of(read)
  local location
  for _, field in ipairs(read.fields) do
    -- Two could be understood differently.
    if field[1] == "location" and location and field[2] ~= location then return nil end
    if field[1] == "location" then location = field[2] end
  end
  return location
end

--- Decides where an answer leads.
-- @tparam table place of the server that answered
-- @tparam table read the answer, of `websockets.http.answer`
-- @tparam integer count how many redirects came before
-- @tparam integer max_count how many are followed
-- @treturn[1] table place
-- @treturn[1] boolean whether it is of the same origin: scheme, host and port
-- @treturn[2] nil
-- @treturn[2] ?string why it is not followed; nil for an answer that is no redirect, and where none is followed
function redirect.follow(place, read, count, max_count)
  if not STATUSES[read.status] or not read.headers.location or max_count == 0 then return nil end
  if count >= max_count then return nil, ("more than %d redirects"):format(max_count) end
  local location = location_of(read)
  if not location then return nil, "it has two Locations" end
  local made = redirect.resolve(place, location)
  if not made then return nil, "its Location leads to no WebSocket server" end
  if place.is_secure and not made.is_secure then
    return nil, ("it leads from wss to ws, to %s"):format(made.authority)
  end
  return made, is_same_origin(made, place)
end

require("websockets.loading").interpret(with_target, without)

return redirect
