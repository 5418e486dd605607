--- Masking: exclusive or of a payload with a key of four bytes, the fastest way each Lua has.
-- @module websockets.engine.pure.mask
-- @rfc 6455 5.3

local bits = require "websockets.engine.pure.bits"

local byte, char, concat = string.byte, string.char, table.concat

local mask = {}

-- Functions for exactly n bytes, made when first needed: one call in, one call out, nothing in between.
local function lazily(build)
  return setmetatable({}, {
    __index = function(blocks, size)
      local block = build(size)
      blocks[size] = block
      return block
    end,
  })
end

local BY_TABLES = [[
local byte, char = ...
return function(bytes, at, r1, r2, r3, r0)
  local %s = byte(bytes, at, at + %d)
  return char(%s)
end]]

local function build_by_tables(size)
  local items = {}
  for index = 1, size do
    items[index] = ("r%d[b%d]"):format(index % 4, index)
  end
  local source = BY_TABLES:format(bits.list("b", size), size - 1, concat(items, ", "))
  return bits.compile("mask", source, byte, char)
end

local function use_tables()
  local rows, blocks = bits.rows, lazily(build_by_tables)
  return function(bytes, first, last, k1, k2, k3, k4)
    local r1, r2, r3, r4 = rows[k1], rows[k2], rows[k3], rows[k4]
    local size = last - first + 1
    if size <= 64 then return size > 0 and blocks[size](bytes, first, r1, r2, r3, r4) or "" end
    local block = blocks[64]
    if size <= 128 then
      return block(bytes, first, r1, r2, r3, r4) .. blocks[size - 64](bytes, first + 64, r1, r2, r3, r4)
    end
    local parts, count = {}, 0
    while size >= 64 do
      count = count + 1
      parts[count] = block(bytes, first, r1, r2, r3, r4)
      first, size = first + 64, size - 64
    end
    if size > 0 then
      count = count + 1
      parts[count] = blocks[size](bytes, first, r1, r2, r3, r4)
    end
    return concat(parts, "", 1, count)
  end
end

local BY_OPERATORS = [[
local unpack, pack = ...
return function(bytes, at, key)
  local %s = unpack("%s", bytes, at)
  return pack("%s", %s)
end]]

local function build_by_operators(size)
  local tail = size % 8
  local words = (size - tail) / 8
  local format, count, items = "<" .. ("j"):rep(words), words, {}
  for index = 1, words do
    items[index] = ("w%d ~ key"):format(index)
  end
  if tail > 0 then
    count = count + 1
    format = format .. "I" .. tail
    items[count] = ("w%d ~ key & 0x%s"):format(count, ("ff"):rep(tail))
  end
  local source = BY_OPERATORS:format(bits.list("w", count), format, format, concat(items, ", "))
  return bits.compile("mask", source, string.unpack, string.pack)
end

local OPERATORS = [[
local blocks, concat = ...
return function(bytes, first, last, k1, k2, k3, k4)
  local key = k1 | k2 << 8 | k3 << 16 | k4 << 24
  key = key | key << 32
  local size = last - first + 1
  if size <= 64 then return size > 0 and blocks[size](bytes, first, key) or "" end
  if size <= 128 then return blocks[64](bytes, first, key) .. blocks[size - 64](bytes, first + 64, key) end
  local parts, count, block = {}, 0, blocks[256]
  while size >= 256 do
    count = count + 1
    parts[count] = block(bytes, first, key)
    first, size = first + 256, size - 256
  end
  block = blocks[64]
  while size >= 64 do
    count = count + 1
    parts[count] = block(bytes, first, key)
    first, size = first + 64, size - 64
  end
  if size > 0 then
    count = count + 1
    parts[count] = blocks[size](bytes, first, key)
  end
  return concat(parts, "", 1, count)
end]]

local function use_operators()
  return bits.compile("mask", OPERATORS, lazily(build_by_operators), concat)
end

local SCRATCH_BYTES = 16384

-- Eight words in each pass of the loop take a third of the time that one word takes.
local function xor_words(words, count, key, bxor)
  local index = 0
  while index + 8 <= count do
    words[index] = bxor(words[index], key)
    words[index + 1] = bxor(words[index + 1], key)
    words[index + 2] = bxor(words[index + 2], key)
    words[index + 3] = bxor(words[index + 3], key)
    words[index + 4] = bxor(words[index + 4], key)
    words[index + 5] = bxor(words[index + 5], key)
    words[index + 6] = bxor(words[index + 6], key)
    words[index + 7] = bxor(words[index + 7], key)
    index = index + 8
  end
  while index < count do
    words[index] = bxor(words[index], key)
    index = index + 1
  end
end

local function use_ffi(ffi)
  local bit = require "bit"
  local bxor, bor, lshift, rshift = bit.bxor, bit.bor, bit.lshift, bit.rshift
  local pointer = ffi.typeof("const uint8_t *")
  local big_endian = ffi.abi("be")
  local words

  local function block(bytes, first, size, key)
    ffi.copy(words, ffi.cast(pointer, bytes) + (first - 1), size)
    xor_words(words, rshift(size + 3, 2), key, bxor)
    return ffi.string(words, size)
  end

  return function(bytes, first, last, k1, k2, k3, k4)
    local size = last - first + 1
    if size <= 0 then return "" end
    if big_endian then k1, k2, k3, k4 = k4, k3, k2, k1 end
    local key = bor(k1, lshift(k2, 8), lshift(k3, 16), lshift(k4, 24))
    words = words or ffi.new("int32_t[?]", SCRATCH_BYTES / 4)
    if size <= SCRATCH_BYTES then return block(bytes, first, size, key) end
    local parts, count = {}, 0
    for from = first, last, SCRATCH_BYTES do
      count = count + 1
      parts[count] = block(bytes, from, math.min(SCRATCH_BYTES, last - from + 1), key)
    end
    return concat(parts, "", 1, count)
  end
end

local function choose()
  local ffi = bits.find_ffi()
  if ffi then return use_ffi(ffi) end
  if bits.has_operators() then return use_operators() end
  return use_tables()
end

--- Masks or unmasks a part of a string; the key's first byte meets the part's first byte.
-- @function mask.range
-- @tparam string bytes
-- @tparam number first position of the first byte
-- @tparam number last position of the last byte; nothing where it lies before `first`
-- @tparam number k1 first byte of the key
-- @tparam number k2 second byte of the key
-- @tparam number k3 third byte of the key
-- @tparam number k4 fourth byte of the key
-- @treturn string
-- @rfc 6455 5.3
mask.range = choose()

--- Masks or unmasks a whole string.
-- @tparam string bytes
-- @tparam string key four bytes
-- @treturn string
-- @rfc 6455 5.3
function mask.whole(bytes, key)
  return mask.range(bytes, 1, #bytes, byte(key, 1, 4))
end

return mask
