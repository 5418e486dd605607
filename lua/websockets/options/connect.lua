--- The options of `context:connect`: names and checks. The others are inherited from the context.
-- @module websockets.options.connect
local compression = require("websockets.options.compression")
local definition = require("websockets.options.definition")
local engine = require("websockets.engine.loader")
local errors = require("websockets.errors")
local fields = require("websockets.http.fields")
local handshake = require("websockets.protocol.handshake")
local options = require("websockets.options.context")
local origin = require("websockets.protocol.origin")
local proxy = require("websockets.client.proxy")
local reconnect = require("websockets.options.reconnect")
local tls = require("websockets.options.tls")
local url = require("websockets.protocol.url")

local client_options = {}

local define = definition.new

local MAX_MESSAGE_BYTES = 16 * 1024 * 1024
local MAX_HEADER_BYTES, MAX_HEADER_LINES = 32 * 1024, 256
local MAX_REDIRECTS = 5

-- The options of the context that a connection may have its own of.
local INHERITED = {
  "max_message_bytes", "max_fragments", "max_header_bytes", "max_header_lines", "ping_interval", "ping_timeout",
  "close_timeout", "idle_timeout", "high_water_bytes", "max_buffered_bytes", "slow_consumer", "compression",
  "max_topics",
}

local function is_protocols(value)
  if type(value) ~= "table" then return false end
  local seen = {}
  for i, name in pairs(value) do
    local fault = type(i) ~= "number" and "the entries of a list have no names" or handshake.name_fault(name)
      or seen[name] and "each name may be there once"
    if fault then return false, errors.entry(value, i) .. ": " .. fault end
    seen[name] = true
  end
  return next(value) == nil or #value > 0
end

-- RFC 6454 7.1: "null" is an origin that tells nothing.
local function is_origin(value)
  if type(value) == "string" and (value == "null" or origin.normal(value)) then return true end
  local fault = origin.path_fault(value)
  return false, fault and errors.describe(value) .. fault
end

local function normal_origin(value) return origin.normal(value) or value end

local function is_host(value)
  return type(value) == "string" and url.authority(value, 1) ~= nil
end

local function is_proxy(value)
  if value == false then return true end
  if type(value) ~= "string" then return false end
  local made, expected = proxy.parse(value)
  if made then return true end
  local shown = errors.describe(url.without_password(value))
  return false, expected == proxy.EXPECTED and shown or ("%s, which is not %s"):format(shown, expected)
end

local function read_proxy(value) return value and proxy.parse(value) end

--- The options, by name: `check(value)`, `expected`.
client_options.KNOWN = {
  protocols = define(nil, is_protocols, "list of subprotocol names"),
  headers = define(nil, fields.may_request, "table of header name -> value or list of values"),
  origin = define(nil, is_origin, "origin like https://example.com", normal_origin),
  host = define(nil, is_host, "host name or IP address, with or without a port"),
  proxy = define(nil, is_proxy, proxy.EXPECTED .. ", or false", read_proxy),
  tls = define(nil, function(value) return type(value) == "table" end, "table"),
  timeout = options.KNOWN.handshake_timeout,
  max_redirects = define(MAX_REDIRECTS, function(value) return definition.is_integer(value, 0, math.huge) end,
    "number of redirects, 0 for none"),
  reconnect = define(nil, reconnect.check, reconnect.EXPECTED),
}

for _, name in ipairs(INHERITED) do client_options.KNOWN[name] = options.KNOWN[name] end

--- Checks the options; those that are not given are inherited from the context.
-- @tparam table context
-- @tparam ?table given option name -> value
-- @tparam integer level of the caller, as for `error`
-- @treturn table option name -> value
-- @raise for an unknown name or a wrong value
function client_options.read(context, given, level)
  local settings = context.settings
  local made = setmetatable({
    max_message_bytes = MAX_MESSAGE_BYTES, timeout = settings.handshake_timeout,
    max_header_bytes = MAX_HEADER_BYTES, max_header_lines = MAX_HEADER_LINES, max_redirects = MAX_REDIRECTS,
    -- The limit of the context is for requests; a status line is limited with its head.
    max_request_line_bytes = math.huge,
  }, { __index = settings })
  -- In the settings of the context, these are options of the server.
  made.protocols, made.headers, made.origin = false, false, false
  made.tls, made.host, made.reconnect = false, false, false
  for name, value in pairs(given or {}) do
    made[name] = definition.check(client_options.KNOWN, name, value, level + 1)
  end
  if made.tls then made.tls = tls.client(made.tls, level + 1) end
  if given then options.settle_buffers(made, given, level + 1) end
  made.reconnect = reconnect.settle(made.reconnect, made.max_buffered_bytes, level + 1)
  if made.compression ~= settings.compression or made.slow_consumer ~= settings.slow_consumer then
    made.compression = compression.settle(made.compression, made, engine.that_compresses(context.engine), level + 1)
  end
  return made
end

local function has_authorization(headers)
  for name in pairs(headers or {}) do
    if name:lower() == "authorization" then return true end
  end
  return false
end

--- Checks the arguments of `context:connect`.
-- @tparam table context
-- @param text the URL, as the caller gave it
-- @param given the options, as the caller gave them
-- @tparam integer level of the caller, as for `error`
-- @treturn table place of `websockets.protocol.url`
-- @treturn table option name -> value
-- @raise for a wrong URL, an unknown option or a wrong value
function client_options.arguments(context, text, given, level)
  if type(text) ~= "string" then errors.argument(1, "connect", "ws:// URL", text, level + 1) end
  local place, expected = url.parse(text)
  if not place then errors.argument(1, "connect", expected, url.without_password(text), level + 1) end
  if given ~= nil and type(given) ~= "table" then errors.argument(2, "connect", "table", given, level + 1) end
  local settings = client_options.read(context, given, level + 1)
  if place.user and has_authorization(settings.headers) then
    error("user information in the URL and a header 'Authorization': give one of them", level)
  end
  if place.unix and settings.proxy then error("option 'proxy' is of no use for a unix socket", level) end
  if settings.host then url.rename(place, settings.host) end
  return place, settings
end

require("websockets.loading").interpret(is_protocols, client_options.read, has_authorization)

return client_options
