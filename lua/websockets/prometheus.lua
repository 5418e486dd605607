--- The metrics of a context for Prometheus. Called as `websockets.prometheus`.
-- @module websockets.prometheus
local errors = require("websockets.errors")
local exposition = require("websockets.http.exposition")
local metrics = require("websockets.metrics")

local prometheus = {}

local add, add_labelled, add_histogram = exposition.add, exposition.add_labelled, exposition.add_histogram

-- Numbers first, in their order; then "other".
local function sorted(counts)
  local numbers = {}
  for number in pairs(counts) do numbers[#numbers + 1] = number end
  table.sort(numbers, function(one, other)
    if type(one) == type(other) then return one < other end
    return type(one) == "number"
  end)
  return numbers
end

local function by_number(list, counts, name, ...)
  for _, number in ipairs(sorted(counts)) do
    local one = { counts[number], ... }
    one[#one + 1], one[#one + 2] = name, number
    list[#list + 1] = one
  end
  return list
end

local function write_connections(lines, now, limits)
  add(lines, "websockets_connections", "gauge",
    "Connections in any state, plain HTTP and those that this side opens included.", now.all)
  add(lines, "websockets_connections_open", "gauge", "Open WebSockets.", now.open)
  add(lines, "websockets_connections_half_open", "gauge",
    "Connections that have not finished their opening handshake.", now.half_open)
  add(lines, "websockets_connections_waiting", "gauge", "Connections whose peers do not take what waits for them.",
    now.waiting)
  add(lines, "websockets_connections_limit", "gauge", "The option max_connections.", limits.connections)
  add(lines, "websockets_connections_half_open_limit", "gauge", "The option max_half_open.", limits.half_open)
  add(lines, "websockets_connections_accepted_total", "counter", "Connections that the server has taken.",
    now.accepted)
  add(lines, "websockets_connections_turned_away_total", "counter",
    "Connections that were answered 503, or closed, because there was no room.", now.turned_away)
  add(lines, "websockets_connections_given_up_total", "counter",
    "Connections without an open WebSocket that were closed to make room for new ones.", now.given_up)
  add(lines, "websockets_opened_total", "counter", "WebSockets that were opened.", now.opened)
  add_labelled(lines, "websockets_closed_total", "counter", "WebSockets that have ended, by close code.",
    by_number({}, now.closed, "code"))
end

local function write_handshakes(lines, handshakes)
  local list = by_number({}, handshakes.server, "status", "role", "server")
  by_number(list, handshakes.client, "status", "role", "client")
  add_labelled(lines, "websockets_handshakes_total", "counter",
    "Answers to opening handshakes, by status and by the role of this side.", list)
end

local function write_traffic(lines, now)
  local received, sent = now.received, now.sent
  add_labelled(lines, "websockets_messages_total", "counter",
    "Whole messages that have come, or were queued to be sent.",
    { { received.messages, "direction", "received" }, { sent.messages, "direction", "sent" } })
  add_labelled(lines, "websockets_transferred_bytes_total", "counter",
    "Bytes that sockets have given and taken, HTTP included; with TLS as they are inside of it.",
    { { received.bytes, "direction", "received" }, { sent.bytes, "direction", "sent" } })
  add(lines, "websockets_messages_dropped_total", "counter", "Messages that were dropped because a peer did not read.",
    now.dropped)
end

local function write_memory(lines, now, limits)
  add(lines, "websockets_waiting_bytes", "gauge", "Bytes that wait in the queues of connections.", now.waiting_bytes)
  add(lines, "websockets_waiting_limit_bytes", "gauge", "The option max_buffered_total_bytes.", limits.waiting_bytes)
  add(lines, "websockets_topic_waiting_bytes", "gauge",
    "Bytes of topics that wait beside the queues of slow subscribers; they count for the same limit.",
    now.topics.waiting_bytes)
  add(lines, "websockets_unfinished_bytes", "gauge",
    "Bytes of messages and requests that have not come to their end.", now.unfinished_bytes)
  add(lines, "websockets_unfinished_limit_bytes", "gauge", "The option max_unfinished_total_bytes.",
    limits.unfinished_bytes)
end

local function write_topics(lines, topics, backplane)
  add(lines, "websockets_topics", "gauge", "Topics with subscribers in this process.", topics.count)
  add(lines, "websockets_subscriptions", "gauge", "Subscriptions in this process.", topics.subscriptions)
  if not backplane then return end
  if backplane.is_up ~= nil then
    add(lines, "websockets_backplane_up", "gauge", "1 while the back plane can be reached, else 0.",
      backplane.is_up and 1 or 0)
  end
  add(lines, "websockets_backplane_losses_total", "counter", "How often the connection to the back plane was lost.",
    backplane.losses)
  add(lines, "websockets_backplane_refused_total", "counter",
    "Messages for other processes that the back plane refused; without those of topics with a history.",
    backplane.refused)
end

--- Writes the metrics of a context.
-- @tparam table context
-- @treturn string in the text format, version 0.0.4
function prometheus.text(context)
  local now, lines = metrics.read(context), exposition.new()
  add_labelled(lines, "websockets_info", "gauge", "Always 1; names the engine and the Lua.",
    { { 1, "engine", now.engine, "lua", rawget(_G, "jit") and "LuaJIT" or _VERSION } })
  write_connections(lines, now.connections, now.limits)
  write_handshakes(lines, now.handshakes)
  write_traffic(lines, now)
  write_memory(lines, now, now.limits)
  write_topics(lines, now.topics, now.backplane)
  add_histogram(lines, "websockets_ping_round_trip_seconds", "Times from pings to their pongs.", now.round_trips)
  add_histogram(lines, "websockets_turn_duration_seconds",
    "How long turns took, without the waiting: while one lasts nothing else is served.", now.turns)
  return exposition.text(lines)
end

--- Makes a handler for `on_http` that answers with the metrics of a context, as Prometheus reads them.
-- @tparam[opt] table context nil: the one that the request comes to
-- @treturn function `fn(ws, uri, method)`; GET and HEAD get 200, other methods 405, and 503 when the context is
-- destroyed
-- @raise for anything but a context
function prometheus.new(context)
  if context ~= nil and not (type(context) == "table" and context.agenda) then
    errors.argument(1, "prometheus", "context", context, 3)
  end
  return function(ws, _, method)
    local measured = context or ws.context
    if method ~= "GET" and method ~= "HEAD" then return ws:respond(405, { Allow = "GET, HEAD" }, "") end
    if measured.destroyed then return ws:respond(503, nil, "the context is destroyed") end
    return ws:respond(200, { ["Content-Type"] = exposition.TYPE }, prometheus.text(measured))
  end
end

require("websockets.loading").interpret(sorted)

return prometheus
