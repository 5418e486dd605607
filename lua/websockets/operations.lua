--- Running a server: which connections a context has, and how it comes to its end without losing any of them.
-- @classmod websockets.operations
local definition = require("websockets.options.definition")
local drain = require("websockets.turn.drain")
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local walk = require("websockets.connection.walk")

local operations = {}

local BATCH = 100

local DRAIN = {
  batch = definition.new(BATCH, function(value) return definition.is_integer(value, 1, 2 ^ 53) end,
    "number of connections above 0"),
  on_drained = definition.callback(),
  serve_accepted = definition.new(false, function(value) return type(value) == "boolean" end, "boolean"),
}

local function check(context, name)
  errors.check_object(context, "agenda", "context:" .. name, 4)
  if context.destroyed then error("websocket context destroyed", 3) end
end

--- Iterates over the open WebSockets of a context: `for ws in context:connections() do … end`. It gives connections to
-- this server and those that `connect` has opened, in no particular order, each once. The loop may open and close
-- connections: one that ends before its turn is left out, one that opens meanwhile may be left out.
-- @function context:connections
-- @tparam table context
-- @treturn function iterator
-- @raise `websocket context destroyed`
function operations.connections(context)
  check(context, "connections")
  local next_connection = walk.each(context)
  return function()
    local ws
    repeat ws = next_connection() until not ws or ws.state == "open"
    return ws
  end
end

--- Brings a context to its end without losing a message. It returns at once; the context then stops accepting, answers
-- requests that begin from now on with 503 and `Retry-After`, and sends close code 1001 in batches. Messages that a
-- peer sent before it read the close frame are delivered; queued messages and closing handshakes have as much time as
-- always. When no connection is left, or the time is over, it is destroyed, and `run` returns. A second call sets the
-- time anew.
-- @function context:drain
-- @tparam table context
-- @tparam number seconds above 0: connections that are left then are ended by force
-- @tparam[opt] table given `batch`: how many connections get 1001 at a time (100). The batches come twenty times a
-- second, or faster if they would otherwise take more than half of the time. `on_drained`: `fn(left)` is called before
-- the context is destroyed, with the number of connections that are ended by force; a connection that has sent
-- everything and only waits for its peer to end it is not counted. `serve_accepted`: the first request of a connection
-- that was accepted before is served, not answered 503; for a server that another process replaces
-- @treturn nil
-- @raise for a wrong argument or option; `websocket context destroyed`
function operations.drain(context, seconds, given)
  check(context, "drain")
  if not definition.is_seconds(seconds) then errors.argument(1, "drain", "number of seconds above 0", seconds) end
  if given ~= nil and type(given) ~= "table" then errors.argument(2, "drain", "table of options", given) end
  local settings = definition.defaults(DRAIN)
  for name, value in pairs(given or {}) do
    settings[name] = definition.check(DRAIN, name, value, 3, type(name) == "string" and "drain." .. name or nil)
  end
  if not context.destroying then entry.within(context, drain.begin, context, seconds, settings) end
end

--- Drains because another process takes the place of this one. Within a turn.
-- @function operations.give_way
-- @tparam table context
-- @tparam number seconds
-- @local
function operations.give_way(context, seconds)
  drain.begin(context, seconds, { batch = BATCH, on_drained = nil, serve_accepted = true })
end

require("websockets.loading").interpret(operations.drain)

return operations
