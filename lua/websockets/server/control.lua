--- The orders that a worker gets from its launcher, by a pipe that it is started with, and what it answers.
-- @module websockets.server.control
local descriptor = require("websockets.connection.descriptor")
local errors = require("websockets.errors")
local flags = require("websockets.transport.flags")

local control = {
  -- The end of a pipe is reported as room to write too: nothing is sent here.
  state = "closed",
}
control.__index = control

--- The descriptor of a worker for orders. The listening socket stands before it.
control.ORDERS_FD = 4
--- The descriptor of a worker for answers.
control.ANSWERS_FD = 5
--- The variable of the environment with the number of a worker, by which a process knows that it is one.
control.NUMBER = "WEBSOCKETS_WORKER"
--- The variable that says how long a worker may drain when its launcher has gone.
control.DRAIN_SECONDS = "WEBSOCKETS_WORKER_DRAIN"
--- What a worker answers when it accepts connections.
control.READY = "ready"

local DEFAULT_SECONDS = 30

--- Tells whether this process is a worker.
-- @treturn boolean
function control.is_here()
  return tonumber(os.getenv(control.NUMBER)) ~= nil
end

--- Writes the order to drain.
-- @tparam number seconds
-- @treturn string
function control.drain_order(seconds) return ("drain %.3f\n"):format(seconds) end

-- Lua opens no descriptor, but files that stand for them.
local function open(fd, mode)
  local file, why = io.open("/dev/fd/" .. fd, mode)
  if not file then return nil, ("the pipe of the launcher cannot be opened: %s"):format(tostring(why)) end
  return file
end

--- Opens the pipes.
-- @tparam table context
-- @treturn[1] control
-- @treturn[2] nil
-- @treturn[2] string why not
function control.open(context)
  local orders, why = open(control.ORDERS_FD, "r")
  if not orders then return nil, why end
  for _, fd in ipairs({ control.ORDERS_FD, control.ANSWERS_FD }) do
    flags.set(fd, false, true, context.engine.set_flags)
  end
  local self = setmetatable({ context = context, orders = orders, socket = false }, control)
  -- What `select` is given.
  self.socket = self
  return self
end

--- Names the descriptor, for the poller.
-- @treturn integer
function control.getfd() return control.ORDERS_FD end

--- Tells that nothing has been read ahead, for `select`.
-- @treturn boolean
function control.dirty() return false end

local function watch(self, is_on)
  local context = self.context
  if context.poller:watch(self, self, is_on, false) == false then return false end
  descriptor.tell(context, nil, control.ORDERS_FD, is_on)
  return true
end

--- Tells a loop that begins to serve the context.
function control:introduce()
  if self.orders then descriptor.tell(self.context, nil, control.ORDERS_FD, true) end
end

--- Waits for orders, and tells the launcher that connections are accepted.
-- @treturn boolean whether that was possible: the system may have no memory for it
function control:begin()
  self.context.owners[control.ORDERS_FD] = self
  if not watch(self, true) then return false end
  local answers, why = open(control.ANSWERS_FD, "w")
  if answers then
    answers:write(control.READY, "\n")
    answers:close()
  else
    self.context.agenda:log("warning", why)
  end
  return true
end

--- Takes an order, or the end of the launcher: both mean that another process takes the place of this one. A turn
-- serves this as it serves a listener, by `accept`.
function control:accept()
  local orders = self.orders
  if not orders then return end
  local line = orders:read("*l")
  local seconds = tonumber(line and line:match("^drain (%S+)$"))
  if line and not seconds then
    return self.context.agenda:log("warning", "the launcher has sent an unknown order: " .. errors.describe(line))
  end
  seconds = seconds or tonumber(os.getenv(control.DRAIN_SECONDS)) or DEFAULT_SECONDS
  self:close()
  self.context.give_way(self.context, seconds)
end

--- Takes no more orders.
function control:close()
  if not self.orders then return end
  watch(self, false)
  self.orders:close()
  self.orders = false
  self.context.owners[control.ORDERS_FD] = nil
end

return control
