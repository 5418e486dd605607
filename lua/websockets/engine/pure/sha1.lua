--- SHA-1, which the handshake asks for; it guards nothing here.
-- @module websockets.engine.pure.sha1
-- @rfc 6455 4.2.2

local bits = require "websockets.engine.pure.bits"

local byte, char, floor = string.byte, string.char, math.floor

local COMPRESS = [[
local byte, bxor, band, rol, sum = ...
return function(w, bytes, at, h0, h1, h2, h3, h4)
  for i = 0, 15 do
    local x, y, z, v = byte(bytes, at + 4 * i, at + 4 * i + 3)
    w[i] = x * 16777216 + y * 65536 + z * 256 + v
  end
  for i = 16, 79 do w[i] = EXTEND end
  local a, b, c, d, e = h0, h1, h2, h3, h4
  for i = 0, 19 do a, b, c, d, e = STEP(CHOICE, 0x5A827999) end
  for i = 20, 39 do a, b, c, d, e = STEP(PARITY, 0x6ED9EBA1) end
  for i = 40, 59 do a, b, c, d, e = STEP(MAJORITY, 0x8F1BBCDC) end
  for i = 60, 79 do a, b, c, d, e = STEP(PARITY, 0xCA62C1D6) end
  return FOLD
end]]

-- How one operation is written: with operators, or as calls of the functions that COMPRESS gets.
local OPERATORS = {
  bxor = "(%s ~ %s)", band = "(%s & %s)", sum = "(%s & 0xFFFFFFFF)",
  rol = function(x, n) return ("(%s << %d | %s >> %d)"):format(x, n, x, 32 - n) end,
}
local CALLS = { bxor = "bxor(%s, %s)", band = "band(%s, %s)", sum = "sum(%s)", rol = "rol(%s, %d)" }

local function writer_of(how)
  if type(how) == "function" then return how end
  return function(...) return how:format(...) end
end

local function write_compress(style)
  local bxor, band = writer_of(style.bxor), writer_of(style.band)
  local rol, sum = writer_of(style.rol), writer_of(style.sum)
  local mixed = bxor(bxor("w[i - 3]", "w[i - 8]"), bxor("w[i - 14]", "w[i - 16]"))
  local parts = {
    EXTEND = sum(rol(sum(mixed), 1)),
    CHOICE = bxor("d", band("b", bxor("c", "d"))),
    PARITY = bxor(bxor("b", "c"), "d"),
    MAJORITY = "(" .. band("b", "c") .. " + " .. band("d", bxor("b", "c")) .. ")",
    FOLD = sum("h0 + a") .. ", " .. sum("h1 + b") .. ", " .. sum("h2 + c")
      .. ", " .. sum("h3 + d") .. ", " .. sum("h4 + e"),
  }
  return (COMPRESS:gsub("STEP%((%u+), (%w+)%)", function(mix, constant)
    local total = sum(rol("a", 5) .. " + " .. parts[mix] .. " + e + " .. constant .. " + w[i]")
    return total .. ", a, " .. sum(rol("b", 30)) .. ", c, d"
  end):gsub("%u+", parts))
end

-- Lua 5.1 has no bit library: byte by byte through the tables that masking uses.
local function bxor_by_tables(x, y)
  local rows = bits.rows
  local x1, y1 = x % 256, y % 256
  local x2, y2 = x % 65536, y % 65536
  local x3, y3 = x % 16777216, y % 16777216
  return rows[(x - x3) / 16777216][(y - y3) / 16777216] * 16777216
    + rows[(x3 - x2) / 65536][(y3 - y2) / 65536] * 65536
    + rows[(x2 - x1) / 256][(y2 - y1) / 256] * 256 + rows[x1][y1]
end

local function band_by_tables(x, y)
  return (x + y - bxor_by_tables(x, y)) / 2
end

local function rotate(x, count)
  local product = x * 2 ^ count
  local low = product % 4294967296
  return low + (product - low) / 4294967296
end

local function modulo(x)
  return x % 4294967296
end

local function build_compress()
  if bits.has_operators() then return bits.compile("sha1", write_compress(OPERATORS), byte) end
  local source = write_compress(CALLS)
  local jit, bit32 = rawget(_G, "jit"), rawget(_G, "bit32")
  if jit then
    local bit = require "bit"
    return bits.compile("sha1", source, byte, bit.bxor, bit.band, bit.rol, bit.tobit)
  elseif bit32 then
    return bits.compile("sha1", source, byte, bit32.bxor, bit32.band, bit32.lrotate, modulo)
  end
  return bits.compile("sha1", source, byte, bxor_by_tables, band_by_tables, rotate, modulo)
end

local function word_bytes(word)
  word = word % 4294967296
  return char(floor(word / 16777216), floor(word / 65536) % 256, floor(word / 256) % 256, word % 256)
end

local compress

--- Computes the SHA-1 of a string.
-- @tparam string bytes shorter than 512 MiB
-- @treturn string twenty bytes
local function sha1(bytes)
  compress = compress or build_compress()
  local size = #bytes
  bytes = bytes .. "\128" .. ("\0"):rep((55 - size) % 64) .. "\0\0\0\0" .. word_bytes(8 * size)
  local a, b, c, d, e = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0
  local words = {}
  for at = 1, #bytes, 64 do
    a, b, c, d, e = compress(words, bytes, at, a, b, c, d, e)
  end
  return word_bytes(a) .. word_bytes(b) .. word_bytes(c) .. word_bytes(d) .. word_bytes(e)
end

return sha1
