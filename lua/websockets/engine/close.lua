--- The payload of a close frame: which close codes may be sent, how code and reason are written and read.
-- @module websockets.engine.close
-- @rfc 6455 7.4
local close = {}

local byte, char, floor, sub = string.byte, string.char, math.floor, string.sub

local NO_STATUS = 1005

--- Tells whether a close frame may carry a code; the rule is the same for the application and for the peer.
-- @rfc 6455 7.4.1
-- @rfc 6455 7.4.2
-- @param code
-- @treturn boolean
function close.may_send(code)
  return type(code) == "number" and code % 1 == 0
    and (code >= 1000 and code <= 1003 or code >= 1007 and code <= 1014 or code >= 3000 and code <= 4999)
end

--- Writes the payload.
-- @rfc 6455 5.5.1
-- @tparam ?integer code nil for an empty payload
-- @tparam[opt=""] string reason UTF-8, at most 123 bytes
-- @treturn string
function close.payload(code, reason)
  if not code then return "" end
  return char(floor(code / 256), code % 256) .. (reason or "")
end

--- Reads a payload.
-- @rfc 6455 5.5.1
-- @rfc 6455 7.1.5
-- @tparam string payload
-- @treturn[1] integer code, 1005 for an empty payload
-- @treturn[1] string reason
-- @treturn[2] nil the payload has one byte, which is not a code
function close.read(payload)
  if payload == "" then return NO_STATUS, "" end
  local high, low = byte(payload, 1, 2)
  if not low then return nil end
  return high * 256 + low, sub(payload, 3)
end

return close
