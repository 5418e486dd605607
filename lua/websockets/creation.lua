--- What a context is made of.
-- @module websockets.creation
local agenda = require("websockets.connection.agenda")
local capacity = require("websockets.server.capacity")
local clock = require("websockets.connection.clock")
local delivery = require("websockets.turn.delivery")
local engine = require("websockets.engine.loader")
local entry = require("websockets.turn.entry")
local group = require("websockets.connection.group")
local hosted = require("websockets.turn.hosted")
local load = require("websockets.loading").load
local options = require("websockets.options.context")
local outside = require("websockets.turn.outside")
local relief = require("websockets.turn.relief")
local operations = require("websockets.operations")
local request = require("websockets.request")
local routes = require("websockets.options.routes")
local sockets = require("websockets.transport.sockets")
local tally = require("websockets.connection.tally")
local timers = require("websockets.connection.timers")
local unfinished = require("websockets.connection.unfinished")

local creation = {}

-- What carries bytes: a library with a poller of its own, else the accelerator where it is, else LuaSocket. Returns
-- what the system lacks, nil for nothing.
local function add_sockets(self, settings)
  local on_uv = self.sockets.name == "uv"
  local is_native = self.engine.name == "native" and not (self.sockets.poller or on_uv)
  self.wire_class = require(is_native and "websockets.wire.native" or "websockets.wire.stream")
  local why
  self.hub, why = self.wire_class.hub(settings)
  if not self.hub then return why end
  -- Here, because looking it up as a method of the wire costs each message more.
  self.write_fast, self.write_other = self.wire_class.write, self.wire_class.write_other
  self.budget = self.wire_class.budget(self.hub, settings.max_unfinished_total_bytes)
  local name = is_native and "websockets.poller.native" or on_uv and "websockets.poller.uv"
  local poller = self.sockets.poller or load(name or "websockets.poller.select")
  self.poller = poller.new(self.hub, self.owners)
  -- What `service` does.
  self.enter = entry.service_with(self.poller)
end

local function choose_engine(settings)
  local chosen, refusal = engine.choose()
  return settings.compression and engine.that_compresses(chosen) or chosen, refusal
end

--- Makes the fields of a context, which do not listen yet.
-- @tparam table settings see `websockets.options.context`
-- @tparam table class of its connections
-- @tparam integer level of the caller of the caller, as for `error`
-- @tparam[opt] table library see `websockets.transport.sockets`
-- @treturn table
-- @raise `websocket could not create context: ` and what the system lacks
function creation.state(settings, class, level, library)
  local chosen, refusal = choose_engine(settings)
  local self = {
    sockets = library or options.check_sockets(settings, sockets.choose(settings.sockets), level + 2),
    settings = settings, engine = chosen, ws_class = class, request_of = request.of,
    give_way = operations.give_way,
    -- What an outside loop is told by: `websockets.turn.driver` puts another table in this place.
    hooks = settings,
    -- Connections and listener by descriptor; connections without one, which are opened again.
    owners = {}, connection_count = 0, away = {}, groups = {}, anonymous = false,
    timers = timers.new(), half_open = false, capacity = capacity.new(),
    -- What a turn works on.
    agenda = agenda.new(settings), delivery = delivery.new(), relief = relief.new(), outside = outside.new(),
    tally = tally.new(),
    readable = {}, writable = {}, reports = {}, turn = 0, busy = false, loss_logged_at = -math.huge,
    unanswered_logged_at = -math.huge,
    -- See client/trust and client/secure.
    tls_clients = false, tls_ration = false,
    destroyed = false, destroying = false, draining = false, stopping = false, pubsub = false, subscriptions = false,
  }
  if refusal then self.agenda:log("warning", "the accelerator is not used: " .. refusal) end
  self.half_open = self.timers:lane("handshake", settings.handshake_timeout)
  self.unfinished = unfinished.new(self.timers, settings.message_timeout)
  self.clock = self.sockets.clock or clock.new(self.engine.now, self.sockets)
  self.now = self.clock()
  local why = add_sockets(self, settings)
  if why then error("websocket could not create context: " .. why, level + 1) end
  self.anonymous = group.new(self)
  for name in pairs(routes.subprotocols(settings)) do self.groups[name] = group.new(self, name) end
  return hosted.begin(self)
end

require("websockets.loading").interpret(creation.state)

return creation
