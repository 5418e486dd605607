--- LuaSec contexts: what certificates, authorities and versions of TLS a side of connections uses.
-- @module websockets.transport.tls_context
local certificate = require("websockets.transport.certificate")
local optional = require("websockets.loading").optional

local tls_context = {}

local lower = string.lower

-- RFC 8996: nothing older than TLS 1.2. Compressed data gives secrets away, and renegotiation lets a peer have us work.
local SAFE_OPTIONS = { "no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv1_1", "no_compression", "no_renegotiation" }

-- Files that LuaSec reads; its own words do not say which it was, or why.
local FILES = { { "certificate", "certificate" }, { "key", "key" }, { "cafile", "CA" } }

local FAULTS = {
  { "^error loading certificate", "cannot use the certificate file '%s': %s", "certificate" },
  { "^error loading private key", "cannot use the key file '%s': %s", "key" },
  { "^error loading CA locations", "cannot use the CA file '%s': %s", "cafile" },
}

-- Of these fields its words do not say which one it refuses either.
local SUSPECTS = {
  "protocol", "ciphers", "ciphersuites", "verify", "options", "depth", "dhparam", "curve", "curveslist", "verifyext",
  "alpn",
}

-- LuaSec; what was wrong with it: Lua 5.1 and LuaJIT tell that only once.
local library, fault

--- Gives LuaSec; it is loaded where TLS is used, and nowhere else.
-- @treturn[1] table
-- @treturn[2] nil
-- @treturn[2] string one sentence: it is not installed, or cannot be loaded
-- @treturn[2] string `tls`
-- @raise for want of memory
function tls_context.library()
  if library then return library end
  if fault then return nil, fault, "tls" end
  local found, why = optional("ssl")
  if found then
    library = found
    return library
  end
  if why:find("module 'ssl' not found", 1, true) then
    return nil, "TLS needs LuaSec, which is not installed (luarocks install luasec)", "tls"
  end
  fault = "TLS needs LuaSec, which cannot be loaded: " .. why:match("^[^\n]*")
  return nil, fault, "tls"
end

-- The text of a file; nil and why it cannot be read.
local function read(path)
  local file, why = io.open(path, "rb")
  local text
  if file then
    text, why = file:read("*a")
    file:close()
  end
  if text then return text end
  -- Lua names the path itself, but not for a folder.
  why = tostring(why):gsub("^" .. path:gsub("%p", "%%%0") .. ": ", "")
  return nil, why
end

local function unreadable(config)
  for _, one in ipairs(FILES) do
    local path = config[one[1]]
    local text, why
    if path then text, why = read(path) end
    if path and not text then return ("cannot read the %s file '%s': %s"):format(one[2], path, why) end
  end
  for path in (config.capath or ""):gmatch("[^:]+") do
    local folder, why = io.open(path, "rb")
    if not folder then return "cannot read the CA folder: " .. why end
    folder:close()
  end
end

-- A LuaSec context; nil and what is wrong.
local function try(ssl, config)
  local called, context, why = pcall(ssl.newcontext, config)
  if not called then context, why = nil, tostring(context) end
  return context or nil, tostring(why)
end

-- What OpenSSL says at its end may be left from something else that has failed.
local function own_words(why) return (why:gsub(" %b()$", "")) end

-- The fields that LuaSec refuses for a reason also where each is alone; without the key, whose password may be asked
-- for at each try.
local function culprits(ssl, config, given, reason)
  local function refuses(name)
    local alone = { mode = config.mode, protocol = "any" }
    if name then alone[name] = config[name] end
    local context, why = try(ssl, alone)
    return not context and own_words(why) == own_words(reason)
  end
  local names = {}
  if refuses(nil) then return names end
  for _, name in ipairs(SUSPECTS) do
    if given[name] ~= nil and refuses(name) then names[#names + 1] = ("'%s'"):format(name) end
  end
  return names
end

local function explain(ssl, config, given, why)
  if why == "private key does not match public key" then
    return ("the key file '%s' does not belong to the first certificate in '%s'"):format(config.key, config.certificate)
  end
  for _, one in ipairs(FAULTS) do
    if why:find(one[1]) then
      local path = config[one[3]]
      local detail = why:match("%((.*)%)$") or why
      if one[3] == "key" and (read(path) or ""):find("ENCRYPTED", 1, true) then
        detail = config.password == "" and "it is encrypted, and there is no 'password'" or "the password is wrong"
      end
      return one[2]:format(path, detail)
    end
  end
  local names = culprits(ssl, config, given, why)
  local cause = names[1] and ", because of " .. table.concat(names, " and ") or ""
  return ("LuaSec made no context%s: %s"):format(cause, why)
end

local function options_of(ssl, settings, is_verifying)
  local known, made, seen = ssl.config and ssl.config.options or {}, {}, {}
  local function add(name)
    if not seen[name] then made[#made + 1] = name end
    seen[name] = true
  end
  -- An OpenSSL that does not know one has no such thing to switch off.
  for _, name in ipairs(SAFE_OPTIONS) do
    if known[name] ~= nil then add(name) end
  end
  -- A session that is resumed would need a name that LuaSec cannot give it, and OpenSSL ends the connection.
  if is_verifying then add("no_ticket") end
  local given = settings.options
  for _, name in ipairs(type(given) == "table" and given or { given }) do add(name) end
  return made
end

--- Tells whether the option `verify` asks for the peer's certificate.
-- @tparam ?string|{string,...} verify
-- @treturn boolean
function tls_context.verifies(verify)
  for _, one in ipairs(type(verify) == "table" and verify or { verify }) do
    if one == "peer" then return true end
  end
  return false
end

-- Makes one LuaSec context; nil, message, code where that cannot be done.
local function make(ssl, settings, mode, own)
  local config = {}
  for name, value in pairs(settings) do config[name] = value end
  config.certificates = nil
  for _, name in ipairs({ "certificate", "key", "password" }) do config[name] = own[name] end
  config.mode, config.protocol = mode, settings.protocol or "any"
  config.options = options_of(ssl, settings, mode == "server" and tls_context.verifies(settings.verify))
  -- Without one, OpenSSL asks at the terminal, and waits.
  config.password = config.password or ""
  local trouble = unreadable(config)
  if trouble then return nil, trouble, "tls" end
  local context, why = try(ssl, config)
  if context then return context end
  return nil, explain(ssl, config, settings, why), "tls"
end

-- The names that a server's certificate is for.
local function names_of(ssl, own)
  if own.names then return own.names end
  local loaded, x509 = pcall(ssl.loadcertificate, (read(own.certificate)))
  local names = loaded and x509 and certificate.names(x509).dns or {}
  if names[1] then return names end
  return nil, ("the certificate file '%s' has no DNS names: give 'names' beside it"):format(own.certificate), "tls"
end

local function find_name(by_name, name)
  name = lower(name)
  local wildcard = certificate.wildcard(name)
  return rawget(by_name, name) or wildcard and rawget(by_name, wildcard)
end

local function add_names(by_name, names, context)
  for _, one in ipairs(names) do
    local name = lower(one)
    -- The first certificate of a name is the one that counts.
    if not rawget(by_name, name) then by_name[name] = context end
  end
end

--- Makes what a server needs.
-- @tparam table settings by LuaSec's names, checked: `certificate`, `key`, `password`, `cafile`, `capath`, `verify`,
-- `options` (added to the safe ones), `ciphers`, … `certificates`: a list of { `certificate`, `key`, `password`,
-- `names` } of which the client's server name chooses. The certificate outside of the list, else its first one, is for
-- clients that name no server, or an unknown one
-- @treturn[1] userdata LuaSec context
-- @treturn[1] ?table where there are several certificates: host name -> context, for `luasec.new`
-- @treturn[2] nil
-- @treturn[2] string message: which file it is and what is wrong
-- @treturn[2] string `tls`
function tls_context.server(settings)
  local ssl, missing, code = tls_context.library()
  if not ssl then return nil, missing, code end
  local list = {}
  if settings.certificate then list[1] = settings end
  for _, own in ipairs(settings.certificates or {}) do list[#list + 1] = own end
  -- LuaSec looks a client's name up in this table.
  local by_name = setmetatable({}, { __index = find_name })
  local first
  for i, own in ipairs(list) do
    local context, why, word = make(ssl, settings, "server", own)
    if not context then return nil, why, word end
    first = first or context
    local names
    if #list > 1 then
      names, why, word = names_of(ssl, own)
      -- The one for unknown names needs no name.
      if not names and i > 1 then return nil, why, word end
      add_names(by_name, names or {}, context)
    end
  end
  if not first then return nil, "TLS needs a certificate", "tls" end
  return first, #list > 1 and by_name or nil
end

--- Makes what a client needs.
-- @tparam table settings by LuaSec's names, checked
-- @treturn[1] userdata LuaSec context
-- @treturn[2] nil
-- @treturn[2] string message: which file it is and what is wrong
-- @treturn[2] string `tls`
function tls_context.client(settings)
  local ssl, missing, code = tls_context.library()
  if not ssl then return nil, missing, code end
  return make(ssl, settings, "client", settings)
end

require("websockets.loading").interpret(make)

return tls_context
