--- Frames of the API of 2.x. They are encoded and decoded as they are given; `websocket.sync` judges.
-- @module websocket.frame
local codec = require("websockets.codec")
local tools = require("websocket.tools")

local frame = {
  --- Opcodes of RFC 6455.
  CONTINUATION = codec.CONTINUATION, TEXT = codec.TEXT, BINARY = codec.BINARY,
  CLOSE = codec.CLOSE, PING = codec.PING, PONG = codec.PONG,
}

local char, floor = string.char, math.floor

--- Encodes a frame.
-- @tparam string data
-- @tparam[opt=TEXT] integer opcode
-- @tparam[opt=false] boolean masked with random bytes of the operating system
-- @tparam[opt=true] boolean fin
-- @treturn string bytes
-- @raise where the system has no random bytes for a mask
function frame.encode(data, opcode, masked, fin)
  local bytes, why = codec.encode(opcode or frame.TEXT, data, masked, fin)
  if not bytes then error(why, 2) end
  return bytes
end

--- Decodes the first frame of some bytes.
-- @tparam string bytes
-- @treturn[1] string payload, unmasked
-- @treturn[1] boolean fin
-- @treturn[1] integer opcode
-- @treturn[1] string bytes after the frame
-- @treturn[1] boolean whether it was masked
-- @treturn[2] nil it is not whole
-- @treturn[2] integer how many bytes are missing at least
function frame.decode(bytes)
  local payload, fin, opcode, after, masked = codec.decode(bytes)
  if not payload then return nil, fin end
  return payload, fin, opcode, bytes:sub(after), masked
end

--- Writes the payload of a close frame.
-- @tparam[opt] integer code none: an empty payload
-- @tparam[opt=""] string reason
-- @treturn string
function frame.encode_close(code, reason)
  if not code then return "" end
  return tools.write_int16(code) .. (reason and tostring(reason) or "")
end

--- Reads the payload of a close frame.
-- @tparam ?string data
-- @treturn ?integer code, nil for none
-- @treturn ?string reason, nil for none
function frame.decode_close(data)
  if not data or #data < 2 then return nil end
  local _, code = tools.read_int16(data)
  return code, #data > 2 and data:sub(3) or nil
end

--- Writes a frame header of two bytes.
-- @tparam integer first byte
-- @tparam integer second byte
-- @treturn string
function frame.encode_header_small(first, second)
  return char(first, second)
end

--- Writes a frame header with a length of two bytes.
-- @tparam integer first byte
-- @tparam integer second byte
-- @tparam integer length
-- @treturn string
function frame.encode_header_medium(first, second, length)
  return char(first, second, floor(length / 256) % 256, length % 256)
end

--- Writes a frame header with a length of eight bytes.
-- @tparam integer first byte
-- @tparam integer second byte
-- @tparam integer high the upper four bytes of the length
-- @tparam integer low the lower four
-- @treturn string
function frame.encode_header_big(first, second, high, low)
  return char(first, second) .. tools.write_int32(high) .. tools.write_int32(low)
end

return frame
