--- What happens when all that waits to be sent passes the limit of a context.
-- @module websockets.turn.relief
local connection = require("websockets.connection.connection")
local ending = require("websockets.connection.ending")
local session = require("websockets.connection.session")

local relief = {}

-- Those whose peers take nothing, the largest queue first.
local function by_size(context)
  local list, size = {}, {}
  for i = 1, context.blocked_count do
    local ws = context.blocked[i]
    list[i], size[ws] = ws, ws.wire:buffered()
  end
  table.sort(list, function(one, other) return size[one] > size[other] end)
  return list
end

-- What it held counts no more, though it is given back only when the wire is closed, at the end of the turn.
local function abandon(ws)
  local context = ws.context
  context.abandoned = context.abandoned + ws.wire:buffered()
  ending.abort(ws, "slow")
end

local function by_policy(ws, too_much)
  local policy = ws.settings.slow_consumer
  -- An answer to an HTTP request has nothing that could be left out.
  if ws.state ~= "open" then return abandon(ws) end
  if policy == "close" or policy == "conflate" then
    session.overflow(ws)
  else
    ws.wire:drop(too_much)
  end
  connection.flush(ws)
end

local function reduce(context, limit, step)
  for _, ws in ipairs(by_size(context)) do
    local too_much = context.wire_class.excess(context.hub, limit) - context.abandoned
    if too_much <= 0 then return end
    if ws.state ~= "closed" then step(ws, too_much) end
  end
end

--- Makes room: the largest queue first, by its policy. What has begun to leave cannot be dropped: it may take as much
-- again, past that connections are ended.
-- @tparam table context
function relief.give(context)
  local limit = context.settings.max_buffered_total_bytes
  local excess = context.wire_class.excess(context.hub, limit)
  -- What could not be helped last time is looked at again only when it has become more.
  if excess <= context.relieved then
    if excess <= 0 then context.relieved = 0 end
    return
  end
  reduce(context, limit, by_policy)
  reduce(context, 2 * limit, abandon)
  context.relieved = math.max(0, context.wire_class.excess(context.hub, limit))
end

return relief
