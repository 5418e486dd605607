--- Frames out of payloads.
-- @module websockets.engine.pure.writer

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

--- Encodes one frame; a client masks it with four new random bytes.
-- @tparam number opcode 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong
-- @tparam string payload
-- @tparam ?boolean fin false where more fragments follow
-- @treturn[1] string the frame
-- @treturn[2] nil
-- @treturn[2] string what failed
-- @treturn[2] string `entropy`
-- @rfc 6455 5.2
-- @rfc 6455 5.3
function Writer:encode(opcode, payload, fin)
  local first = fin == false and opcode or opcode + 128
  local size = #payload
  if not self.masks then return encode_header(first, size, 0) .. payload end
  local key, why, code = random_bytes(4)
  if not key then return nil, why, code end
  return encode_header(first, size, 128) .. key .. mask_range(payload, 1, size, byte(key, 1, 4))
end

-- A writer knows nothing but its role, so one of each serves all connections.
local WRITERS = {
  server = setmetatable({ masks = false }, Writer),
  client = setmetatable({ masks = true }, Writer),
}

--- Gives a writer.
-- @tparam table options `role`: ours, `"server"` or `"client"`
-- @treturn table
local function new_writer(options)
  return WRITERS[options.role]
end

return new_writer
