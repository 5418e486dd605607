--- The option `tls`, and the options of 2012 for the same: names and checks.
-- @module websockets.options.tls
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")
local tls_context = require("websockets.transport.tls_context")

local tls_options = {}

local define, is_integer = definition.new, definition.is_integer

local function is_text(value) return type(value) == "string" and value ~= "" end
local function is_password(value) return type(value) == "string" or type(value) == "function" end

-- Not the value: it may be a password.
local function is_list(value)
  if type(value) ~= "table" then return false end
  for i in pairs(value) do
    if type(i) ~= "number" then return false, errors.describe(i) .. ": the entries of a list have no names" end
  end
  return #value > 0, "an empty table"
end

local function is_words(value)
  if is_text(value) then return true end
  local is_good, culprit = is_list(value)
  if not is_good then return false, culprit end
  for i, word in pairs(value) do
    if not is_text(word) then return false, errors.entry(value, i) end
  end
  return true
end

local PATH = define(nil, is_text, "path of a file")
local TEXT = define(nil, is_text, "string")
local WORDS = define(nil, is_words, "string or list of strings")
local PASSWORD = define(nil, is_password, "string or function")

local PROTOCOLS = { any = true, tlsv1_2 = true, tlsv1_3 = true }

-- What servers and clients have, by LuaSec's names. The library decides about versions older than TLS 1.2.
local COMMON = {
  certificate = PATH, key = PATH, password = PASSWORD, cafile = PATH,
  capath = define(nil, is_text, "path of a folder"),
  verify = WORDS, verifyext = WORDS, options = WORDS,
  depth = define(nil, function(value) return is_integer(value, 0, 100) end, "integer 0 to 100"),
  ciphers = TEXT, ciphersuites = TEXT, curve = TEXT, curveslist = TEXT,
  protocol = define("any", function(value) return PROTOCOLS[value] or false end, '"any", "tlsv1_2" or "tlsv1_3"'),
}

local function with(more)
  local made = definition.copy(COMMON)
  for name, one in pairs(more) do made[name] = one end
  return made
end

local function is_mode(mode)
  return define(nil, function(value) return value == mode end, ('"%s"'):format(mode))
end

local function is_alpn(value)
  if type(value) == "function" then return true end
  if type(value) ~= "table" then return false end
  return is_words(value)
end

--- The fields of `tls` of a server, by name: `check(value)`, `expected`.
tls_options.SERVER = with({
  mode = is_mode("server"),
  alpn = define(nil, is_alpn, "list of strings, or function"),
  dhparam = define(nil, function(value) return type(value) == "function" end, "function"),
  certificates = define(nil, is_list, "list of tables"),
})

-- Those of each of its `certificates`.
local OF_CERTIFICATES = { certificate = PATH, key = PATH, password = PASSWORD, names = WORDS }

-- A client verifies the server, or it does not: nothing lies between.
local function is_verify(value)
  if type(value) == "table" and #value == 1 then value = value[1] end
  return value == "peer" or value == "none"
end

--- The fields of `tls` of a client.
tls_options.CLIENT = with({
  mode = is_mode("client"), alpn = WORDS, verify = define("peer", is_verify, '"peer" or "none"'),
})

-- The names of 2012, and the fields that they stand for.
local SEED = { { "ssl_cert_filepath", "certificate" }, { "ssl_private_key_filepath", "key" },
  { "ssl_ca_filepath", "cafile" } }

local REQUIRE_CLIENT_CERTIFICATE = 2
local REQUIRED = { "peer", "fail_if_no_peer_cert" }

local function check_fields(definitions, given, label, level)
  local made = {}
  for name, value in pairs(given) do
    made[name] = definition.check(definitions, name, value, level + 1, label .. "." .. tostring(name))
  end
  return made
end

local function check_pair(own, label, level)
  if (own.certificate == nil) == (own.key == nil) then return end
  local lacks, has = own.key and "certificate" or "key", own.key and "key" or "certificate"
  error(("option '%s' needs a %s beside its %s"):format(label, lacks, has), level)
end

local function check_certificates(list, level)
  local made = {}
  for i, own in ipairs(list) do
    local label = ("tls.certificates[%d]"):format(i)
    if type(own) ~= "table" then errors.option(label, "table", own, level + 1) end
    made[i] = check_fields(OF_CERTIFICATES, own, label, level + 1)
    check_pair(made[i], label, level + 1)
    if not made[i].certificate then error(("option '%s' needs a certificate"):format(label), level) end
    if type(made[i].names) == "string" then made[i].names = { made[i].names } end
  end
  return made
end

-- The options of 2012 say the same as fields of `tls`.
local function add_seed(made, settings, level)
  for _, one in ipairs(SEED) do
    local value, field = settings[one[1]], one[2]
    if value then
      if made[field] and made[field] ~= value then
        error(("options '%s' and 'tls.%s' are the same thing"):format(one[1], field), level)
      end
      made[field] = value
    end
  end
end

local function check_clients(made, is_required, level)
  if is_required then made.verify = REQUIRED end
  if tls_context.verifies(made.verify) and not (made.cafile or made.capath) then
    error(("option %s (client certificates) needs a CA: give 'ssl_ca_filepath' or 'tls.cafile'")
      :format(is_required and "'options' 2" or "'tls.verify'"), level)
  end
end

--- Checks what a context is told of TLS.
-- @tparam table settings of the context: `tls`, `ssl_cert_filepath`, `ssl_private_key_filepath`, `ssl_ca_filepath`,
-- `options`
-- @tparam integer level of the caller, as for `error`
-- @treturn table|boolean what `websockets.transport.tls_context` takes; false: no TLS
-- @raise for an unknown field, a wrong value, or a part that lacks another
function tls_options.server(settings, level)
  local given = settings.tls or nil
  local made = check_fields(tls_options.SERVER, given or {}, "tls", level + 1)
  add_seed(made, settings, level + 1)
  local is_required = settings.options % (2 * REQUIRE_CLIENT_CERTIFICATE) >= REQUIRE_CLIENT_CERTIFICATE
  if not given and next(made) == nil and not is_required then return false end
  check_pair(made, "tls", level + 1)
  if made.certificates then made.certificates = check_certificates(made.certificates, level + 1) end
  if not (made.certificate or made.certificates) then
    error("TLS needs a certificate: give 'tls', or 'ssl_cert_filepath' and 'ssl_private_key_filepath'", level)
  end
  check_clients(made, is_required, level + 1)
  made.alpn = made.alpn or { "http/1.1" }
  return made
end

--- Checks the option `tls` of a connection to a server.
-- @tparam table given
-- @tparam integer level of the caller, as for `error`
-- @treturn table what `websockets.transport.tls_context` takes
-- @raise for an unknown field, a wrong value, or a part that lacks another
function tls_options.client(given, level)
  local made = check_fields(tls_options.CLIENT, given, "tls", level + 1)
  check_pair(made, "tls", level + 1)
  return made
end

require("websockets.loading").interpret(is_list, is_words, with, check_fields, tls_options.server)

return tls_options
