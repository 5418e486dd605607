--- What happens when all that waits to be sent passes the limit of a context.
-- @module websockets.turn.relief
local lifecycle = require("websockets.connection.lifecycle")
local outbox = require("websockets.connection.outbox")

local relief = {}

--- Makes what relief keeps for a context: bytes of connections that were given up this turn, and the excess that could
-- not be helped the last time.
-- @treturn table
function relief.new()
  return { abandoned = 0, accepted = 0 }
end

-- The connections that wait for their peers, the largest queue first.
local function by_size(agenda)
  local list, size = {}, {}
  for i = 1, agenda.blocked_count do
    local ws = agenda.blocked[i]
    list[i], size[ws] = ws, ws.wire:buffered()
  end
  table.sort(list, function(one, other) return size[one] > size[other] end)
  return list
end

-- What the connection held no longer counts, though it is given back only when the wire is closed, at the end of the
-- turn.
local function abandon(ws)
  local state = ws.context.relief
  state.abandoned = state.abandoned + ws.wire:buffered()
  lifecycle.abort(ws, "slow")
end

local function by_policy(ws, too_much)
  -- An answer to an HTTP request has nothing that could be left out.
  if ws.state ~= "open" then return abandon(ws) end
  outbox.make_room(ws, too_much, true)
  ws.context.agenda:touch(ws)
end

local function reduce(context, limit, step)
  for _, ws in ipairs(by_size(context.agenda)) do
    local too_much = context.wire_class.excess(context.hub, limit) - context.relief.abandoned
    if too_much <= 0 then return end
    if ws.state ~= "closed" then step(ws, too_much) end
  end
end

--- Makes room: the largest queue first, by its policy. What has begun to leave cannot be dropped: it may take as much
-- again; past that, connections are ended.
-- @tparam table context
function relief.give(context)
  local limit, state = context.settings.max_buffered_total_bytes, context.relief
  local excess = context.wire_class.excess(context.hub, limit)
  -- What could not be helped the last time is looked at again only when it has become more.
  if excess <= state.accepted then
    if excess <= 0 then state.accepted = 0 end
    return
  end
  reduce(context, limit, by_policy)
  reduce(context, 2 * limit, abandon)
  state.accepted = math.max(0, context.wire_class.excess(context.hub, limit))
end

return relief
