--- What is sent: from the arguments of the application to the wire.
-- @classmod websockets.writing
local connection = require("websockets.connection.connection")
local errors = require("websockets.errors")
local response = require("websockets.server.response")
local session = require("websockets.connection.session")
local turn = require("websockets.turn.turn")

local writing = {}

local WRITE_TEXT, WRITE_BINARY, WRITE_CONTINUATION, WRITE_HTTP = 0, 1, 2, 3
local WRITE_CLOSE, WRITE_PING, WRITE_PONG = 4, 5, 6
local NO_FIN, IGNORE_MASK, NO_COMPRESSION = 0x40, 0x80, 0x100
local MAX_CONTROL_BYTES = 125

local OPCODES = {
  [WRITE_TEXT] = 1, [WRITE_BINARY] = 2, [WRITE_CONTINUATION] = 0, [WRITE_PING] = 9, [WRITE_PONG] = 10,
}

-- Inside a turn everything is sent at its end; outside of one, now.
local function settle(ws)
  if not ws.context.busy then turn.settle(ws.context) end
end

--- Takes a payload.
-- @tparam integer position of the argument
-- @tparam string name of the function that was called
-- @param value
-- @treturn string
-- @raise for what is no string or number
function writing.bytes_argument(position, name, value)
  if type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  errors.argument(position, name, "string", value, 4)
end

local function send_data(ws, opcode, data, fin, plain)
  local result, why = session.send(ws, opcode, data, fin, plain)
  -- Broadcasts to a connection in the middle of a fragmented message go their own way.
  if ws.state == "open" and ws.slot then ws.list.group:join(ws) end
  settle(ws)
  return result, why
end

--- Checks what an application gives to close with.
-- @rfc 6455 7.4.2
-- @tparam table ws
-- @param code
-- @param reason
-- @tparam string name of the function that was called
-- @tparam integer level of who called it
-- @raise for a code that applications may not send, or a reason that is not UTF-8 or too long
function writing.check_close(ws, code, reason, name, level)
  local is_known = type(code) == "number" and code % 1 == 0
    and ((code >= 1000 and code <= 1003) or (code >= 1007 and code <= 1014) or (code >= 3000 and code <= 4999))
  if not is_known then errors.argument(1, name, "close code 1000-1003, 1007-1014 or 3000-4999", code, level) end
  if reason ~= nil and (type(reason) ~= "string" or #reason > MAX_CONTROL_BYTES - 2
    or not ws.context.engine.valid_utf8(reason)) then
    errors.argument(2, name, "at most 123 bytes of UTF-8", reason, level)
  end
end

-- Everything but a whole text or binary message.
local function write_other(ws, data, kind)
  local plain = kind >= NO_COMPRESSION
  if plain then kind = kind - NO_COMPRESSION end
  if kind >= IGNORE_MASK then kind = kind - IGNORE_MASK end
  local fin = kind < NO_FIN
  if not fin then kind = kind - NO_FIN end
  local opcode = OPCODES[kind]
  if kind <= WRITE_CONTINUATION and opcode then return send_data(ws, opcode, data, fin, plain) end
  if not fin then return -1, "type" end
  local result, why = -1, "type"
  if kind == WRITE_HTTP then
    result, why = response.respond_raw(ws, data)
  elseif opcode then
    if #data > MAX_CONTROL_BYTES then errors.argument(1, "write", "at most 125 bytes in a control frame", #data, 4) end
    result, why = session.send_control(ws, opcode, data)
  elseif kind == WRITE_CLOSE then
    if ws.state == "http" then return -1, "type" end
    if ws.state ~= "open" then return -1, ws.state == "closed" and "closed" or "closing" end
    local code, reason = data:byte(1), data:sub(3)
    if code then
      code = code * 256 + (data:byte(2) or 0)
      writing.check_close(ws, code, reason, "write", 5)
    end
    connection.close(ws, code, reason)
    result, why = 0, nil
  end
  settle(ws)
  return result, why
end

--- Makes `ws:write`.
-- @tparam function quick `quick(wire, data, kind)` tells whether it has done it; what it leaves gets a closer look
-- @treturn function
function writing.over(quick)
  return function(self, data, kind)
    -- Nearly every write is a whole message inside a turn, on a connection without anything special.
    local plain = self.plain
    if plain and quick(plain, data, kind) then return 0 end
    if type(data) ~= "string" then data = writing.bytes_argument(1, "write", data) end
    if kind == nil then
      kind = WRITE_TEXT
    elseif type(kind) ~= "number" then
      errors.argument(2, "write", "WRITE_ number", kind)
    end
    if kind ~= WRITE_TEXT and kind ~= WRITE_BINARY then
      -- No tail call: the level of an error counts this function.
      local result, why = write_other(self, data, kind)
      return result, why
    end
    local result, why = session.send(self, kind + 1, data, true)
    if not self.context.busy then turn.settle(self.context) end
    return result, why
  end
end

--- Sends a message. It is queued and leaves at the end of the turn; it never blocks.
-- @tparam string|number data the payload; text must be UTF-8
-- @tparam[opt=WRITE_TEXT] integer kind one of the `WRITE_*` numbers; added to it `WRITE_NO_FIN` for a fragment,
-- `WRITE_NO_COMPRESSION` for a message to be sent as it is
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, `closing`, `full`, `utf8`, `fragment`, `type`, or `entropy` (a client without random
-- bytes for its mask)
-- @raise for a payload that is no string or number, or a control frame of more than 125 bytes
-- @rfc 6455 5.4, 5.6
-- @function writing:write
writing.write = writing.over(function() return false end)

--- Sends a ping; the answer comes to `on_pong`.
-- @tparam[opt=""] string data at most 125 bytes
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, `closing`, `full` or `type`
-- @rfc 6455 5.5.2
function writing:ping(data)
  data = data == nil and "" or writing.bytes_argument(1, "ping", data)
  if #data > MAX_CONTROL_BYTES then errors.argument(1, "ping", "at most 125 bytes", #data) end
  local result, why = write_other(self, data, WRITE_PING)
  return result, why
end

return writing
