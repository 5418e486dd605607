--- A context that is attached to an event loop. `context:attach` takes a driver, which knows the loop, and gives an
-- attachment, by which the driver says what is ready. The modules in `websockets.loop` have such drivers;
-- docs/event-loops.md shows how to write another.
-- @classmod websockets.attachment
local driver = require("websockets.turn.driver")
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local outside = require("websockets.turn.outside")
local sockets = require("websockets.transport.sockets")

local attachment = {}
attachment.__index = attachment

local HUGE = math.huge

-- A driver has all four functions for threads, or none of them.
local function check_threads(given)
  local missing, found
  for _, name in ipairs({ "start", "running", "wait", "wake" }) do
    if given[name] == nil then missing = name else found = name end
    if given[name] ~= nil and type(given[name]) ~= "function" then missing = name end
  end
  if not (found and missing) then return end
  local culprit = missing .. " = " .. errors.describe(given[missing])
  errors.argument(1, "attach", "driver with functions start, running, wait and wake", given, 5, culprit)
end

local function check(context, given)
  errors.check_object(context, "agenda", "context:attach", 4)
  if context.destroyed then error("websocket context destroyed", 3) end
  local expected = "driver with functions watch and alarm"
  if type(given) ~= "table" then errors.argument(1, "attach", expected, given, 4) end
  for _, name in ipairs({ "watch", "alarm", "closed" }) do
    local value = given[name]
    if type(value) ~= "function" and (value ~= nil or name ~= "closed") then
      errors.argument(1, "attach", expected, given, 4, name .. " = " .. errors.describe(value))
    end
  end
  check_threads(given)
  local limit = given.limit
  if limit ~= nil and not (type(limit) == "number" and limit > 0 and limit < HUGE) then
    errors.argument(1, "attach", "driver whose limit is a number above 0", given, 4, errors.describe(limit))
  end
  if driver.is_attached(context) then error("this context is attached to a loop already", 3) end
  for _, name in ipairs({ "on_add_fd", "on_del_fd", "on_set_mode_fd", "on_clear_mode_fd" }) do
    if context.settings[name] then error(("a context with '%s' cannot be attached"):format(name), 3) end
  end
end

-- A context on the sockets of libuv is served by the loop of libuv already: there is nothing to attach.
local function is_served(context, given)
  if not context.poller.host then return false end
  if not given.is_libuv then error("the loop of libuv serves this context: another cannot be attached", 3) end
  if given.closed then given:closed() end
  return true
end

--- Has an event loop serve a context. The driver is a table with these functions, which are called as methods; for
-- descriptors that are open already they are called at once:
--
-- * `driver:watch(fd, read, write)`: watch this descriptor for reading, for writing, or for both; both false: stop
--   watching it, which is always told before the descriptor is closed. When it is ready, call `attachment:ready(fd)`.
-- * `driver:alarm(seconds)`: call `attachment:due()` after so many seconds. This replaces the alarm before; nil: none.
-- * `driver:closed()`, optional: the last call, after `detach` or because the context is destroyed. Nothing is watched
--   any more.
-- * `driver:start(fn)`, `driver:running()`, `driver:wait()`, `driver:wake(thread)`, optional, but all four or none: for
--   loops that have threads. Functions of `websockets.coroutine` then run in such threads, and may call functions of
--   the loop that wait. `start` begins a new thread, which calls `fn` after `start` has returned; `fn` raises nothing.
--   `running` gives the thread that calls it, or nil. `wait` suspends that thread until `wake` is called with it.
--   `driver.xpcall`: a protected call inside of which a thread can wait, where Lua's own `xpcall` does not allow that.
-- * `driver.limit`, optional: descriptors from this number on cannot be watched, as with `select`. Connections that
--   would get one are turned away.
--
-- With the accelerator one descriptor is watched for the whole context, and no alarm is set.
-- @function context:attach
-- @tparam table context
-- @tparam table given the driver
-- @treturn attachment
-- @raise for a wrong driver; where the context is attached, or has one of the options `on_add_fd`, `on_del_fd`,
-- `on_set_mode_fd`, `on_clear_mode_fd`; `websocket context destroyed`
function attachment.attach(context, given)
  check(context, given)
  local self = setmetatable({ context = context, driver = given }, attachment)
  if context.destroying or is_served(context, given) then return self end
  self.token = entry.attach(context, given)
  return self
end

--- Gives what a loop that uses LuaSocket's `select` has to wait for. Call it before each `select`, wait no longer than
-- `context:timeout()`, and call `context:service(0)` afterwards, which serves what is ready.
-- @function context:selectable
-- @tparam table context
-- @treturn {table|userdata,...} objects to wait for until they can be read: a new list, to which others may be added
-- @treturn {userdata,...} objects to wait for until they can be written
-- @raise over the sockets of libuv, which `select` cannot wait for; `websocket context destroyed`
function attachment.selectable(context)
  errors.check_object(context, "agenda", "context:selectable")
  if context.destroyed then error("websocket context destroyed", 2) end
  if context.destroying then return {}, {} end
  local lack = sockets.lack(context.sockets, "context:selectable")
  if lack then error(lack, 2) end
  return outside.selectable(context)
end

local function serve(self, name, fd)
  errors.check_object(self, "driver", "attachment:" .. name, 4)
  local context = self.context
  if self.token and driver.is_attached(context, self.token) then entry.serve_attached(context, fd) end
end

--- Serves a descriptor that is ready. What callbacks raise goes to `on_error`, or to `log` where there is none: nothing
-- is raised. It does nothing after `detach`, nor inside a callback (which may run a loop): there it is served later.
-- @tparam integer fd as `driver:watch` got it
-- @treturn nil
function attachment:ready(fd)
  serve(self, "ready", fd)
end

--- Serves what is due, when the time of `driver:alarm` has come; earlier does no harm. Nothing is raised.
-- @treturn nil
function attachment:due()
  serve(self, "due", nil)
end

--- Takes the context from the loop, which stops watching its descriptors. From then on `service`, `run` or another
-- `attach` serves the context. A second call does nothing, nor does one after `destroy`.
-- @treturn nil
function attachment:detach()
  errors.check_object(self, "driver", "attachment:detach")
  local context = self.context
  if self.token and driver.is_attached(context, self.token) then entry.detach(context) end
  self.token = nil
end

function attachment:__tostring()
  return "attachment " .. errors.address(self)
end

return attachment
