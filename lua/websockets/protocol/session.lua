--- WebSocket after the opening handshake, without sockets and without time: what each message from the peer means, and
-- which frame of ours may follow which.
-- @module websockets.protocol.session
-- @rfc 6455 5 to 7
local errors = require("websockets.errors")

local session = {}

local byte, char, floor, sub = string.byte, string.char, math.floor, string.sub

local CONTINUATION, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
local NO_STATUS = 1005
local MAX_REASON_BYTES = 123

-- The code words of the faults that a reader finds, by close code.
local FAULTS = { [1011] = "error", [1002] = "protocol", [1007] = "utf8", [1009] = "too_big" }

--- Writes the payload of a close frame.
-- @rfc 6455 5.5.1
-- @tparam ?integer code nil for an empty payload
-- @tparam[opt=""] string reason UTF-8, at most 123 bytes
-- @treturn string
function session.close_payload(code, reason)
  if not code then return "" end
  return char(floor(code / 256), code % 256) .. (reason or "")
end

--- Says what is wrong with the reason of a close frame that the application sends.
-- @rfc 6455 5.5, 5.5.1
-- @param reason
-- @tparam function valid_utf8 of the engine
-- @treturn ?string nil if it may be sent
function session.reason_fault(reason, valid_utf8)
  if type(reason) ~= "string" then return errors.describe(reason) end
  if #reason > MAX_REASON_BYTES then return #reason .. " bytes" end
  return not valid_utf8(reason) and "bytes that are not UTF-8" or nil
end

--- Reads the payload of a close frame.
-- @rfc 6455 5.5.1
-- @rfc 6455 7.1.5
-- @tparam string payload
-- @treturn[1] integer code, 1005 for an empty payload
-- @treturn[1] string reason
-- @treturn[2] nil the payload has one byte, which is not a code
function session.read_close(payload)
  if payload == "" then return NO_STATUS, "" end
  local high, low = byte(payload, 1, 2)
  if not low then return nil end
  return high * 256 + low, sub(payload, 3)
end

-- RFC 6455 5.5.1, 7.1.5: the peer's close frame is answered with its own code, and its code is the connection's.
local function receive_close(payload)
  local code, reason = session.read_close(payload)
  return "close", { code = code, reason = reason, clean = true, why = "closed" }, payload:sub(1, 2)
end

--- Tells what a message or control frame from the peer leads to, in a connection that has not failed.
-- @rfc 6455 5.5
-- @tparam boolean is_open false once our close frame is queued: nothing but the peer's close frame counts then
-- @tparam integer opcode 1, 2, 8, 9, 10; or the close code of a fault that the reader found
-- @tparam string payload, or what was wrong
-- @treturn[1] nil nothing follows
-- @treturn[2] string `message` or `pong`: to be delivered
-- @treturn[2] string payload
-- @treturn[2] ?integer kind `WRITE_TEXT` or `WRITE_BINARY`, for a message
-- @treturn[3] string `answer`: a control frame is to be sent
-- @treturn[3] integer opcode
-- @treturn[3] string payload
-- @treturn[4] string `close`: the peer has closed the connection
-- @treturn[4] table outcome `code`, `reason`, `clean`, `why`
-- @treturn[4] string payload of the close frame that answers, where ours has not been sent yet
-- @treturn[5] string `fail`: the peer broke a rule
-- @treturn[5] integer close code
-- @treturn[5] string what was wrong
-- @treturn[5] string code word
function session.receive(is_open, opcode, payload)
  if opcode == CLOSE then return receive_close(payload) end
  if opcode > PONG then return "fail", opcode, payload, FAULTS[opcode] end
  if not is_open then return nil end
  if opcode == PING then return "answer", PONG, payload end
  if opcode == PONG then return "pong", payload end
  return "message", payload, opcode - 1
end

--- Tells where a data frame that the application sends belongs.
-- @rfc 6455 5.4
-- @tparam ?table fragment the message that is being sent in fragments, false or nil for none
-- @tparam integer opcode 0, 1 or 2
-- @tparam boolean fin
-- @treturn[1] string `whole` (a message), `first` or `next` (a fragment), `later`: a message that must wait for the
-- last fragment of another one
-- @treturn[2] nil it may not be sent: a second fragmented message, or a continuation without a first fragment
function session.place(fragment, opcode, fin)
  if fragment and not fragment.is_begun then fragment = nil end
  if opcode == CONTINUATION then return fragment and "next" or nil end
  if not fragment then return fin and "whole" or "first" end
  return fin and "later" or nil
end

--- Tells whether a whole message may be sent: text is UTF-8.
-- @rfc 6455 5.6
-- @tparam integer opcode 1 or 2
-- @tparam string payload
-- @tparam function valid_utf8 of the engine
-- @treturn boolean
function session.may_send(opcode, payload, valid_utf8)
  return opcode ~= TEXT or valid_utf8(payload)
end

--- Begins a message that is sent in fragments.
-- @rfc 6455 5.4
-- @tparam integer opcode 1 or 2
-- @treturn table fragment
function session.new_fragment(opcode)
  return { is_text = opcode == TEXT, utf8 = 0, held = {}, held_bytes = 0, is_begun = false }
end

--- Checks the next fragment of a message: text must be UTF-8 as a whole.
-- @rfc 6455 5.6, 8.1
-- @tparam table fragment
-- @tparam string payload
-- @tparam boolean fin
-- @tparam function utf8_next of the engine
-- @treturn[1] integer state of the check after this payload
-- @treturn[2] nil it is not UTF-8
function session.check_fragment(fragment, payload, fin, utf8_next)
  if not fragment.is_text then return 0 end
  local state = utf8_next(fragment.utf8, payload, 1, #payload)
  return state and not (fin and state ~= 0) and state or nil
end

return session
