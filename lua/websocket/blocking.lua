--- A connection of `websockets.connect` under the methods of `websocket.sync`.
-- @module websocket.blocking
local sending = require("websocket.sending")
local socket_of = require("websocket.socket")

local blocking = {}
blocking.__index = blocking

local ABNORMAL = 1006

--- Makes a link.
-- @tparam table ws of `websockets.connect`
-- @tparam ?number timeout seconds that `receive` waits
-- @tparam ?integer port of the peer
-- @treturn blocking with the field `sock`
function blocking.new(ws, timeout, port)
  local self = setmetatable({ ws = ws, sock = socket_of.new(ws, { port = port }), ahead = false }, blocking)
  self.sock:settimeout(timeout)
  function self.sock.has_message() return self:look() end
  return self
end

-- Whether `receive` would return at once.
function blocking:look()
  if not self.ahead then
    local message, kind = self.ws:receive(0)
    if message then self.ahead = { message, kind } end
    return message ~= nil or kind == "closed"
  end
  return true
end

-- How the connection ended.
local function outcome(self)
  local is_clean, code, reason, other = self.ws:close()
  if is_clean then return true, code, reason end
  return false, reason or ABNORMAL, other ~= "" and other or code
end

--- As `receive` of `websocket.raw`.
function blocking:receive()
  local message, kind
  if self.ahead then
    message, kind, self.ahead = self.ahead[1], self.ahead[2], false
  else
    message, kind = self.ws:receive(self.sock.timeout)
  end
  if message then return message, sending.opcode(kind) end
  if kind == "timeout" then return nil, false, false, ABNORMAL, kind end
  return nil, true, outcome(self)
end

--- As `send` of `websocket.raw`.
function blocking:send(data, opcode) return sending.send(self.ws, data, opcode) end

--- As `close` of `websocket.raw`.
function blocking:close(code, reason)
  local is_clean, second, third, fourth = self.ws:close(code, reason)
  if is_clean then return true, second, third end
  return false, third or ABNORMAL, fourth ~= "" and fourth or second
end

return blocking
