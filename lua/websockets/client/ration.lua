--- How many steps of TLS handshakes clients do in a turn: each may take half a millisecond of the processor, and others
-- wait meanwhile.
-- @module websockets.client.ration
local ration = {}

local STEPS_A_TURN = 4

--- Makes the function that limits the steps of TLS handshakes; those beyond wait for the next turn.
-- @tparam table context
-- @treturn function `may_begin()`, which counts what it allows
function ration.new(context)
  local turn, count = 0, 0
  return function()
    if turn ~= context.turn then turn, count = context.turn, 0 end
    count = count + 1
    return count <= STEPS_A_TURN
  end
end

return ration
