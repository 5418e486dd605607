--- Compressed payloads by way of lua-zlib, where it is installed: raw DEFLATE, a message at a time.
-- @module websockets.engine.pure.deflate
-- @rfc 7692 7.2

local concat, floor, max, min = table.concat, math.floor, math.max, math.min
local sub = string.sub
local HUGE = math.huge

local deflate = {}

-- 7.2.1: what a flush ends with; it is taken away when sending and put back when receiving.
local TAIL = "\0\0\255\255"
-- 7.2.3.6: an empty message.
local EMPTY = "\0"
-- A last block without content: zlib then gives its memory back.
local LAST_BLOCK = "\3\0"

local BAD_DATA, TOO_BIG = 1002, 1009

-- One byte inflates to at most this many. Inflating cannot be stopped within a call: pieces are cut so that they pass
-- the limit by a few ten thousand bytes at most, and delay others for no longer than 128 KiB take.
local MAX_EXPANSION = 1032
local LEAST_PIECE, MOST_PIECE = 64, 128

-- A peer may end the DEFLATE stream inside a message (7.2.3.4), but each time costs a new one.
local MAX_ENDS = 16

local zlib

local function load_zlib()
  local found, module = pcall(require, "zlib")
  if not found then return nil, "lua-zlib is not installed" end
  local works, made = pcall(function() return module.deflate(6, -15)("Hello", "sync") end)
  if not works or made ~= "\242\72\205\201\201\7\0" .. TAIL then
    return nil, "the module 'zlib' is not lua-zlib"
  end
  zlib = module
  return true
end

--- Tells whether messages can be compressed here.
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string why not
function deflate.can_compress()
  if zlib then return true end
  return load_zlib()
end

local Deflater = {}
Deflater.__index = Deflater

--- Makes a deflater. Without context takeover one may serve any number of connections.
-- @tparam table options `window_bits` 9 to 15, `level` 1 to 9, `no_context_takeover`
-- @treturn table
function deflate.deflater(options)
  assert(deflate.can_compress())
  return setmetatable({
    level = options.level, bits = -options.window_bits, stream = false,
    -- A full flush forgets what came before as a new stream would.
    flush = options.no_context_takeover and "full" or "sync",
  }, Deflater)
end

--- Compresses a message.
-- @tparam string bytes
-- @treturn[1] string
-- @treturn[2] nil
-- @treturn[2] string what failed; the deflater begins a new context
-- @rfc 7692 7.2.1
function Deflater:deflate(bytes)
  local stream = self.stream or zlib.deflate(self.level, self.bits)
  local is_good, made = pcall(stream, bytes, self.flush)
  self.stream = is_good and stream
  if not is_good then return nil, tostring(made) end
  if sub(made, -4) == TAIL then made = sub(made, 1, -5) end
  return made == "" and EMPTY or made
end

--- Gives the memory back; lua-zlib's is not seen by Lua's collector.
function Deflater:release()
  if self.stream then pcall(self.stream, "", "finish") end
  self.stream = false
end

local Inflater = {}
Inflater.__index = Inflater

--- Makes an inflater for the messages of one connection.
-- @tparam table options `window_bits` 9 to 15, `no_context_takeover`
-- @treturn table
function deflate.inflater(options)
  assert(deflate.can_compress())
  return setmetatable({
    bits = -options.window_bits, forgets = options.no_context_takeover, stream = false, taken = 0, ends = 0,
    begun = false,
  }, Inflater)
end

local function open(self)
  self.stream, self.taken = zlib.inflate(self.bits), 0
  return self.stream
end

-- 7.2.3.4: after a last block another stream begins.
local function end_stream(self)
  self.stream, self.ends = false, self.ends + 1
  return self.ends <= MAX_ENDS
end

-- Returns how many bytes have come of all until now, and how many of these were taken: all, or where `enough` came of
-- them, a part.
local function run(self, bytes, made, limit, parts, enough)
  local at, size = 1, #bytes
  while at <= size and made < enough do
    local stop = min(size, at - 1 + max(LEAST_PIECE, min(MOST_PIECE, floor((limit - made) / MAX_EXPANSION))))
    local before = self.stream and self.taken or 0
    local is_good, out, ended, taken = pcall(self.stream or open(self), sub(bytes, at, stop))
    if not is_good then return nil, BAD_DATA, "a message that cannot be inflated" end
    made = made + #out
    if made > limit then return nil, TOO_BIG, "a message that inflates to more than its limit" end
    if out ~= "" then parts[#parts + 1] = out end
    at = ended and at + taken - before or stop + 1
    self.taken = taken
    if ended and not end_stream(self) then return nil, BAD_DATA, "a message of too many streams" end
  end
  return made, at - 1
end

--- Gives the memory back.
function Inflater:release()
  if self.stream then pcall(self.stream, LAST_BLOCK) end
  self.stream = false
end

--- Inflates what has come of a message.
-- @tparam string bytes
-- @tparam boolean fin whether the message ends with them
-- @tparam number limit bytes that may come of it at most
-- @tparam[opt] number enough stop soon after so many have come
-- @treturn[1] string
-- @treturn[1] integer how many bytes were taken; the others are to be given again, with `fin`
-- @treturn[2] nil
-- @treturn[2] number close code 1002 or 1009
-- @treturn[2] string what is wrong
-- @rfc 7692 7.2.2
function Inflater:inflate(bytes, fin, limit, enough)
  local parts = {}
  if bytes ~= "" then self.begun = true end
  local made, taken, why = run(self, bytes, 0, limit, parts, enough or HUGE)
  if made and fin and taken == #bytes then
    -- Where the stream has ended there is nothing to put back, and a message without bytes has none.
    if self.begun and self.stream then
      local code
      made, code, why = run(self, TAIL, made, limit, parts, HUGE)
      if not made then return nil, code, why end
    end
    self.begun, self.ends = false, 0
    if self.forgets then self:release() end
  end
  if not made then return nil, taken, why end
  return concat(parts), taken
end

return deflate
