--- The option `backplane` of a context: its checks and defaults.
-- @module websockets.options.backplane
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")
local place = require("websockets.pubsub.redis.place")
local reconnect = require("websockets.options.reconnect")
local tls = require("websockets.options.tls")
local url = require("websockets.protocol.url")

local backplane = {}

local define = definition.new

local DEFAULT_PREFIX, MAX_PREFIX_BYTES = "ws:", 64
local TIMEOUT_SECONDS, PRESENCE_SECONDS = 10, 30
local RECONNECT = { min = 0.2, max = 10, jitter = 0.5 }

local function is_text(value) return type(value) == "string" and value ~= "" end
local function is_function(value) return type(value) == "function" end
local function is_boolean(value) return type(value) == "boolean" end

-- A cluster goes by what is in the first braces of a name.
local function is_prefix(value)
  if type(value) ~= "string" or #value > MAX_PREFIX_BYTES then return false end
  return not value:find("{", 1, true) or value:find("^[^{]*{[^}]+}") ~= nil
end

local function is_url(value)
  if type(value) ~= "string" then return false end
  local made, expected = place.parse(value)
  if made then return true end
  local shown = errors.describe(url.without_password(value))
  return false, expected == place.EXPECTED and shown or ("%s, which is not %s"):format(shown, expected)
end

local COMMON = {
  prefix = define(DEFAULT_PREFIX, is_prefix,
    ("string of at most %d bytes, with braces only as in \"{a}\""):format(MAX_PREFIX_BYTES)),
  broadcast = define(false, is_boolean, "boolean"),
  presence_timeout = define(PRESENCE_SECONDS, definition.is_seconds, "number of seconds above 0"),
}

local function with(more)
  for name, one in pairs(COMMON) do more[name] = one end
  return more
end

-- Of Redis or Valkey.
local SERVER = with({
  url = define(nil, is_url, place.EXPECTED),
  user = define(nil, is_text, "string"), password = define(nil, is_text, "string"),
  tls = define(nil, function(value) return type(value) == "table" end, "table"),
  sharded = define(true, is_boolean, "boolean"),
  timeout = define(TIMEOUT_SECONDS, definition.is_seconds, "number of seconds above 0"),
  reconnect = define(nil, reconnect.check, reconnect.EXPECTED),
})

--- The four functions of a back plane of one's own; subscribing has two.
backplane.FUNCTIONS = { "open", "publish", "subscribe", "unsubscribe", "close" }

local OWN = with({})
for _, name in ipairs(backplane.FUNCTIONS) do OWN[name] = define(nil, is_function, "function") end

--- What the option may be, in words.
backplane.EXPECTED = "table with a url, or with the functions " .. table.concat(backplane.FUNCTIONS, ", ")

local function read(definitions, given, level)
  local made = definition.defaults(definitions)
  for name, value in pairs(given) do
    made[name] = definition.check(definitions, name, value, level + 1, "backplane." .. tostring(name))
  end
  return made
end

local function settle_own(given, level)
  -- An object may have fields and a metatable of its own.
  local chosen = {}
  for name in pairs(OWN) do chosen[name] = given[name] end
  for _, name in ipairs(backplane.FUNCTIONS) do
    if given[name] == nil then errors.option("backplane", backplane.EXPECTED, nil, level + 1, "none " .. name) end
  end
  local made = read(OWN, chosen, level + 1)
  made.own = given
  return made
end

--- Fills in the defaults.
-- @tparam table|boolean given the option
-- @tparam integer level of the caller, as for `error`
-- @treturn table|boolean `prefix`, `broadcast`, `presence_timeout`; `own`: the object of the caller; or `server`,
-- `user`, `password`, `tls`, `sharded`, `timeout`, `min`, `max`, `jitter`; false for none
-- @raise for an unknown name, a wrong value, or neither a URL nor the functions
function backplane.settle(given, level)
  if not given then return false end
  if given.url == nil and given.open ~= nil then
    -- No tail call, which would hide a level.
    local made = settle_own(given, level + 1)
    return made
  end
  if given.url == nil then errors.option("backplane", backplane.EXPECTED, nil, level + 1, "neither") end
  local made = read(SERVER, given, level + 1)
  made.server = place.parse(made.url)
  if made.tls and not made.server.is_secure then error("option 'backplane.tls' needs a URL with rediss://", level) end
  if made.tls then made.tls = tls.client(made.tls, level + 1) end
  -- Redis speaks no application protocol that could be agreed on.
  if made.tls and made.tls.alpn == nil then made.tls.alpn = false end
  local again = reconnect.settle(made.reconnect or RECONNECT, math.huge, level + 1)
  made.min, made.max, made.jitter = again.min, again.max, again.jitter
  return made
end

require("websockets.loading").interpret(with, read, settle_own)

return backplane
