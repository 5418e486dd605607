--- What a context has counted. Reading it costs the same however many connections there are.
-- @classmod websockets.metrics
local errors = require("websockets.errors")

local metrics = {}

local function copy(counts)
  local made = {}
  for number, count in pairs(counts.by_number) do made[number] = count end
  return made
end

local function connections_of(context)
  local tally = context.tally
  return {
    all = context.connection_count, open = tally.open, half_open = (context.timers:running(context.half_open)),
    waiting = context.agenda.blocked_count, accepted = tally.accepted, turned_away = tally.turned_away,
    given_up = tally.given_up, opened = tally.opened, closed = copy(tally.closes),
  }
end

local function topics_of(context)
  local index = context.subscriptions
  return {
    count = index and index.topic_count or 0, subscriptions = index and index.total or 0,
    waiting_bytes = index and index.backlog.bytes or 0,
  }
end

local function backplane_of(context)
  local given = context.settings.backplane
  if not given then return nil end
  local plane = context.pubsub.plane
  local told = { losses = plane.losses, refused = plane.refusals }
  -- One of the application's does not tell whether it can be reached.
  if not given.own then told.is_up = plane.is_up end
  return told
end

--- Tells what the context has counted since it was made, and how much there is of what it limits.
-- @function context:metrics
-- @tparam table context
-- @treturn table a copy; docs/metrics.md lists its fields
-- @raise `websocket context destroyed`
function metrics.read(context)
  errors.check_object(context, "agenda", "context:metrics")
  if context.destroyed then error("websocket context destroyed", 2) end
  local settings, tally, wires = context.settings, context.tally, context.wire_class
  local received, received_bytes, sent, sent_bytes = wires.traffic(context.hub)
  return {
    engine = context.engine.name,
    connections = connections_of(context),
    handshakes = { server = copy(tally.handshakes.server), client = copy(tally.handshakes.client) },
    received = { messages = received, bytes = received_bytes },
    sent = { messages = sent, bytes = sent_bytes },
    dropped = context.agenda.drops.total,
    waiting_bytes = wires.buffered_total(context.hub), unfinished_bytes = context.budget:used(),
    topics = topics_of(context), backplane = backplane_of(context),
    limits = {
      connections = settings.max_connections, half_open = settings.max_half_open,
      waiting_bytes = settings.max_buffered_total_bytes, unfinished_bytes = settings.max_unfinished_total_bytes,
    },
    round_trips = tally.round_trips:read(), turns = wires.durations(context.hub):read(),
  }
end

require("websockets.loading").interpret(copy)

return metrics
