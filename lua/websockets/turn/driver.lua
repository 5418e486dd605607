--- Drivers. A driver is a table of functions that an event loop of the application attaches to a context: by these the
-- context tells the loop which descriptors to watch, and when to wake.
-- @module websockets.turn.driver
local descriptor = require("websockets.connection.descriptor")
local outside = require("websockets.turn.outside")

local driver = {}

local POLLIN = 1

-- A driver is code of the application: it may raise.
local function tell(context, given, name, ...)
  if given[name] then context.agenda:call(nil, given[name], given, ...) end
end

local function add(context, state, fd)
  state.modes[fd] = { read = true, write = false }
  tell(context, state.given, "watch", fd, true, false)
end

local function rests(state, fd)
  return state.resting and state.resting[fd]
end

local function remove(context, state, fd)
  local mode = state.modes[fd]
  state.modes[fd] = nil
  if not mode or rests(state, fd) then return end
  if mode.read or mode.write then tell(context, state.given, "watch", fd, false, false) end
end

local function change(context, state, fd, name, is_on)
  local mode = state.modes[fd]
  if not mode or mode[name] == is_on then return end
  mode[name] = is_on
  if not rests(state, fd) then tell(context, state.given, "watch", fd, mode.read, mode.write) end
end

-- Makes `context.hooks`, in place of the options `on_add_fd` …: without the accelerator the loop has to watch each
-- descriptor by itself.
local function hooks_for(context, state)
  local function changing(is_on)
    return function(fd, mask) change(context, state, fd, mask == POLLIN and "read" or "write", is_on) end
  end
  return {
    on_add_fd = function(fd) add(context, state, fd) end,
    on_del_fd = function(fd) remove(context, state, fd) end,
    on_set_mode_fd = changing(true),
    on_clear_mode_fd = changing(false),
    limit = state.given.limit,
  }
end

--- Attaches a driver. It is told at once of all descriptors that are there already.
-- @tparam table context
-- @tparam table given `watch`, `alarm`, `closed`, `limit`: see `context:attach`
function driver.attach(context, given)
  local poller = context.poller
  -- `modes`: for each descriptor what it is watched for. `fd`: with the accelerator, the descriptor that stands for the
  -- whole context; `is_own`: nobody has asked for it before. `resting`: descriptors that are ready, but are served only
  -- after the callback that runs.
  local state = { given = given, modes = {}, fd = false, is_own = not poller.has_fd, resting = false }
  context.outside.driver = state
  if poller.get_fd then
    state.fd = outside.get_fd(context)
    return
  end
  context.hooks = hooks_for(context, state)
  outside.use_alarm(context, function(seconds) tell(context, given, "alarm", seconds) end)
  for fd, owner in pairs(context.owners) do
    if owner.introduce then owner:introduce() else descriptor.introduce(owner, fd) end
  end
end

--- Has a loop that runs inside of a callback stop watching a descriptor for the moment. It is served after the
-- callback; until then the loop would find it ready again and again.
-- @tparam table context
-- @tparam integer fd
function driver.rest(context, fd)
  local state = context.outside.driver
  state.resting = state.resting or {}
  if not state.modes[fd] or state.resting[fd] then return end
  state.resting[fd] = true
  tell(context, state.given, "watch", fd, false, false)
end

local function wake(context, state)
  local resting = state.resting
  state.resting = false
  for fd in pairs(resting) do
    local mode = state.modes[fd]
    local is_watched = mode and (mode.read or mode.write)
    if is_watched then tell(context, state.given, "watch", fd, mode.read, mode.write) end
  end
end

--- Called after each turn. The descriptor that stands for the whole context is watched only while the context has
-- anything left to serve; so a loop that has nothing else to watch ends by itself.
-- @tparam table context
-- @tparam boolean is_idle whether nothing is left to serve: no listener, connection or timer
function driver.follow(context, is_idle)
  local state = context.outside.driver
  if state.resting then wake(context, state) end
  if not state.fd then return end
  if is_idle then
    remove(context, state, state.fd)
  elseif not state.modes[state.fd] then
    add(context, state, state.fd)
  end
end

local function release(context, state)
  context.outside.driver = false
  for fd in pairs(state.modes) do remove(context, state, fd) end
  if not state.fd then tell(context, state.given, "alarm", nil) end
  tell(context, state.given, "closed")
end

--- Tells whether a driver is attached.
-- @tparam table context
-- @tparam ?table token of one driver; nil: any
-- @treturn boolean
function driver.is_attached(context, token)
  local state = context.outside.driver
  return state and (not token or state == token)
end

--- Gives the driver of a context whose loop has threads.
-- @tparam table context
-- @treturn ?table as `context:attach` got it
function driver.with_threads(context)
  local state = context.outside.driver
  return state and state.given.start and state.given or nil
end

--- Takes back what `attach` did: the driver is told to watch nothing any more, and is not called again.
-- @tparam table context
function driver.detach(context)
  local state = context.outside.driver
  release(context, state)
  if state.fd then
    if state.is_own then outside.drop_fd(context) end
    return
  end
  context.hooks = context.settings
  outside.use_alarm(context, nil)
  for _, owner in pairs(context.owners) do
    if owner ~= context.listener then owner.announced = nil end
  end
end

--- Tells the driver that the context is destroyed. What it still watches is open until after this call.
-- @tparam table context
function driver.close(context)
  local state = context.outside.driver
  if state then release(context, state) end
end

require("websockets.loading").interpret(driver.attach, wake, release, driver.detach)

return driver
