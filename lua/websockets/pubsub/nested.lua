--- Functions of the application that are called while something is published, and may publish themselves: so deep and
-- no deeper.
-- @module websockets.pubsub.nested
local nested = {}

local MAX_DEPTH = 10

local function back(pubsub, ...)
  pubsub.depth = pubsub.depth - 1
  return ...
end

--- Calls a function; what it raises goes to `on_error`, and so does that it is called from inside of itself for ever.
-- @tparam table context
-- @tparam string what the function, for `on_error`
-- @tparam function fn
-- @param ... its arguments
-- @treturn boolean whether it returned
-- @return what it returned
function nested.call(context, what, fn, ...)
  local pubsub, agenda = context.pubsub, context.agenda
  if not pubsub then return agenda:call(nil, fn, ...) end
  if pubsub.depth >= MAX_DEPTH then
    agenda:fail(what .. " publishes what calls it again, without end")
    return false
  end
  pubsub.depth = pubsub.depth + 1
  return back(pubsub, agenda:call(nil, fn, ...))
end

return nested
