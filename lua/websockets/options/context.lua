--- What `websockets.context` can be told: names, checks, defaults.
-- @module websockets.options.context
local compression = require("websockets.protocol.compression")
local errors = require("websockets.errors")
local fields = require("websockets.http.fields")
local routes = require("websockets.options.routes")

local options = {}

local MIB = 1024 * 1024

-- The system reads the number above this as "none", and those past 32 bits as others: 2^32 as 0, which is root.
local MAX_ID = 2 ^ 32 - 2

--- Option names that mean another one (the README of 2012 named files so).
options.ALIASES = {
  ssl_cert_path = "ssl_cert_filepath",
  ssl_private_key_path = "ssl_private_key_filepath",
  ssl_ca_path = "ssl_ca_filepath",
}

--- Options known by name whose work this version does not do yet: giving one raises.
options.UNAVAILABLE = {
  ssl_cert_filepath = true, ssl_private_key_filepath = true, ssl_ca_filepath = true,
}

local function is_integer(value, low, high)
  return type(value) == "number" and value >= low and value <= high and value % 1 == 0
end

local function number(low, unit)
  return function(value) return type(value) == "number" and value >= low end, "number of " .. unit
end

local function seconds()
  return function(value)
    return value == false or (type(value) == "number" and value > 0 and value < math.huge)
  end, "number of seconds above 0, or false"
end

local function callback()
  return function(value) return type(value) == "function" end, "function"
end

local function is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function" or (type(meta) == "table" and type(meta.__call) == "function")
end

local function is_protocols(value)
  if type(value) ~= "table" then return false end
  for name, handler in pairs(value) do
    if not fields.is_token(name) or name == "http-only" or not is_callable(handler) then return false end
  end
  return true
end

local function is_origins(value)
  if value == "*" or type(value) == "function" then return true end
  if type(value) ~= "table" then return false end
  for _, origin in ipairs(value) do
    if type(origin) ~= "string" then return false end
  end
  return #value > 0
end

local function is_routes(value)
  if type(value) ~= "table" then return false end
  for pattern, route in pairs(value) do
    if type(pattern) ~= "string" or type(route) ~= "table" then return false end
  end
  return true
end

local function method_of(value, name) return value[name] end

-- A userdata without a metatable raises when it is indexed.
local function has_method(value, name)
  local found, method = pcall(method_of, value, name)
  return found and type(method) == "function"
end

local function is_listener(value)
  local kind = type(value)
  return (kind == "userdata" or kind == "table") and has_method(value, "accept") and has_method(value, "settimeout")
end

local SLOW_CONSUMER = { close = true, drop_new = true, drop_old = true, conflate = true }

-- name = { default, check, what is expected }
local function define(default, check, expected) return { default = default, check = check, expected = expected } end
local function define_as(default, make, ...) return define(default, make(...)) end

--- The options, by name: `default`, `check(value)`, `expected`.
options.KNOWN = {
  port = define(nil, function(v) return v == "any" or is_integer(v, 0, 65535) end, 'port number 0 to 65535 or "any"'),
  interf = define(nil, function(v) return type(v) == "string" and v ~= "" end, "IP address or interface name"),
  socket = define(nil, is_listener, "listening LuaSocket object"),
  protocols = define(nil, is_protocols, "table of subprotocol token -> function, without 'http-only'"),
  default = define_as(nil, callback),
  origins = define(nil, is_origins, '"*", list of origins, or function'),
  on_http = define_as(nil, callback),
  on_handshake = define_as(nil, callback),
  routes = define(nil, is_routes, "table of path pattern -> table of options"),
  on_add_fd = define_as(nil, callback),
  on_del_fd = define_as(nil, callback),
  on_set_mode_fd = define_as(nil, callback),
  on_clear_mode_fd = define_as(nil, callback),
  on_error = define_as(nil, callback),
  log = define_as(nil, callback),
  gid = define(-1, function(v) return is_integer(v, -1, MAX_ID) end, "group id, or -1"),
  uid = define(-1, function(v) return is_integer(v, -1, MAX_ID) end, "user id, or -1"),
  options = define(0, function(v) return is_integer(v, 0, 7) end, "sum of SERVER_OPTION numbers 0 to 7"),
  max_message_bytes = define_as(MIB, number, 1, "bytes above 0"),
  max_fragments = define_as(1024, number, 1, "fragments above 0"),
  max_unfinished_total_bytes = define_as(64 * MIB, number, 1, "bytes above 0"),
  max_header_bytes = define_as(8192, number, 64, "bytes from 64"),
  max_header_lines = define_as(64, number, 1, "lines above 0"),
  max_request_line_bytes = define_as(8192, number, 16, "bytes from 16"),
  max_body_bytes = define_as(MIB, number, 0, "bytes"),
  handshake_timeout = define_as(10, seconds),
  max_half_open = define_as(1024, number, 1, "connections above 0"),
  keepalive_timeout = define_as(15, seconds),
  body_timeout = define_as(30, seconds),
  response_timeout = define_as(30, seconds),
  max_connections = define_as(math.huge, number, 1, "connections above 0"),
  ping_interval = define_as(20, seconds),
  ping_timeout = define_as(20, seconds),
  close_timeout = define(5, function(v) return type(v) == "number" and v > 0 and v < math.huge end,
    "number of seconds above 0"),
  idle_timeout = define_as(false, seconds),
  high_water_bytes = define_as(64 * 1024, number, 1, "bytes above 0"),
  max_buffered_bytes = define_as(16 * MIB, number, 1, "bytes above 0"),
  max_buffered_total_bytes = define_as(256 * MIB, number, 1, "bytes above 0"),
  compression = define(false, compression.check, compression.EXPECTED),
  slow_consumer = define("close", function(v) return SLOW_CONSUMER[v] or false end,
    '"close", "drop_new", "drop_old" or "conflate"'),
}

--- Checks one option.
-- @tparam table all the known ones, name -> `check(value)`, `expected`
-- @tparam string name
-- @param value
-- @tparam integer level whose fault a mistake is, as for `error`
-- @raise for an unknown name or a wrong value
function options.check(all, name, value, level)
  local known = all[name]
  if not known then error(("unknown option '%s'"):format(tostring(name)), level) end
  if not known.check(value) then errors.option(name, known.expected, value, level + 1) end
end

local function check(name, value, level)
  if options.UNAVAILABLE[name] then
    if value then error(("option '%s' is not available in this version"):format(name), level) end
    return false
  end
  options.check(options.KNOWN, name, value, level + 1)
  return true
end

local function copy(map)
  local made = {}
  for key, value in pairs(map) do made[key] = value end
  return made
end

--- Checks what the caller gave and fills in the defaults.
-- @tparam table given option name -> value
-- @tparam integer level whose fault a mistake is, as for `error`
-- @treturn table option name -> value, complete
function options.read(given, level)
  local settings = {}
  for name, known in pairs(options.KNOWN) do settings[name] = known.default end
  for name, value in pairs(given) do
    local real = options.ALIASES[name] or name
    if real ~= name and given[real] ~= nil and given[real] ~= value then
      error(("options '%s' and '%s' are the same thing"):format(name, real), level)
    end
    if check(real, value, level + 1) then settings[real] = value end
  end
  -- A copy: the groups of a context are made once, from the same names.
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
