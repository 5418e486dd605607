--- What two sides agree on about permessage-deflate: offers, answers, and what follows from them for each direction.
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

-- 7.1: unknown names, names given twice and values out of place make an offer or answer invalid.
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

-- The same way of compressing is the same table, whatever the peer's is: connections share what has no state of theirs.
local function deflate_as(settings, role, ours)
  if ours.bits < MIN_BITS then return false end
  local forgets = ours.forgets or not settings.keeps
  local key = ("%s %d %s"):format(role, ours.bits, tostring(forgets))
  local known = settings.agreed[key]
  if known then return known end
  known = {
    window_bits = ours.bits, level = settings.level, threshold = settings.threshold, no_context_takeover = forgets,
  }
  settings.agreed[key] = known
  return known
end

-- The same agreement is the same table.
local function agree(settings, role, key, server, client)
  local known = settings.agreed[key]
  if known then return known end
  local ours, theirs = client, server
  if role == "server" then ours, theirs = server, client end
  known = {
    deflate = deflate_as(settings, role, ours),
    inflate = { window_bits = max(theirs.bits, MIN_BITS), no_context_takeover = theirs.forgets },
  }
  settings.agreed[key] = known
  return known
end

local function write(is_offer, server, client)
  local text = NAME
  if server.forgets then text = text .. "; server_no_context_takeover" end
  if client.forgets then text = text .. "; client_no_context_takeover" end
  if server.says then text = text .. "; server_max_window_bits=" .. server.bits end
  if not client.says then return text end
  text = text .. "; client_max_window_bits"
  -- In an offer the name alone says that the client knows it.
  return is_offer and client.bits == MAX_BITS and text or text .. "=" .. client.bits
end

-- 7.1.1, 7.1.2: what we answer to one offer; nil where it cannot be met.
local function answer_to(settings, offer, keeps)
  local server = {
    bits = min(settings.server_max_window_bits, offer.server_max_window_bits or MAX_BITS),
    forgets = settings.server_no_context_takeover or offer.server_no_context_takeover
      or not (settings.keeps and keeps),
  }
  if server.bits < MIN_BITS then return nil end
  server.says = offer.server_max_window_bits ~= nil or server.bits < MAX_BITS
  local hint, limit = offer.client_max_window_bits, settings.client_max_window_bits
  if limit < MAX_BITS and not hint then return nil end
  local client = {
    bits = min(limit, hint or MAX_BITS),
    forgets = settings.client_no_context_takeover or offer.client_no_context_takeover or false,
  }
  client.says = client.bits < MAX_BITS
  local text = write(false, server, client)
  return agree(settings, "server", text, server, client), text
end

--- Answers a client's offers: the first that can be met.
-- @rfc 7692 5
-- @tparam table|boolean settings of `websockets.options.compression`; false: none can be met
-- @tparam ?string value of Sec-WebSocket-Extensions
-- @tparam boolean keeps false where messages of this connection may be dropped, whatever the context's settings are
-- @treturn[1] table|boolean what the wire is to do: `deflate`, `inflate`; false: no compression
-- @treturn[1] ?string the answer's Sec-WebSocket-Extensions
-- @treturn[2] nil the value is not what RFC 6455 9.1 allows
function compression.answer(settings, value, keeps)
  if not value then return false end
  local offers = extension.parse(value)
  if not offers then return nil end
  if not settings then return false end
  for _, one in ipairs(offers) do
    local offer = one.name == NAME and read_parameters(one.parameters, true)
    if offer then
      local agreed, text = answer_to(settings, offer, keeps)
      if agreed then return agreed, text end
    end
  end
  return false
end

--- Writes a client's offers.
-- @rfc 7692 7.1
-- @tparam table settings of `websockets.options.compression`
-- @treturn string for Sec-WebSocket-Extensions
function compression.offer(settings)
  local server = {
    bits = settings.server_max_window_bits, says = settings.server_max_window_bits < MAX_BITS,
    forgets = settings.server_no_context_takeover,
  }
  local client = { bits = settings.client_max_window_bits, says = true, forgets = true }
  local fallback = write(true, server, client)
  if settings.client_no_context_takeover or not settings.keeps then return fallback end
  client.forgets = false
  -- Some servers that want us to keep no context say so only where it was offered.
  return write(true, server, client) .. ", " .. fallback
end

-- 7.1.1, 7.1.2: what an answer may say to our offer.
local function meets(settings, answer)
  local bits = settings.server_max_window_bits
  if bits < MAX_BITS and (answer.server_max_window_bits or MAX_BITS) > bits then return false end
  if settings.server_no_context_takeover and not answer.server_no_context_takeover then return false end
  return (answer.client_max_window_bits or 0) <= settings.client_max_window_bits
end

--- Judges the server's answer.
-- @rfc 7692 7.1
-- @tparam table|boolean settings of `websockets.options.compression`; false: nothing was offered
-- @tparam ?string value of Sec-WebSocket-Extensions
-- @treturn[1] table|boolean what the wire is to do: `deflate` (false: to send plain only), `inflate`; false: no
-- compression
-- @treturn[2] nil
-- @treturn[2] string what is wrong
function compression.accept(settings, value)
  if not value then return false end
  local list = extension.parse(value)
  if not list then return nil, "the extension field of the answer cannot be read" end
  if not settings or list[2] or list[1].name ~= NAME then
    return nil, "the server chose an extension that was not offered"
  end
  local answer = read_parameters(list[1].parameters, false)
  if not answer or not meets(settings, answer) then
    return nil, "the server chose parameters of the extension permessage-deflate that were not offered"
  end
  local server = {
    bits = answer.server_max_window_bits or MAX_BITS, forgets = answer.server_no_context_takeover or false,
  }
  local client = {
    bits = min(settings.client_max_window_bits, answer.client_max_window_bits or MAX_BITS),
    forgets = settings.client_no_context_takeover or answer.client_no_context_takeover or false,
  }
  local key = ("client %d %s %d %s"):format(server.bits, tostring(server.forgets), client.bits,
    tostring(client.forgets))
  return agree(settings, "client", key, server, client)
end

return compression
