--- A peer of a test: the other end of a connection of a context. It keeps the rules as long as it is not told to break
-- them: it answers pings and close frames by itself. `context:peer` makes those that connect to the context,
-- `server:accept` those that the context has connected to.
--
-- Fields: `subprotocol`; `pings`, `pongs`: lists of the payloads that came; of a peer that connects `status` and
-- `headers` of the answer; of a peer of a fake server `request`: `method`, `uri`, `headers`.
-- @classmod websockets.testing.peer
local errors = require("websockets.errors")
local far_end = require("websockets.testing.far_end")
local frame = require("websockets.testing.frame")
local kinds = require("websockets.protocol.kinds")
local session = require("websockets.protocol.session")

local peer = setmetatable({}, { __index = far_end })
peer.__index = peer

local CLOSE, PING = 8, 9

--- Makes a peer, for the modules of `websockets.testing`.
-- @param ... as for `far_end.new`
-- @treturn peer
function peer.new(...)
  return far_end.new(peer, ...)
end

local function check(self, name)
  errors.check_object(self, "inbox", "peer:" .. name, 4)
end

local function check_open(self, name)
  if self.state == "http" then error(name .. " needs an open WebSocket, and this peer has none yet", 3) end
end

--- Sends a message.
-- @tparam string data
-- @tparam[opt=WRITE_TEXT] integer kind `WRITE_TEXT` or `WRITE_BINARY`
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `closed`
-- @raise the error of a callback; for a peer whose WebSocket is not open yet
function peer:send(data, kind)
  check(self, "send")
  if type(data) ~= "string" then errors.argument(1, "send", "string", data) end
  if kind ~= nil and kind ~= kinds.TEXT and kind ~= kinds.BINARY then
    errors.argument(2, "send", "WRITE_TEXT or WRITE_BINARY", kind)
  end
  check_open(self, "send")
  -- What is no UTF-8 is for `send_frame`.
  if kind ~= kinds.BINARY and not self.engine.valid_utf8(data) then errors.argument(1, "send", "UTF-8", data) end
  return self:say(self.wire.push, kinds.OPCODES[kind or kinds.TEXT], data)
end

--- Sends a ping.
-- @tparam[opt=""] string data
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `closed`
-- @raise the error of a callback; for a peer whose WebSocket is not open yet
function peer:ping(data)
  check(self, "ping")
  check_open(self, "ping")
  return self:say(self.wire.push, PING, data or "")
end

--- Sends one frame, as right or wrong as it is told.
-- @tparam table given `opcode` (1), `payload` (""), `fin` (true), `rsv` (0: sum of 4, 2, 1), `masked` (as the role
-- asks for), `first_bytes`: only so many bytes of the frame leave. After
-- a half it answers nothing by itself until more is sent
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `closed`
-- @raise the error of a callback; for a wrong field
function peer:send_frame(given)
  check(self, "send_frame")
  if type(given) ~= "table" then errors.argument(1, "send_frame", "table", given) end
  local bytes, is_half = frame.encode(given, self.role == "client", self.engine, 3)
  return self:say(function(wire)
    wire:raw(bytes)
    self.is_amid = is_half
  end)
end

--- Sends bytes as they are.
-- @tparam string bytes
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `closed`
-- @raise the error of a callback
function peer:send_bytes(bytes)
  check(self, "send_bytes")
  if type(bytes) ~= "string" then errors.argument(1, "send_bytes", "string", bytes) end
  return self:say(self.wire.raw, bytes)
end

--- Takes the next message, as `ws:receive` of a client for scripts does.
-- @tparam[opt=0] number seconds that may pass on the clock of the test until one comes
-- @treturn[1] string message
-- @treturn[1] integer kind `WRITE_TEXT` or `WRITE_BINARY`
-- @treturn[2] nil
-- @treturn[2] string `timeout`
-- @treturn[3] nil
-- @treturn[3] string `closed`: the connection has ended, and all messages were taken
-- @treturn[3] integer close code that came; 1006 without a close frame
-- @treturn[3] string reason
-- @raise the error of a callback
function peer:receive(seconds)
  check(self, "receive")
  if seconds ~= nil and not (type(seconds) == "number" and seconds >= 0) then
    errors.argument(1, "receive", "number of seconds from 0", seconds)
  end
  local function is_done() return self.inbox[1] or self.state == "closed" end
  self.network:advance(is_done() and 0 or seconds or 0, is_done)
  local message = table.remove(self.inbox, 1)
  if message then return message[1], message[2] end
  if self.state ~= "closed" and not self.has_closed then return nil, "timeout" end
  return nil, "closed", self.code, self.reason
end

--- Takes all messages that have come.
-- @treturn {string,...}
-- @raise the error of a callback
function peer:receive_all()
  check(self, "receive_all")
  self.network:settle()
  local list = {}
  for place, message in ipairs(self.inbox) do list[place] = message[1] end
  self.inbox = {}
  return list
end

--- Takes the bytes that came without a WebSocket, on a peer with `handshake = false`.
-- @treturn string
-- @raise the error of a callback
function peer:receive_bytes()
  check(self, "receive_bytes")
  self.network:settle()
  local bytes = table.concat(self.bytes)
  self.bytes = {}
  return bytes
end

--- Closes the WebSocket, as RFC 6455 asks for.
-- @tparam[opt] integer code any, also one that may not be sent; none: a close frame without code
-- @tparam[opt=""] string reason
-- @treturn[1] boolean true: both close frames were exchanged
-- @treturn[1] integer code of the context's, 1005 for none
-- @treturn[1] string reason
-- @treturn[2] nil
-- @treturn[2] string `timeout`: no close frame has come yet; `closed`: the connection has ended without one
-- @raise the error of a callback; for a peer whose WebSocket is not open yet
function peer:close(code, reason)
  check(self, "close")
  check_open(self, "close")
  if self.state == "open" and not self.wire.said_close then
    self:say(self.wire.push, CLOSE, session.close_payload(code, reason))
  end
  if self.has_closed then return true, self.code, self.reason end
  return nil, self.state == "closed" and "closed" or "timeout"
end

--- Ends the connection without a close frame.
-- @raise the error of a callback
function peer:disconnect()
  check(self, "disconnect")
  self:finish()
  self.network:settle()
end

--- Resets the connection, as a system does for a program that crashed.
-- @raise the error of a callback
function peer:reset()
  check(self, "reset")
  self:finish(0)
  self.network:settle()
end

--- Loses its network: nothing comes any more and nothing arrives, and nobody is told.
function peer:vanish()
  check(self, "vanish")
  self.is_gone = true
  self.transport:cut()
end

--- Reads nothing from now on. When the connection holds as many bytes as it can (`capacity`), the context has to wait.
function peer:pause()
  check(self, "pause")
  self.is_paused = true
end

--- Reads again.
-- @raise the error of a callback
function peer:resume()
  check(self, "resume")
  self.is_paused = false
  self.network:settle()
end

--- Tells whether its WebSocket is open: not before the answer to its opening handshake, not after a close frame.
-- @treturn boolean
function peer:is_open()
  check(self, "is_open")
  return self.state == "open" and not self.has_closed
end

return peer
