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
-- @treturn table `is_used`: whether a descriptor stands for the whole context; `side`: that for output and timers
function outside.new()
  return { is_used = false, alarm = false, side = false, retry_at = 0 }
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
  context.agenda:call(nil, context.settings.on_add_fd, fd, POLLIN)
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

local function next_due(context)
  if context.agenda.waiting_count > 0 then return 0 end
  return context.timers:next_due() or HUGE
end

--- Has the descriptors that stand for the whole context become readable when the next timer is due.
-- @tparam table context
function outside.set_alarm(context)
  local state, due = context.outside, next_due(context)
  if due == state.alarm then return end
  context.poller:set_alarm(due < HUGE and math.max(0, due - context.clock()) or nil)
  state.alarm = due
end

--- Tells how long an outside loop may wait.
-- @tparam table context
-- @treturn ?number seconds until it wants to be called again, 0 when something is ready, nil when nothing is due
function outside.timeout(context)
  local due = next_due(context)
  local seconds = due < HUGE and math.max(0, due - context.clock()) or nil
  local agenda, poller = context.agenda, context.poller
  if agenda.blocked_count == 0 or poller.get_fd or context.settings.on_set_mode_fd then return seconds end
  return math.min(seconds or LONGEST_SECONDS, COME_BACK_SECONDS)
end

--- Tries full sockets again, where nothing tells when they take bytes.
-- @tparam table context
-- @tparam function flush `flush(ws)`
function outside.retry_blocked(context, flush)
  local state, agenda = context.outside, context.agenda
  if agenda.blocked_count == 0 or context.settings.on_set_mode_fd or state.side then return end
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
  local side, on_del_fd = context.outside.side, context.settings.on_del_fd
  if side and on_del_fd then context.agenda:call(nil, on_del_fd, side.fd) end
  context.outside.is_used = false
end

return outside
