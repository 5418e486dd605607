--- Base64 as in RFC 4648, strict: no line breaks, no missing padding, no loose bits.
-- @module websockets.engine.pure.base64

local byte, char, floor = string.byte, string.char, math.floor

local base64 = {}

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local values

local function digit(value)
  return ALPHABET:sub(value + 1, value + 1)
end

local function encode_group(group)
  local a, b, c = byte(group, 1, 3)
  local number = a * 65536 + (b or 0) * 256 + (c or 0)
  return digit(floor(number / 262144)) .. digit(floor(number / 4096) % 64)
    .. (b and digit(floor(number / 64) % 64) or "=") .. (c and digit(number % 64) or "=")
end

--- Encodes bytes.
-- @tparam string bytes
-- @treturn string
function base64.encode(bytes)
  return (bytes:gsub("..?.?", encode_group))
end

local function build_values()
  local built = {}
  for index = 1, #ALPHABET do
    built[ALPHABET:sub(index, index)] = index - 1
  end
  -- Only now: memory may have been refused before the last of them.
  values = built
  return values
end

local function decode_group(a, b, c, d)
  local number = values[a] * 262144 + values[b] * 4096 + (values[c] or 0) * 64 + (values[d] or 0)
  local bytes = char(floor(number / 65536), floor(number / 256) % 256, number % 256)
  if c == "=" then return bytes:sub(1, 1) end
  if d == "=" then return bytes:sub(1, 2) end
  return bytes
end

-- The bits that the padding leaves over are zero, or two texts would mean the same bytes.
local function has_loose_bits(text)
  local last, padding = text:match("([^=])(=+)$")
  return last and values[last] % (padding == "=" and 4 or 16) ~= 0
end

--- Decodes text.
-- @tparam string text
-- @treturn[1] string the bytes
-- @treturn[2] nil where it is not the one encoding of any bytes
function base64.decode(text)
  values = values or build_values()
  if #text % 4 ~= 0 or not text:find("^[%w+/]*=?=?$") or has_loose_bits(text) then return nil end
  return (text:gsub("(.)(.)(.)(.)", decode_group))
end

return base64
