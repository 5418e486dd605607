--- Close codes: which of them a close frame may carry.
-- @module websockets.engine.close
-- @rfc 6455 7.4
local close = {}

--- Tells whether a close frame may carry a code; the rule is the same for the application and for the peer.
-- @rfc 6455 7.4.1
-- @rfc 6455 7.4.2
-- @param code
-- @treturn boolean
function close.may_send(code)
  return type(code) == "number" and code % 1 == 0
    and (code >= 1000 and code <= 1003 or code >= 1007 and code <= 1014 or code >= 3000 and code <= 4999)
end

return close
