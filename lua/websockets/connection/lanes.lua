--- Lanes of timers for connections that wait for their peer and can be given up for a new one. A lane is in the order
-- in which they began to wait.
-- @module websockets.connection.lanes
local lanes = {}

-- In the order in which they are given up.
local KINDS = { "handshake", "lingering", "keepalive", "body", "answer" }
-- What a peer does may be on its way for so long.
local PATIENCE_SECONDS = 1

--- Makes the lanes of a context.
-- @tparam table half_open the lane of connections that have not sent their first request
-- @treturn table kind -> lanes by their seconds
function lanes.new(half_open)
  local made = {}
  for _, kind in ipairs(KINDS) do made[kind] = {} end
  made.handshake[half_open.seconds] = half_open
  return made
end

--- Gives a lane, for `lifecycle.deadline`.
-- @tparam table context
-- @tparam string kind `lingering`: everything is said; `keepalive`: no request has begun; `body`: one has not ended;
-- `answer`: one has been answered, and the answer has not left
-- @tparam number|boolean seconds false: without end
-- @treturn table
function lanes.of(context, kind, seconds)
  local known = context.lanes[kind]
  seconds = seconds or math.huge
  local lane = known[seconds]
  if not lane then
    lane = { seconds = seconds }
    known[seconds] = lane
  end
  return lane
end

-- A lane without end does not know since when: `since` is not a number then, and counts as long ago.
local function has_waited(context, since, seconds)
  local is_newer = since > context.now - seconds
  return not is_newer
end

-- Of two connections that which waits longer.
local function older(context, kind, found, found_since)
  for _, lane in pairs(context.lanes[kind]) do
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

return lanes
