--- Suspends a thread of copas until something is so. What is yielded is a pair of copas': an object to be read from,
-- which is ready when the condition holds.
-- @module websocket.waiting
local waiting = {}

local object = {}
object.__index = object

local spare

--- Gives a descriptor that is never readable, for objects that `select` is asked about.
-- @treturn integer
function waiting.spare_fd()
  spare = spare or assert(require("socket").udp4())
  return spare:getfd()
end

function object.getfd() return waiting.spare_fd() end

function object:dirty() return self.is_ready() end

-- A scheduler other than copas' may resume the thread at any time: then nobody else has served the context.
function object:receive()
  if not self.is_ready() then self.context:service(0) end
  if self.is_ready() then return true end
  return nil, "timeout"
end

-- copas 1.2.0 sets the time, and closes the object when its thread ends.
function object.settimeout() return 1 end

function object.close() return 1 end

function object.__tostring() return "tcp{client}: websocket" end

--- Tells whether the present code may be suspended.
-- @treturn boolean
function waiting.can_wait()
  local thread, is_main = coroutine.running()
  return thread ~= nil and not is_main
end

--- Waits.
-- @tparam table context of `websockets`, attached to copas
-- @tparam function is_ready
-- @tparam ?number seconds at most; nil: without end
-- @treturn boolean whether it is so
function waiting.wait(context, is_ready, seconds)
  if is_ready() then return true end
  if not waiting.can_wait() then
    error("websocket: this call waits, which only a thread of copas can do (copas.addthread)", 0)
  end
  local is_late, timer = false, nil
  if seconds then timer = context:after(seconds, function() is_late = true end) end
  require("copas").receive(setmetatable({
    context = context, is_ready = function() return is_late or is_ready() end,
  }, object))
  if timer then timer:cancel() end
  return is_ready()
end

return waiting
