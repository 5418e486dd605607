--- What a connection does with bytes while it exchanges no messages: before its WebSocket is open, and once nothing
-- more is said.
-- @module websockets.turn.bytes
local descriptor = require("websockets.connection.descriptor")
local lifecycle = require("websockets.connection.lifecycle")

local bytes = {}

--- dialling: goes on connecting.
-- @tparam table ws
function bytes.advance(ws)
  ws.phase:advance(ws)
end

--- http: gives the phase what has come.
-- @tparam table ws
function bytes.read(ws)
  local phase = ws.phase
  -- A file that is being sent, and requests that wait, go on without reading.
  if ws.paused then return phase:feed(ws, "") end
  local received, why, message = ws.wire:receive()
  if received then
    if why then ws.context.agenda:again(ws) end
    phase:feed(ws, received)
  elseif why == "timeout" then
    descriptor.follow(ws)
    phase:feed(ws, "")
  elseif why == "closed" then
    phase:ended(ws)
  else
    phase:failed(ws, why, message)
  end
end

--- draining, lingering: throws away what comes.
-- @tparam table ws
function bytes.discard(ws)
  local received, why = ws.wire:receive()
  if received then
    if why then ws.context.agenda:again(ws) end
  elseif why == "timeout" then
    descriptor.follow(ws)
  elseif why == "closed" and ws.wire:buffered() > 0 then
    lifecycle.half_closed(ws)
  else
    lifecycle.abort(ws, why)
  end
end

return bytes
