--- Frames out of payloads.
-- @module websockets.engine.pure.writer

local deflate = require "websockets.engine.pure.deflate"
local mask = require "websockets.engine.pure.mask"
local random = require "websockets.engine.pure.random"

local byte, char, floor = string.byte, string.char, math.floor
local mask_range, random_bytes = mask.range, random.bytes

local Writer = {}
Writer.__index = Writer

-- The shortest form that holds the length; no string has 2^48 bytes, so the top two bytes are 0.
local function encode_header(first, size, mask_bit)
  if size < 126 then return char(first, mask_bit + size) end
  if size < 65536 then return char(first, mask_bit + 126, floor(size / 256), size % 256) end
  return char(first, mask_bit + 127, 0, 0, floor(size / 2 ^ 40), floor(size / 2 ^ 32) % 256,
    floor(size / 16777216) % 256, floor(size / 65536) % 256, floor(size / 256) % 256, size % 256)
end

-- RFC 7692 7.2.1, 6: a whole message, marked in its first byte; nil where it is better sent as it is.
local function pack(self, payload)
  local made = self.deflater:deflate(payload)
  -- With context takeover the stream now refers to this message, so it must be sent compressed. A threshold of 0 asks
  -- for everything.
  if not made or (self.forgets and self.threshold > 0 and #made >= #payload) then return nil end
  return made
end

--- Encodes one frame; a client masks it with four new random bytes. Whole data messages are compressed where that was
-- agreed; fragments never are.
-- @tparam number opcode 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong
-- @tparam string payload
-- @tparam ?boolean fin false where more fragments follow
-- @tparam ?boolean plain true: do not compress
-- @treturn[1] string the frame
-- @treturn[2] nil
-- @treturn[2] string what failed
-- @treturn[2] string `entropy`
-- @rfc 6455 5.2
-- @rfc 6455 5.3
function Writer:encode(opcode, payload, fin, plain)
  local first = fin == false and opcode or opcode + 128
  local size = #payload
  if self.deflater and not plain and first > 128 and opcode <= 2 and size >= self.threshold then
    local packed = pack(self, payload)
    if packed then first, payload, size = first + 64, packed, #packed end
  end
  if not self.masks then return encode_header(first, size, 0) .. payload end
  local key, why, code = random_bytes(4)
  if not key then return nil, why, code end
  return encode_header(first, size, 128) .. key .. mask_range(payload, 1, size, byte(key, 1, 4))
end

--- Gives back what a connection's own deflater holds.
function Writer:release()
  if self.deflater and not self.forgets then self.deflater:release() end
end

-- A writer knows nothing but its role, so one of each serves all connections.
local WRITERS = {
  server = setmetatable({ masks = false, deflater = false }, Writer),
  client = setmetatable({ masks = true, deflater = false }, Writer),
}

--- Gives a writer.
-- @tparam table options `role`: ours, `"server"` or `"client"`; `deflate`: nil or false, or a table with `deflate`, how
-- to compress (`window_bits`, `level`, `threshold`, `no_context_takeover`); without context takeover that table keeps
-- the one writer of all connections that share it
-- @treturn table
local function new_writer(options)
  local how = options.deflate and options.deflate.deflate
  if not how then return WRITERS[options.role] end
  if how.writer then return how.writer end
  local writer = setmetatable({
    masks = options.role == "client", deflater = deflate.deflater(how), threshold = how.threshold,
    forgets = how.no_context_takeover,
  }, Writer)
  if writer.forgets then how.writer = writer end
  return writer
end

return new_writer
