--- Messages of the API of 2.x, with opcodes of RFC 6455, over a connection of `websockets`, which has types of its own.
-- @module websocket.sending
local codec = require("websockets.codec")
local websockets = require("websockets")

local sending = {}

local MAX_CONTROL_BYTES = 125
local TYPES = {
  [codec.TEXT] = websockets.WRITE_TEXT, [codec.BINARY] = websockets.WRITE_BINARY,
  [codec.PING] = websockets.WRITE_PING, [codec.PONG] = websockets.WRITE_PONG,
}
local OPCODES = { [websockets.WRITE_TEXT] = codec.TEXT, [websockets.WRITE_BINARY] = codec.BINARY }

--- Names the opcode of a message that came.
-- @tparam integer kind `WRITE_TEXT` or `WRITE_BINARY`
-- @treturn integer TEXT or BINARY
function sending.opcode(kind) return OPCODES[kind] end

--- Sends a message or a control frame.
-- @tparam table ws
-- @tparam string data
-- @tparam[opt=TEXT] integer opcode TEXT, BINARY, PING or PONG
-- @treturn[1] boolean true
-- @treturn[2] boolean false
-- @treturn[2] boolean whether the connection has ended
-- @treturn[2] string word of `websockets.errors`
function sending.send(ws, data, opcode)
  opcode = opcode or codec.TEXT
  local kind = TYPES[opcode]
  if not kind or opcode > codec.CLOSE and #data > MAX_CONTROL_BYTES then return false, false, "type" end
  local result, why = ws:write(data, kind)
  if result == 0 then return true end
  return false, why == "closed" or why == "closing", why
end

return sending
