--- What an event loop of the application needs: when to come back, and descriptors that stand for the whole context.
-- @module websockets.turn.outside
local outside = {}

local POLLIN = 1
local HUGE = math.huge

-- A loop that watches READ only has us try full sockets again at each entry, but not more often than this.
local RETRY_SECONDS = 0.001
-- A loop that cannot watch for writing comes back after this to try full sockets again.
local COME_BACK_SECONDS, LONGEST_SECONDS = 0.02, 1

--- Makes what a context keeps for an outside loop.
-- @treturn table `is_used`: whether something tells the loop when a timer is due; `side`: the descriptor for output and
-- timers; `driver`: that of `websockets.turn.driver`; `selects`: whether `select` tells of room to write,
-- with the accelerator the object that stands for it there
function outside.new()
  return {
    is_used = false, alarm = false, tell_alarm = false, side = false, driver = false, selects = false, retry_at = 0,
  }
end

--- Announces the descriptor that becomes readable when a full socket takes bytes again, or a timer is due. An outside
-- loop that watches for reading only needs no other.
-- @tparam table context
function outside.announce_side(context)
  local state, get_side_fd = context.outside, context.poller.get_side_fd
  local fd = get_side_fd and get_side_fd(context.poller)
  if not fd then return end
  state.side, state.is_used = { fd = fd }, true
  context.owners[fd] = state.side
  context.agenda:call(nil, context.hooks.on_add_fd, fd, POLLIN)
end

--- Names the descriptor that is readable whenever the context has something to do.
-- @tparam table context
-- @treturn ?integer nil without the accelerator
function outside.get_fd(context)
  local get_fd = context.poller.get_fd
  if not get_fd then return nil end
  local fd = get_fd(context.poller)
  context.outside.is_used, context.outside.alarm = true, false
  outside.set_alarm(context)
  return fd
end

local function copy(list)
  local made = {}
  for i = 1, #list do made[i] = list[i] end
  return made
end

--- Gives what a loop over LuaSocket's `select` waits for.
-- @tparam table context
-- @treturn {table|userdata,...} objects to read
-- @treturn {userdata,...} objects to write
function outside.selectable(context)
  local state, poller = context.outside, context.poller
  if not poller.get_fd then
    state.selects = true
    return copy(poller.reading), copy(poller.writing)
  elseif not state.selects then
    local fd = outside.get_fd(context)
    state.selects = { getfd = function() return fd end, dirty = function() return false end }
  end
  return { state.selects }, {}
end

local function next_due(context)
  if context.agenda.waiting_count > 0 then return 0 end
  return context.timers:next_due() or HUGE
end

--- Has the descriptors that stand for the whole context become readable when the next timer is due.
-- @tparam table context
function outside.set_alarm(context)
  local state, due = context.outside, next_due(context)
  if due == state.alarm then return end
  local seconds = due < HUGE and math.max(0, due - context.clock()) or nil
  if state.tell_alarm then state.tell_alarm(seconds) else context.poller:set_alarm(seconds) end
  state.alarm = due
end

--- Has the next `set_alarm` set it, although nothing has changed.
-- @tparam table context
function outside.renew_alarm(context)
  context.outside.alarm = false
end

--- Has a function tell the loop when the next timer is due, where no descriptor can.
-- @tparam table context
-- @tparam ?function tell_alarm `tell_alarm(seconds)`, nil for never; nil takes it back
function outside.use_alarm(context, tell_alarm)
  local state = context.outside
  state.tell_alarm, state.is_used, state.alarm = tell_alarm or false, tell_alarm ~= nil, false
end

--- Tells whether a call can wait here: not inside a callback of the context, nor of the event loop that serves it.
-- @tparam table context
-- @treturn boolean
function outside.can_wait(context)
  local can_wait = context.poller.can_wait
  return not context.busy and (not can_wait or can_wait(context.poller))
end

--- Has the poller do what can only be done outside of a turn.
-- @tparam table context
function outside.settle(context)
  local poller = context.poller
  if poller.settle then poller:settle() end
end

--- Takes back what `get_fd` did.
-- @tparam table context
function outside.drop_fd(context)
  context.poller:drop_fd()
  context.outside.is_used, context.outside.selects = context.outside.side ~= false, false
end

--- Tells how long an outside loop may wait.
-- @tparam table context
-- @treturn ?number seconds until it wants to be called again, 0 when something is ready, nil when nothing is due
function outside.timeout(context)
  local due = next_due(context)
  local seconds = due < HUGE and math.max(0, due - context.clock()) or nil
  local agenda, poller = context.agenda, context.poller
  local is_told = poller.get_fd or context.hooks.on_set_mode_fd or context.outside.selects
  if agenda.blocked_count == 0 or is_told then return seconds end
  return math.min(seconds or LONGEST_SECONDS, COME_BACK_SECONDS)
end

--- Tries full sockets again, where nothing tells when they take bytes.
-- @tparam table context
-- @tparam function flush `flush(ws)`
function outside.retry_blocked(context, flush)
  local state, agenda = context.outside, context.agenda
  if agenda.blocked_count == 0 or context.hooks.on_set_mode_fd or state.side then return end
  if context.now < state.retry_at then return end
  state.retry_at = context.now + RETRY_SECONDS
  for i = agenda.blocked_count, 1, -1 do
    local ws = agenda.blocked[i]
    if ws then flush(ws) end
  end
end

--- Flushes full sockets that take bytes again.
-- @tparam table context
-- @tparam function flush `flush(ws)`
function outside.flush_ready(context, flush)
  local writable = context.writable
  for i = 1, context.poller:wait_side(writable) do
    flush(writable[i])
    writable[i] = false
  end
end

--- Has the outside loop stop watching the descriptor for output and timers.
-- @tparam table context
function outside.close(context)
  local side, on_del_fd = context.outside.side, context.hooks.on_del_fd
  if side and on_del_fd then context.agenda:call(nil, on_del_fd, side.fd) end
  context.outside.is_used = false
end

return outside
