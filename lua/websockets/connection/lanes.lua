--- Which of the connections that wait for their peer is given up first. Each kind has its lanes of timers; a lane is in
-- the order in which they began to wait.
-- @module websockets.connection.lanes
local lanes = {}

-- In the order in which they are given up: no request has been sent; everything is said; no further request has begun;
-- one has not ended; one has been answered, and the answer has not left.
local KINDS = { "handshake", "lingering", "keepalive", "body", "answer" }
-- What a peer does may be on its way for so long.
local PATIENCE_SECONDS = 1

-- A lane without end does not know since when: `since` is not a number then, and counts as long ago.
local function has_waited(context, since, seconds)
  local is_newer = since > context.now - seconds
  return not is_newer
end

-- Of two connections that which waits longer.
local function older(context, kind, found, found_since)
  for _, lane in pairs(context.timers.lanes[kind] or {}) do
    local ws, since = context.timers:oldest(lane)
    if ws and not (found and since >= found_since) then found, found_since = ws, since end
  end
  return found, found_since
end

--- Names the connection that is to be given up first: of the first kind with one that waits for a second, the one that
-- waits longest; where all have come within a second, the oldest of any kind.
-- @tparam table context
-- @tparam ?number least seconds that this last one has waited at least; nil: none of those
-- @treturn ?table ws
function lanes.oldest(context, least)
  local found, found_since
  for _, kind in ipairs(KINDS) do
    local ws, since = older(context, kind)
    if ws and has_waited(context, since, PATIENCE_SECONDS) then return ws end
    found, found_since = older(context, kind, found, found_since)
  end
  return found and least and has_waited(context, found_since, least) and found or nil
end

require("websockets.loading").interpret(older)

return lanes
