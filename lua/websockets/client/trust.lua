--- The LuaSec contexts of clients: one for all connections with the same option `tls`, for a store of certificate
-- authorities takes 20 ms to read and half a MiB to keep.
-- @module websockets.client.trust
local authorities = require("websockets.transport.authorities")
local tls_context = require("websockets.transport.tls_context")

local trust = {}

-- After this time files are read again: certificates are renewed while a program runs.
local KEPT_SECONDS = 600
local MOST_KEPT = 16

local function text_of(value)
  if type(value) ~= "table" then return type(value) .. tostring(value) end
  local parts = {}
  for key, entry in pairs(value) do parts[#parts + 1] = ("%s=%s"):format(tostring(key), text_of(entry)) end
  table.sort(parts)
  return "{" .. table.concat(parts, "\1") .. "}"
end

--- Tells whether the option `tls` turns verification off.
-- @tparam table given
-- @treturn boolean
function trust.is_off(given)
  local verify = given.verify
  return verify == "none" or type(verify) == "table" and #verify == 1 and verify[1] == "none"
end

-- An option of LuaSec's is one name, or a list of names.
local function with(given, name)
  local list = { name }
  for _, one in ipairs(type(given) == "table" and given or { given }) do list[#list + 1] = one end
  return list
end

local function settings_of(given)
  local settings = {}
  for name, value in pairs(given) do settings[name] = value end
  -- What browsers offer for a WebSocket: without it a server might speak HTTP/2. False is for servers of another kind.
  if settings.alpn == nil then settings.alpn = { "http/1.1" } end
  if trust.is_off(given) then return settings end
  if not settings.cafile and not settings.capath then
    local found, why = authorities.find()
    if not found then return nil, why end
    settings.cafile, settings.capath = found.cafile, found.capath
  end
  settings.verify = { "peer" }
  -- The handshake goes on with a certificate that is refused, so that the reason can be had; nothing is sent to that
  -- server. A certificate of ours would be: with one, OpenSSL ends the handshake.
  if not settings.certificate then settings.verifyext = with(settings.verifyext, "lsec_continue") end
  return settings
end

-- A program needs few contexts. So many come from options that differ each time, as by a new function for the password:
-- none of them is asked for again.
local function make_room(kept)
  local count = 0
  for _ in pairs(kept) do count = count + 1 end
  if count < MOST_KEPT then return end
  for key in pairs(kept) do kept[key] = nil end
end

--- Gives the LuaSec context for the option `tls` of a client.
-- @tparam table context its clients share what is made
-- @tparam table given option `tls`, checked; empty for none
-- @treturn[1] userdata LuaSec context
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `tls`
function trust.context(context, given)
  local kept, key = context.tls_clients or {}, text_of(given)
  context.tls_clients = kept
  local entry = kept[key]
  if entry and context.now - entry.made_at < KEPT_SECONDS then return entry.made end
  local settings, why = settings_of(given)
  if not settings then return nil, why, "tls" end
  local made, message, code = tls_context.client(settings)
  if not made then return nil, message, code end
  make_room(kept)
  -- With what it was made from: the address of a function in the key is not another's as long as this is kept.
  kept[key] = { made = made, made_at = context.now, given = given }
  return made
end

require("websockets.loading").interpret(text_of, settings_of, make_room)

return trust
