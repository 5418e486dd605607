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

-- Messages of topics that wait beside the queues.
local function backlog_of(context)
  return context.subscriptions and context.subscriptions.backlog
end

-- All that waits, past a limit.
local function excess_of(context, limit)
  local backlog = backlog_of(context)
  return context.wire_class.excess(context.hub, limit) + (backlog and backlog.bytes or 0)
end

local function waiting(ws)
  local backlog = backlog_of(ws.context)
  return ws.wire:buffered() + (backlog and backlog:size(ws) or 0)
end

-- The connections that wait for their peers, the largest queue first.
local function by_size(agenda)
  local list, size = {}, {}
  for i = 1, agenda.blocked_count do
    local ws = agenda.blocked[i]
    list[i], size[ws] = ws, waiting(ws)
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
  local backlog = backlog_of(ws.context)
  if backlog then too_much = too_much - backlog:drop(ws, too_much) end
  if too_much > 0 then outbox.make_room(ws, too_much, true) end
  ws.context.agenda:touch(ws)
end

-- What a connection still holds that has been told to end goes within `close_timeout`: no other has to end for it.
local function leaving(ws)
  local state = ws.state
  return (state == "closing" or state == "draining") and ws.wire:buffered() or 0
end

local function total_leaving(agenda)
  local bytes = 0
  for i = 1, agenda.blocked_count do bytes = bytes + leaving(agenda.blocked[i]) end
  return bytes
end

local function reduce(context, limit, step, spared)
  for _, ws in ipairs(by_size(context.agenda)) do
    local too_much = excess_of(context, limit) - context.relief.abandoned - spared
    if too_much <= 0 then return end
    local before = leaving(ws)
    if ws.state ~= "closed" then step(ws, too_much) end
    if step == by_policy then spared = spared + leaving(ws) - before end
  end
end

--- Makes room: the largest queue first, by its policy. What has begun to leave cannot be dropped: it may take as much
-- again; past that, connections are ended.
-- @tparam table context
function relief.give(context)
  local limit, state = context.settings.max_buffered_total_bytes, context.relief
  local excess = excess_of(context, limit)
  -- What could not be helped the last time is looked at again only when it has become more.
  if excess <= state.accepted then
    if excess <= 0 then state.accepted = 0 end
    return
  end
  reduce(context, limit, by_policy, total_leaving(context.agenda))
  reduce(context, 2 * limit, abandon, 0)
  state.accepted = math.max(0, excess_of(context, limit))
end

return relief
