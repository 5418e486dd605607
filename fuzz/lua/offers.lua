--- Any offer of a client: the field Sec-WebSocket-Extensions of a request.
-- @module fuzz.lua.offers
-- @rfc 7692 7.1

local choices = require "fuzz.lua.choices"
local compression = require "websockets.protocol.compression"
local extension = require "websockets.protocol.extension"

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"

-- What was read, written plainly.
local function write(list)
  local texts = {}
  for index, one in ipairs(list) do
    assert(one.name:find(TOKEN), "a name that is no token")
    local parts = { one.name }
    for _, parameter in ipairs(one.parameters) do
      assert(parameter.name:find(TOKEN), "a parameter that is no token")
      assert(not parameter.value or parameter.value:find(TOKEN), "a value that is no token")
      parts[#parts + 1] = parameter.name .. (parameter.value and "=" .. parameter.value or "")
    end
    texts[index] = table.concat(parts, ";")
  end
  return table.concat(texts, ",")
end

local function bits_of(parameters, name, otherwise)
  for _, one in ipairs(parameters) do
    -- No answer has as few bits as what is no number.
    if one.name == name then return tonumber(one.value or 15) or 0 end
  end
  return otherwise
end

local function has(parameters, name)
  return bits_of(parameters, name) ~= nil
end

-- RFC 7692 7.1: an answer gives no offer more than it asks for.
local function fits(answer, offer)
  if offer.name ~= "permessage-deflate" then return false end
  local ours, theirs = answer.parameters, offer.parameters
  if has(theirs, "server_no_context_takeover") and not has(ours, "server_no_context_takeover") then return false end
  if bits_of(ours, "server_max_window_bits", 15) > bits_of(theirs, "server_max_window_bits", 15) then return false end
  if not has(ours, "client_max_window_bits") then return true end
  return has(theirs, "client_max_window_bits")
    and bits_of(ours, "client_max_window_bits") <= bits_of(theirs, "client_max_window_bits")
end

local function check_window(window)
  assert(window.window_bits >= 9 and window.window_bits <= 15, "a window that zlib has not")
  assert(type(window.no_context_takeover) == "boolean")
end

local function check_answer(settings, offers, agreed, text)
  local answers = assert(extension.parse(text))
  assert(#answers == 1 and answers[1].name == "permessage-deflate" and write(answers) == text:gsub("; ", ";"))
  local is_met = false
  for _, offer in ipairs(offers) do is_met = is_met or fits(answers[1], offer) end
  assert(is_met, "an answer to no offer: " .. text)
  check_window(agreed.deflate)
  check_window(agreed.inflate)
  local parameters = answers[1].parameters
  assert(agreed.deflate.window_bits == bits_of(parameters, "server_max_window_bits", 15))
  assert(agreed.inflate.window_bits >= bits_of(parameters, "client_max_window_bits", 15))
  assert(bits_of(parameters, "server_max_window_bits", 15) <= settings.server_max_window_bits)
  assert(bits_of(parameters, "client_max_window_bits", 15) <= settings.client_max_window_bits)
end

return function(data)
  local choice = choices.new(data)
  local settings, keeps_context = choice:compression(), choice:flag()
  local value = choice:rest()
  local offers = extension.parse(value)
  if offers then
    local text = write(offers)
    assert(write(assert(extension.parse(text))) == text, "read again, it is something else")
  end
  assert((compression.answer(false, value, keeps_context) == nil) == (offers == nil))
  local agreed, text = compression.answer(settings, value, keeps_context)
  assert((agreed == nil) == (offers == nil))
  if agreed then check_answer(settings, offers, agreed, text) end
  local again, same = compression.answer(settings, value, keeps_context)
  -- The same agreement is the same table.
  assert(again == agreed and same == text)
end
