--- The options of `websockets.context`: names, defaults, checks.
-- @module websockets.options.context
local compression = require("websockets.options.compression")
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")
local forwarded = require("websockets.protocol.forwarded")
local handshake = require("websockets.protocol.handshake")
local inherited = require("websockets.server.inherited")
local load = require("websockets.loading").load
local luasocket = require("websockets.transport.luasocket")
local origin = require("websockets.protocol.origin")
local routes = require("websockets.options.routes")
local sockets = require("websockets.transport.sockets")
local tls = require("websockets.options.tls")
local topics = require("websockets.options.topics")
local url = require("websockets.protocol.url")

local options = {}

local define, is_integer, copy = definition.new, definition.is_integer, definition.copy
local callback, count, seconds = definition.callback, definition.count, definition.seconds

local MIB = 1024 * 1024

-- The system takes 2^32 - 1 as "no change", and larger numbers modulo 2^32: 2^32 would be 0, which is root.
local MAX_ID = 2 ^ 32 - 2

--- Other names of options, which the README of 2012 had.
options.ALIASES = {
  ssl_cert_path = "ssl_cert_filepath",
  ssl_private_key_path = "ssl_private_key_filepath",
  ssl_ca_path = "ssl_ca_filepath",
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

local function is_proxies(value)
  if type(value) ~= "table" then return false end
  for i, one in pairs(value) do
    local network, hint = forwarded.network(one)
    if type(i) ~= "number" or not network then
      return false, errors.entry(value, i) .. (hint and ": " .. hint or "")
    end
  end
  return #value > 0
end

local function networks(value)
  local made = {}
  for i, one in ipairs(value) do made[i] = forwarded.network(one) end
  return made
end

local function is_routes(value)
  if type(value) ~= "table" then return false end
  for pattern, route in pairs(value) do
    if type(pattern) ~= "string" or type(route) ~= "table" then return false, errors.entry(value, pattern) end
  end
  return true
end

local function is_listener(value)
  if inherited.is_name(value) then return true end
  if not luasocket.is_object(value, { "accept", "settimeout" }) then return false end
  local fault = luasocket.listener_fault(value)
  return not fault, fault
end

-- False is none, as in 2012.
local function path()
  return define(nil, function(v) return v == false or (type(v) == "string" and v ~= "") end, "path of a file, or false")
end

local function is_socket_path(value)
  return type(value) == "string" and value ~= "" and #value <= url.MAX_SOCKET_PATH_BYTES
    and not value:find("\0", 1, true)
end

-- Octal, also where a number is given: Lua has no octal numbers that 660 could be confused with.
local function read_mode(value)
  local digits = type(value) == "string" and value or is_integer(value, 0, 777) and ("%d"):format(value) or ""
  digits = digits:match("^0*([0-7]?[0-7]?[0-7])$")
  return digits and tonumber(digits, 8)
end

--- The options, by name: `default`, `check(value)`, `expected`.
options.KNOWN = {
  port = define(nil, function(v) return v == "any" or is_integer(v, 0, 65535) end, 'port number 0 to 65535 or "any"'),
  interf = define(nil, function(v) return type(v) == "string" and v ~= "" end, "IP address or interface name"),
  socket = define(nil, is_listener, 'listening LuaSocket object, "systemd", "systemd:NAME" or "worker"'),
  reuseport = define(nil, function(v) return type(v) == "boolean" end, "boolean"),
  notify = define(nil, function(v) return type(v) == "boolean" end, "boolean"),
  sockets = define(nil, function(v) return v == "luasocket" or v == "uv" end, '"luasocket" or "uv"'),
  unix = define(nil, is_socket_path, ("path of 1 to %d bytes"):format(url.MAX_SOCKET_PATH_BYTES)),
  unix_mode = define(nil, read_mode, 'permissions like "660", in octal', read_mode),
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
  ssl_cert_filepath = path(),
  ssl_private_key_filepath = path(),
  ssl_ca_filepath = path(),
  tls = define(false, function(v) return v == false or type(v) == "table" end, "table, or false"),
  options = define(0, function(v) return is_integer(v, 0, 7) end, "sum of SERVER_OPTION numbers 0 to 7"),
  trusted_proxies = define(nil, is_proxies, 'list of IP addresses, networks like "10.0.0.0/8", or "unix"', networks),
  proxy_protocol = define(false, function(v) return type(v) == "boolean" end, "boolean"),
  max_message_bytes = count(MIB, 1, "bytes above 0"),
  max_fragments = count(1024, 1, "fragments above 0"),
  max_unfinished_total_bytes = count(64 * MIB, 1, "bytes above 0"),
  message_timeout = seconds(60),
  max_header_bytes = count(8192, 64, "bytes from 64"),
  max_header_lines = count(64, 1, "lines above 0"),
  max_request_line_bytes = count(8192, 16, "bytes from 16"),
  max_body_bytes = count(MIB, 0, "bytes"),
  handshake_timeout = seconds(10),
  max_half_open = count(1024, 1, "connections above 0"),
  keepalive_timeout = seconds(15),
  body_timeout = seconds(30),
  response_timeout = seconds(30),
  max_connections = count(math.huge, 1, "connections above 0"),
  ping_interval = seconds(20),
  ping_timeout = seconds(20),
  close_timeout = define(5, definition.is_seconds, "number of seconds above 0"),
  idle_timeout = seconds(false),
  high_water_bytes = count(64 * 1024, 1, "bytes above 0"),
  max_buffered_bytes = count(16 * MIB, 1, "bytes above 0"),
  max_buffered_total_bytes = count(256 * MIB, 1, "bytes above 0"),
  max_topics = count(1000, 0, "topics"),
  max_topic_bytes = count(256, 1, "bytes above 0"),
  backplane = define(false, function(v) return v == false or type(v) == "table" end,
    "table such as { url = \"redis://localhost\" }, or false"),
  compression = define(false, compression.check, compression.EXPECTED),
  slow_consumer = topics.slow_consumer,
  topics = define(nil, topics.check, "table of topic -> table of options, or function"),
  on_drop = callback(),
}

local OF_LUASOCKET = {
  "socket", "unix", "tls", "reuseport", "notify", "on_add_fd", "on_del_fd", "on_set_mode_fd", "on_clear_mode_fd",
}

--- Checks what can only be done with one of the libraries of sockets.
-- @tparam table settings as `read` gives them
-- @tparam table chosen of `websockets.transport.sockets`
-- @tparam integer level of the caller, as for `error`
-- @treturn table chosen
-- @raise for an option that this library cannot serve
function options.check_sockets(settings, chosen, level)
  for _, name in ipairs(OF_LUASOCKET) do
    local why = settings[name] and sockets.lack(chosen, ("option '%s'"):format(name))
    if why then error(why, level) end
  end
  return chosen
end

--- Keeps `high_water_bytes` within `max_buffered_bytes`: one that was not chosen beside it is lowered.
-- @tparam table made option name -> value, for every option
-- @tparam table given what of it the caller has chosen here
-- @tparam integer level of the caller, as for `error`
-- @tparam[opt="high_water_bytes"] string label how the message names the option
-- @raise where the caller has chosen one that can never be reached
function options.settle_buffers(made, given, level, label)
  local high, most = made.high_water_bytes, made.max_buffered_bytes
  if high <= most then return end
  if given.high_water_bytes ~= nil then
    error(("option '%s' (%.0f) is above 'max_buffered_bytes' (%.0f) and could never be reached"):format(
      label or "high_water_bytes", high, most), level)
  end
  made.high_water_bytes = most
end

--- Checks the options and fills in the defaults.
-- @tparam table given option name -> value
-- @tparam integer level of the caller, as for `error`
-- @treturn table option name -> value, for every option; `router` if there are routes, `topic_options(name)` if
-- there are `topics`
-- @raise for an unknown name or a wrong value
function options.read(given, level)
  local settings = definition.defaults(options.KNOWN)
  for name, value in pairs(given) do
    local real = options.ALIASES[name] or name
    if real ~= name and given[real] ~= nil and given[real] ~= value then
      error(("options '%s' and '%s' are the same thing"):format(name, real), level)
    end
    settings[real] = definition.check(options.KNOWN, real, value, level + 1)
  end
  if settings.notify == nil and inherited.is_name(settings.socket) and settings.socket ~= "worker" then
    settings.notify = true
  end
  -- A copy, because the groups of a context are made once, from these names.
  if settings.protocols then settings.protocols = copy(settings.protocols) end
  settings.topic_options = topics.read(settings.topics, level + 1)
  settings.tls = tls.server(settings, level + 1)
  if settings.socket and (settings.port or settings.interf) then
    error("option 'socket' takes the place of 'port' and 'interf': give one or the other", level)
  end
  if settings.unix and (settings.port or settings.interf or settings.socket) then
    error("option 'unix' takes the place of 'port', 'interf' and 'socket': give one or the other", level)
  end
  if settings.reuseport and (settings.socket or settings.unix) then
    error("option 'reuseport' is for the listener of 'port'", level)
  end
  if settings.unix_mode and not settings.unix then error("option 'unix_mode' is for the file of 'unix'", level) end
  if settings.backplane then
    settings.backplane = load("websockets.options.backplane").settle(settings.backplane, level + 1)
  end
  options.settle_buffers(settings, given, level + 1)
  if settings.routes then settings.router = routes.read(options, settings, level + 1) end
  return settings
end

require("websockets.loading").interpret(is_protocols, is_origins, is_proxies, is_routes, options.read)

return options
