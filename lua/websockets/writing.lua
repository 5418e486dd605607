--- What `ws:write` does with fragments, control frames and answers to HTTP requests; the check of a close frame.
-- @module websockets.writing
local close_codes = require("websockets.engine.close")
local connection = require("websockets.connection.connection")
local errors = require("websockets.errors")
local kinds = require("websockets.protocol.kinds")
local outbox = require("websockets.connection.outbox")
local response = require("websockets.server.response")
local session = require("websockets.protocol.session")

local writing = {}

local OPCODES = kinds.OPCODES
local MAX_CONTROL_BYTES = 125

--- Checks what a close frame is to say.
-- @tparam table ws
-- @tparam integer code
-- @tparam ?string reason
-- @tparam string name of the method that is to blame
-- @tparam integer level of its caller, as for `error`
-- @raise for a code that may not be sent, or a reason that is not UTF-8 or too long
function writing.check_close(ws, code, reason, name, level)
  if not close_codes.may_send(code) then
    errors.argument(1, name, "close code 1000-1003, 1007-1014 or 3000-4999", code, level)
  end
  local fault = reason ~= nil and session.reason_fault(reason, ws.context.engine.valid_utf8)
  -- A close frame that `write` is given is one argument.
  local position = name == "close" and 2 or 1
  if fault then errors.argument(position, name, "close reason of at most 123 bytes of UTF-8", nil, level, fault) end
end

local function write_close(ws, payload)
  if ws.state ~= "open" and not ws.comeback then return outbox.refuse(ws) end
  local code, reason
  if payload ~= "" then
    code, reason = session.read_close(payload)
    -- One byte is no code.
    writing.check_close(ws, code or payload:byte(), reason, "write", 6)
  end
  connection.close(ws, code, reason)
  return 0
end

--- Writes what is no whole text or binary message.
-- @tparam table ws
-- @tparam string data
-- @tparam number number one of the `WRITE_*` numbers and what is added to it
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string as `ws:write`
function writing.other(ws, data, number)
  local kind, fin, plain = kinds.split(number)
  local opcode = OPCODES[kind]
  if opcode and opcode <= 2 then return outbox.send(ws, opcode, data, fin, plain) end
  if not fin then return -1, "type" end
  if kind == kinds.HTTP then return response.respond_raw(ws, data) end
  local result, why = -1, "type"
  if kind == kinds.CLOSE then
    -- No tail call: the level of an error counts this function.
    result, why = write_close(ws, data)
  elseif opcode then
    if #data > MAX_CONTROL_BYTES then
      errors.argument(1, "write", "at most 125 bytes in a control frame", data, 4, #data .. " bytes")
    end
    result, why = outbox.send_control(ws, opcode, data)
  end
  return result, why
end

return writing
