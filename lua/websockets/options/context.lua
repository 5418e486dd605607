--- The options of `websockets.context`: names, defaults, checks.
-- @module websockets.options.context
local compression = require("websockets.options.compression")
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")
local handshake = require("websockets.protocol.handshake")
local origin = require("websockets.protocol.origin")
local routes = require("websockets.options.routes")

local options = {}

local define, is_integer, copy = definition.new, definition.is_integer, definition.copy
local callback, number, seconds = definition.callback, definition.number, definition.seconds

local MIB = 1024 * 1024

-- The system takes 2^32 - 1 as "no change", and larger numbers modulo 2^32: 2^32 would be 0, which is root.
local MAX_ID = 2 ^ 32 - 2

--- Other names of options, which the README of 2012 had.
options.ALIASES = {
  ssl_cert_path = "ssl_cert_filepath",
  ssl_private_key_path = "ssl_private_key_filepath",
  ssl_ca_path = "ssl_ca_filepath",
}

--- Options that this version does not support yet: giving one raises.
options.UNAVAILABLE = {
  ssl_cert_filepath = true, ssl_private_key_filepath = true, ssl_ca_filepath = true,
}

local function is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function" or (type(meta) == "table" and type(meta.__call) == "function")
end

local function protocol_fault(name, handler)
  if type(name) == "number" then return "a function needs a name, and a list has none" end
  if name == "http-only" then return "this name is reserved" end
  return handshake.name_fault(name) or not is_callable(handler) and "a name needs a function" or nil
end

local function is_protocols(value)
  if type(value) ~= "table" then return false end
  for name, handler in pairs(value) do
    local fault = protocol_fault(name, handler)
    if fault then return false, errors.entry(value, name) .. ": " .. fault end
  end
  return true
end

local function is_origins(value)
  if value == "*" or type(value) == "function" then return true end
  if type(value) ~= "table" then return false end
  for i, one in pairs(value) do
    if type(i) ~= "number" or type(one) ~= "string" or not origin.normal(one) then
      return false, errors.entry(value, i) .. (origin.path_fault(one) or "")
    end
  end
  return #value > 0
end

-- Written as browsers write them, so that each is compared as it is.
local function normal_origins(value)
  if type(value) ~= "table" then return value end
  local made = {}
  for i, one in ipairs(value) do made[i] = origin.normal(one) end
  return made
end

local function is_routes(value)
  if type(value) ~= "table" then return false end
  for pattern, route in pairs(value) do
    if type(pattern) ~= "string" or type(route) ~= "table" then return false, errors.entry(value, pattern) end
  end
  return true
end

local function method_of(value, name) return value[name] end

-- Protected, because indexing a userdata without a metatable raises.
local function has_method(value, name)
  local found, method = pcall(method_of, value, name)
  return found and type(method) == "function"
end

local function is_listener(value)
  local kind = type(value)
  return (kind == "userdata" or kind == "table") and has_method(value, "accept") and has_method(value, "settimeout")
end

local SLOW_CONSUMER = { close = true, drop_new = true, drop_old = true, conflate = true }

--- The options, by name: `default`, `check(value)`, `expected`.
options.KNOWN = {
  port = define(nil, function(v) return v == "any" or is_integer(v, 0, 65535) end, 'port number 0 to 65535 or "any"'),
  interf = define(nil, function(v) return type(v) == "string" and v ~= "" end, "IP address or interface name"),
  socket = define(nil, is_listener, "listening LuaSocket object"),
  protocols = define(nil, is_protocols, "table of subprotocol name -> function"),
  default = callback(),
  origins = define(nil, is_origins, '"*", list of origins like "https://example.com", or function', normal_origins),
  on_http = callback(),
  on_handshake = callback(),
  routes = define(nil, is_routes, "table of path pattern -> table of options"),
  on_add_fd = callback(),
  on_del_fd = callback(),
  on_set_mode_fd = callback(),
  on_clear_mode_fd = callback(),
  on_error = callback(),
  log = callback(),
  gid = define(-1, function(v) return is_integer(v, -1, MAX_ID) end, "group id, or -1"),
  uid = define(-1, function(v) return is_integer(v, -1, MAX_ID) end, "user id, or -1"),
  options = define(0, function(v) return is_integer(v, 0, 7) end, "sum of SERVER_OPTION numbers 0 to 7"),
  max_message_bytes = number(MIB, 1, "bytes above 0"),
  max_fragments = number(1024, 1, "fragments above 0"),
  max_unfinished_total_bytes = number(64 * MIB, 1, "bytes above 0"),
  message_timeout = seconds(60),
  max_header_bytes = number(8192, 64, "bytes from 64"),
  max_header_lines = number(64, 1, "lines above 0"),
  max_request_line_bytes = number(8192, 16, "bytes from 16"),
  max_body_bytes = number(MIB, 0, "bytes"),
  handshake_timeout = seconds(10),
  max_half_open = number(1024, 1, "connections above 0"),
  keepalive_timeout = seconds(15),
  body_timeout = seconds(30),
  response_timeout = seconds(30),
  max_connections = number(math.huge, 1, "connections above 0"),
  ping_interval = seconds(20),
  ping_timeout = seconds(20),
  close_timeout = define(5, definition.is_seconds, "number of seconds above 0"),
  idle_timeout = seconds(false),
  high_water_bytes = number(64 * 1024, 1, "bytes above 0"),
  max_buffered_bytes = number(16 * MIB, 1, "bytes above 0"),
  max_buffered_total_bytes = number(256 * MIB, 1, "bytes above 0"),
  compression = define(false, compression.check, compression.EXPECTED),
  slow_consumer = define("close", function(v) return SLOW_CONSUMER[v] or false end,
    '"close", "drop_new", "drop_old" or "conflate"'),
}

local function check(name, value, level)
  if not options.UNAVAILABLE[name] then
    -- No tail call: the level of an error counts this function.
    local kept = definition.check(options.KNOWN, name, value, level + 1)
    return kept
  end
  if value then error(("option '%s' is not available in this version"):format(name), level) end
end

--- Checks the options and fills in the defaults.
-- @tparam table given option name -> value
-- @tparam integer level of the caller, as for `error`
-- @treturn table option name -> value, for every option; `router` if there are routes
-- @raise for an unknown name or a wrong value
function options.read(given, level)
  local settings = definition.defaults(options.KNOWN)
  for name, value in pairs(given) do
    local real = options.ALIASES[name] or name
    if real ~= name and given[real] ~= nil and given[real] ~= value then
      error(("options '%s' and '%s' are the same thing"):format(name, real), level)
    end
    settings[real] = check(real, value, level + 1)
  end
  -- A copy, because the groups of a context are made once, from these names.
  if settings.protocols then settings.protocols = copy(settings.protocols) end
  if settings.options % 4 >= 2 then
    error("option 'options' 2 (client certificates) is not available in this version", level)
  end
  if settings.socket and (settings.port or settings.interf) then
    error("option 'socket' takes the place of 'port' and 'interf': give one or the other", level)
  end
  if settings.routes then settings.router = routes.read(options, settings, level + 1) end
  return settings
end

return options
