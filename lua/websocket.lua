--- The API of lua-websockets 2.x, over `websockets`: clients that wait, under copas and under lua-ev, servers under
-- copas and lua-ev. docs/from-2x.md tells what differs.
-- @module websocket
local frame = require("websocket.frame")

return {
  --- Clients by name: `sync`, `new` (the same), `copas`, `ev`; each is loaded when it is first used.
  client = require("websocket.client"),
  --- Servers by name: `copas`, `ev`.
  server = require("websocket.server"),
  --- Opcodes of RFC 6455.
  CONTINUATION = frame.CONTINUATION, TEXT = frame.TEXT, BINARY = frame.BINARY,
  CLOSE = frame.CLOSE, PING = frame.PING, PONG = frame.PONG,
}
