--- The negotiation of permessage-deflate: offers, answers, and what was agreed for each direction.
-- @module websockets.protocol.compression
-- @rfc 7692 7
local extension = require("websockets.protocol.extension")

local compression = {}

local min, max = math.min, math.max

local NAME = "permessage-deflate"

-- zlib's deflate cannot use a window of 2^8 bytes; its inflate with the next size reads what such a window made.
local MIN_BITS, MAX_BITS = 9, 15

--- The smallest window that this library uses, in bits.
compression.MIN_BITS = MIN_BITS

--- The largest window, in bits.
compression.MAX_BITS = MAX_BITS

local function read_bits(value)
  return value and (value:find("^[89]$") or value:find("^1[0-5]$")) and tonumber(value)
end

-- RFC 7692 7.1: an unknown name, a repeated name or a wrong value makes an offer or answer invalid.
local function read_parameters(list, is_offer)
  local read = {}
  for _, one in ipairs(list) do
    local name, value = one.name, one.value
    if read[name] ~= nil then return nil end
    if name == "server_no_context_takeover" or name == "client_no_context_takeover" then
      if value then return nil end
      read[name] = true
    elseif name == "server_max_window_bits" or name == "client_max_window_bits" then
      read[name] = read_bits(value) or (is_offer and not value and name == "client_max_window_bits" and MAX_BITS)
      if not read[name] then return nil end
    else
      return nil
    end
  end
  return read
end

-- The same settings for sending are the same table, so that connections can share a compressor without a context.
local function deflate_as(settings, role, ours)
  if ours.bits < MIN_BITS then return false end
  local agreed, no_takeover = settings.agreed, ours.no_takeover or not settings.keeps_context
  local key = ("%s %d %s"):format(role, ours.bits, tostring(no_takeover))
  agreed[key] = agreed[key] or {
    window_bits = ours.bits, level = settings.level, threshold = settings.threshold, no_context_takeover = no_takeover,
  }
  return agreed[key]
end

-- The same agreement is the same table, too.
local function agree(settings, role, key, server, client)
  local agreed, ours, theirs = settings.agreed, client, server
  if role == "server" then ours, theirs = server, client end
  agreed[key] = agreed[key] or {
    deflate = deflate_as(settings, role, ours),
    inflate = { window_bits = max(theirs.bits, MIN_BITS), no_context_takeover = theirs.no_takeover },
  }
  return agreed[key]
end

local function write(is_offer, server, client)
  local text = NAME
  if server.no_takeover then text = text .. "; server_no_context_takeover" end
  if client.no_takeover then text = text .. "; client_no_context_takeover" end
  if server.is_named then text = text .. "; server_max_window_bits=" .. server.bits end
  if not client.is_named then return text end
  text = text .. "; client_max_window_bits"
  -- RFC 7692 7.1.2.2: in an offer, the name alone says that the client supports the parameter.
  return is_offer and client.bits == MAX_BITS and text or text .. "=" .. client.bits
end

-- RFC 7692 7.1.1, 7.1.2: the answer to one offer; nil if the offer cannot be met.
local function answer_to(settings, offer, keeps_context)
  local server = {
    bits = min(settings.server_max_window_bits, offer.server_max_window_bits or MAX_BITS),
    no_takeover = settings.server_no_context_takeover or offer.server_no_context_takeover
      or not (settings.keeps_context and keeps_context),
  }
  if server.bits < MIN_BITS then return nil end
  server.is_named = offer.server_max_window_bits ~= nil or server.bits < MAX_BITS
  local hint, limit = offer.client_max_window_bits, settings.client_max_window_bits
  if limit < MAX_BITS and not hint then return nil end
  local client = {
    bits = min(limit, hint or MAX_BITS),
    no_takeover = settings.client_no_context_takeover or offer.client_no_context_takeover or false,
  }
  client.is_named = client.bits < MAX_BITS
  local text = write(false, server, client)
  return agree(settings, "server", text, server, client), text
end

--- Answers the first offer of a client that can be met.
-- @rfc 7692 5
-- @tparam table|boolean settings of `websockets.options.compression`; false: the server does not compress
-- @tparam ?string value of Sec-WebSocket-Extensions
-- @tparam boolean keeps_context false if messages of this connection may be dropped: then the server keeps no context
-- @treturn[1] table|boolean settings of the wire: `deflate`, `inflate`; false: no compression
-- @treturn[1] ?string value of Sec-WebSocket-Extensions in the answer
-- @treturn[2] nil the value is malformed
function compression.answer(settings, value, keeps_context)
  if not value then return false end
  local offers = extension.parse(value)
  if not offers then return nil end
  if not settings then return false end
  for _, one in ipairs(offers) do
    local offer = one.name == NAME and read_parameters(one.parameters, true)
    if offer then
      local agreed, text = answer_to(settings, offer, keeps_context)
      if agreed then return agreed, text end
    end
  end
  return false
end

--- Writes the offers of a client.
-- @rfc 7692 7.1
-- @tparam table settings of `websockets.options.compression`
-- @treturn string value of Sec-WebSocket-Extensions
function compression.offer(settings)
  local server = {
    bits = settings.server_max_window_bits, is_named = settings.server_max_window_bits < MAX_BITS,
    no_takeover = settings.server_no_context_takeover,
  }
  local client = { bits = settings.client_max_window_bits, is_named = true, no_takeover = true }
  local fallback = write(true, server, client)
  if settings.client_no_context_takeover or not settings.keeps_context then return fallback end
  client.no_takeover = false
  -- Some servers ask a client to keep no context only if the client has offered it.
  return write(true, server, client) .. ", " .. fallback
end

-- RFC 7692 7.1.1, 7.1.2: whether an answer fits our offer.
local function meets(settings, answer)
  local bits = settings.server_max_window_bits
  if bits < MAX_BITS and (answer.server_max_window_bits or MAX_BITS) > bits then return false end
  if settings.server_no_context_takeover and not answer.server_no_context_takeover then return false end
  return (answer.client_max_window_bits or 0) <= settings.client_max_window_bits
end

--- Checks the answer of a server.
-- @rfc 7692 7.1
-- @tparam table|boolean settings of `websockets.options.compression`; false: nothing was offered
-- @tparam ?string value of Sec-WebSocket-Extensions
-- @treturn[1] table|boolean settings of the wire: `deflate` (false: send uncompressed only), `inflate`; false:
-- no compression
-- @treturn[2] nil
-- @treturn[2] string message
function compression.accept(settings, value)
  if not value then return false end
  local list = extension.parse(value)
  if not list then return nil, "the extension field of the answer cannot be read" end
  if not list[1] then return false end
  if not settings or list[2] or list[1].name ~= NAME then
    return nil, "the server chose an extension that was not offered"
  end
  local answer = read_parameters(list[1].parameters, false)
  if not answer or not meets(settings, answer) then
    return nil, "the server chose parameters of the extension permessage-deflate that were not offered"
  end
  local server = {
    bits = answer.server_max_window_bits or MAX_BITS, no_takeover = answer.server_no_context_takeover or false,
  }
  local client = {
    bits = min(settings.client_max_window_bits, answer.client_max_window_bits or MAX_BITS),
    no_takeover = settings.client_no_context_takeover or answer.client_no_context_takeover or false,
  }
  local key = ("client %d %s %d %s"):format(server.bits, tostring(server.no_takeover), client.bits,
    tostring(client.no_takeover))
  return agree(settings, "client", key, server, client)
end

return compression
