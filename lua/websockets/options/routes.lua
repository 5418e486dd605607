--- The options of each route: those that it has itself, and the context's for the rest.
-- @module websockets.options.routes
local definition = require("websockets.options.definition")
local router = require("websockets.http.router")

local routes = {}

local copy = definition.copy

-- The options that a route may have. The others act before the path is known, or concern all connections.
local OF_ROUTES = {}
for name in ([[protocols default on_http on_handshake origins max_message_bytes max_fragments max_body_bytes
  body_timeout response_timeout ping_interval ping_timeout close_timeout idle_timeout high_water_bytes
  max_buffered_bytes slow_consumer max_topics]]):gmatch("%S+") do OF_ROUTES[name] = true end

local function check(options, label, name, value, level)
  if options.KNOWN[name] and not OF_ROUTES[name] then
    error(("option '%s' is for the whole context: no route can have its own"):format(label), level)
  end
  -- No tail call: the level of an error counts this function.
  local kept = definition.check(options.KNOWN, name, value, level + 1, label)
  return kept
end

local function read_route(options, settings, pattern, level)
  local route, given = copy(settings), settings.routes[pattern]
  -- The two belong together: they choose the handler of a WebSocket.
  if given.protocols ~= nil or given.default ~= nil then route.protocols, route.default = nil, nil end
  for name, value in pairs(given) do
    route[name] = check(options, ("routes['%s'].%s"):format(pattern, tostring(name)), name, value, level + 1)
  end
  options.settle_buffers(route, given, level + 1, ("routes['%s'].high_water_bytes"):format(pattern))
  route.protocols = route.protocols and copy(route.protocols)
  return route
end

--- Reads the option `routes`.
-- @tparam table options the module `websockets.options.context`: `KNOWN`, `settle_buffers`
-- @tparam table settings of the context, for every option
-- @tparam integer level of the caller, as for `error`
-- @treturn router whose routes have settings for every option
-- @raise naming the route and its option
function routes.read(options, settings, level)
  local patterns, made = {}, router.new()
  for pattern in pairs(settings.routes) do patterns[#patterns + 1] = pattern end
  -- Sorted, so that the message about two patterns for the same paths is always the same.
  table.sort(patterns)
  for _, pattern in ipairs(patterns) do
    local added, why = made:add(pattern, read_route(options, settings, pattern, level + 1))
    if not added then error(("route '%s' %s"):format(pattern, why), level) end
  end
  return made
end

--- Collects the subprotocols of a context and its routes.
-- @tparam table settings as `options.read` gave them
-- @treturn table subprotocol -> true
function routes.subprotocols(settings)
  local names = {}
  for name in pairs(settings.protocols or {}) do names[name] = true end
  for _, route in ipairs(settings.router and settings.router.added or {}) do
    for name in pairs(route.protocols or {}) do names[name] = true end
  end
  return names
end

require("websockets.loading").interpret(read_route, routes.read, routes.subprotocols)

return routes
