--- Kinds of message: the numbers that `ws:write` takes, and the opcodes that stand for them.
-- @module websockets.protocol.kinds
local kinds = {
  --- Numbers of the kinds.
  TEXT = 0, BINARY = 1, CONTINUATION = 2, HTTP = 3, CLOSE = 4, PING = 5, PONG = 6,

  --- Numbers that may be added to a kind.
  NO_FIN = 0x40, IGNORE_MASK = 0x80, NO_COMPRESSION = 0x100,

  --- Opcode of each kind that is sent as a frame.
  -- @rfc 6455 5.2
  OPCODES = {},

  --- Kind of each opcode.
  -- @rfc 6455 5.2
  OF_OPCODES = { [0] = 2, [1] = 0, [2] = 1, [8] = 4, [9] = 5, [10] = 6 },
}

for opcode, kind in pairs(kinds.OF_OPCODES) do kinds.OPCODES[kind] = opcode end

--- Takes a kind apart.
-- @tparam integer number a kind, with numbers added to it
-- @treturn integer kind
-- @treturn boolean whether this is the last fragment
-- @treturn boolean whether the message must not be compressed
function kinds.split(number)
  local no_compression = number >= kinds.NO_COMPRESSION
  if no_compression then number = number - kinds.NO_COMPRESSION end
  if number >= kinds.IGNORE_MASK then number = number - kinds.IGNORE_MASK end
  if number >= kinds.NO_FIN then return number - kinds.NO_FIN, false, no_compression end
  return number, true, no_compression
end

return kinds
