--- The rules of frame headers and close payloads: what a peer may send, each in one place.
-- @module websockets.engine.pure.header
-- @rfc 6455 5.2

local close = require "websockets.engine.close"
local utf8 = require "websockets.engine.pure.utf8"

local byte, sub = string.byte, string.sub

local header = {}

local PROTOCOL_ERROR, NOT_UTF8, TOO_BIG = 1002, 1007, 1009
local MAX_CONTROL_BYTES = 125
local PACKED = 64
local LONG_FORM = "a length that is not in its shortest form"

--- Judges the first byte of a frame.
-- @tparam number first the byte
-- @tparam table|boolean message the unfinished message, or false
-- @tparam table options `max_fragments` frames that a message may have; `deflate`: compressed messages may come
-- @treturn[1] nil it is allowed
-- @treturn[2] number close code
-- @treturn[2] string what is wrong
-- @rfc 6455 5.2
-- @rfc 6455 5.4
-- @rfc 6455 5.5
-- @rfc 7692 6
local function check_first(first, message, options)
  local opcode, max_fragments = first % 16, options.max_fragments
  -- 5.2: the three bits after FIN are reserved for extensions; RFC 7692 6: the first of them marks the first frame of
  -- a compressed message.
  local is_packed = options.deflate and first % 128 - opcode == PACKED and (opcode == 1 or opcode == 2)
  if first % 128 >= 16 and not is_packed then return PROTOCOL_ERROR, "a reserved bit is set" end
  -- 5.2: opcodes 3 to 7 and 11 to 15 are reserved.
  if opcode > 10 or (opcode > 2 and opcode < 8) then return PROTOCOL_ERROR, "opcode " .. opcode .. " is reserved" end
  if opcode >= 8 then
    -- 5.5: control frames must not be fragmented.
    if first < 128 then return PROTOCOL_ERROR, "a control frame is fragmented" end
    return nil
  end
  -- 5.4: a message begins with its opcode and continues with opcode 0.
  if opcode == 0 and not message then return PROTOCOL_ERROR, "a continuation without a message" end
  if opcode > 0 and message then return PROTOCOL_ERROR, "a new message inside a fragmented one" end
  if message and message.fragments >= max_fragments then
    return TOO_BIG, "a message of more than " .. max_fragments .. " frames"
  end
  return nil
end

--- Judges the second byte of a frame.
-- @tparam number second the byte
-- @tparam number opcode
-- @tparam number mask_bit 128 where the peer must mask, 0 where it must not
-- @treturn[1] nil it is allowed
-- @treturn[2] number close code
-- @treturn[2] string what is wrong
-- @rfc 6455 5.1
-- @rfc 6455 5.5
local function check_second(second, opcode, mask_bit)
  -- 5.1: clients mask every frame, servers none.
  if second < mask_bit then return PROTOCOL_ERROR, "a frame that is not masked" end
  if second >= 128 and mask_bit == 0 then return PROTOCOL_ERROR, "a masked frame from a server" end
  -- 5.5: control frames carry at most 125 bytes.
  if opcode >= 8 and second % 128 > MAX_CONTROL_BYTES then
    return PROTOCOL_ERROR, "a control frame of more than 125 bytes"
  end
  return nil
end

--- Reads the payload length.
-- @tparam string chunk
-- @tparam number position of the frame's first byte
-- @tparam number length the seven bits of the second byte
-- @treturn[1] number payload length
-- @treturn[1] number position after it
-- @treturn[1] ?string what is wrong with its form
-- @treturn[2] nil more bytes are needed
-- @rfc 6455 5.2
local function read_length(chunk, position, length)
  if length < 126 then return length, position + 2 end
  if length == 126 then
    local a, b = byte(chunk, position + 2, position + 3)
    if not b then return nil end
    length = a * 256 + b
    -- 5.2: the shortest form that holds the length must be used.
    return length, position + 4, length < 126 and LONG_FORM
  end
  local a, b, c, d, e, f, g, h = byte(chunk, position + 2, position + 9)
  if not h then return nil end
  -- 5.2: the top bit of a 64-bit length must be 0.
  if a >= 128 then return math.huge, position + 10, "a length with its top bit set" end
  local high = ((a * 256 + b) * 256 + c) * 256 + d
  local low = ((e * 256 + f) * 256 + g) * 256 + h
  return high * 4294967296 + low, position + 10, high == 0 and low < 65536 and LONG_FORM
end

--- Reads a frame header and judges it as far as its bytes have come, byte by byte in their order.
-- @tparam table reader
-- @tparam string chunk
-- @tparam number position of the frame's first byte
-- @treturn[1] number first byte of the frame
-- @treturn[1] number payload length
-- @treturn[1] number position after the length: of the masking key or the payload
-- @treturn[1] boolean whether a compressed message begins
-- @treturn[2] nil more bytes are needed
-- @treturn[3] boolean false
-- @treturn[3] number close code
-- @treturn[3] string what is wrong
function header.read(reader, chunk, position)
  local options, message = reader.options, reader.message
  local first, second = byte(chunk, position, position + 1)
  local code, why = check_first(first, message, options)
  if code then return false, code, why end
  if not second then return nil end
  local opcode = first % 16
  code, why = check_second(second, opcode, reader.mask_bit)
  if code then return false, code, why end
  local length, after, wrong = read_length(chunk, position, second % 128)
  if wrong then return false, PROTOCOL_ERROR, wrong end
  if not length then return nil end
  local is_packed = first % 128 >= PACKED
  -- 10.4: judged before anything of the payload is kept; subtracting cannot overflow. What is compressed is judged
  -- while it is inflated.
  local is_counted = opcode < 8 and not is_packed and not (message and message.packed)
  if is_counted and options.max_message_bytes - (message and message.have or 0) < length then
    return false, TOO_BIG, "a message of more than " .. options.max_message_bytes .. " bytes"
  end
  return first, length, after, is_packed
end

--- Reads where the parts of a frame are, and judges none of them.
-- @tparam string bytes
-- @tparam number position of the frame's first byte
-- @treturn[1] number first byte of the frame
-- @treturn[1] boolean whether it is masked
-- @treturn[1] number position of the masking key or the payload
-- @treturn[1] number payload length
-- @treturn[2] nil more bytes are needed
-- @treturn[2] number how many bytes the frame has at least
-- @rfc 6455 5.2
function header.measure(bytes, position)
  local first, second = byte(bytes, position, position + 1)
  if not second then return nil, 2 end
  local length, after = read_length(bytes, position, second % 128)
  if not length then return nil, second % 128 == 126 and 4 or 10 end
  return first, second >= 128, after, length
end

--- Judges the payload of a close frame.
-- @tparam string payload
-- @treturn[1] nil it is allowed
-- @treturn[2] number close code
-- @treturn[2] string what is wrong
-- @rfc 6455 5.5.1
-- @rfc 6455 7.4
function header.check_close(payload)
  if payload == "" then return nil end
  local high, low = byte(payload, 1, 2)
  if not low then return PROTOCOL_ERROR, "a close payload of one byte" end
  local code = high * 256 + low
  if not close.may_send(code) then return PROTOCOL_ERROR, "close code " .. code .. " is not for the wire" end
  if not utf8.valid(sub(payload, 3)) then return NOT_UTF8, "a close reason that is not UTF-8" end
  return nil
end

return header
