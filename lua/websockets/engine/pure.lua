--- The engine in Lua: bytes to messages and back, without a native module.
-- @module websockets.engine.pure

local base64 = require "websockets.engine.pure.base64"
local deflate = require "websockets.engine.pure.deflate"
local mask = require "websockets.engine.pure.mask"
local new_reader = require "websockets.engine.pure.reader"
local new_writer = require "websockets.engine.pure.writer"
local random = require "websockets.engine.pure.random"
local sha1 = require "websockets.engine.pure.sha1"
local utf8 = require "websockets.engine.pure.utf8"

local pure = {
  --- Which engine this is: `pure`.
  name = "pure",
}

local HANDSHAKE_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

--- Computes the value of `Sec-WebSocket-Accept`.
-- @tparam string key value of `Sec-WebSocket-Key`
-- @treturn string
-- @rfc 6455 4.2.2
function pure.accept_key(key)
  return base64.encode(sha1(key .. HANDSHAKE_GUID))
end

--- See `websockets.engine.pure.deflate`.
pure.can_compress = deflate.can_compress

--- See `websockets.engine.pure.deflate`.
pure.deflater = deflate.deflater

--- See `websockets.engine.pure.deflate`.
pure.inflater = deflate.inflater

--- See `websockets.engine.pure.reader`.
pure.reader = new_reader

--- See `websockets.engine.pure.writer`.
pure.writer = new_writer

--- See `websockets.engine.pure.base64`.
pure.base64 = base64.encode

--- See `websockets.engine.pure.base64`.
pure.unbase64 = base64.decode

--- See `websockets.engine.pure.random`.
pure.random = random.bytes

--- See `websockets.engine.pure.mask`.
pure.mask = mask.whole

--- See `websockets.engine.pure.utf8`.
pure.valid_utf8 = utf8.valid

--- See `websockets.engine.pure.utf8`.
pure.utf8_next = utf8.next

return pure
