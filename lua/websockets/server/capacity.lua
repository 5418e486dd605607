--- How many connections there is room for, and which of them go to make room for new ones.
-- @module websockets.server.capacity
local lanes = require("websockets.connection.lanes")
local lifecycle = require("websockets.connection.lifecycle")

local capacity = {}

local ACCEPTS_A_TURN = 64
-- How long a shortage is remembered: other parts of the program may have given up descriptors since.
local MEMORY_SECONDS = 60
local LIMIT_LOG_SECONDS = 60
-- What is kept free after a shortage, for files and for connections of our own.
local MAX_RESERVE, RESERVE_PART = 64, 1 / 8
local HUGE = math.huge

--- Makes what a context keeps: whether there is a shortage, why, at how many connections it was seen, whether the log
-- has heard of it, whether nothing could be accepted since, how many connections go at a time, and when the log heard
-- of a limit.
-- @treturn table
function capacity.new()
  return {
    is_short = false, why = "", connections = HUGE, forget_at = HUGE, is_told = false, is_stuck = false, at_once = 1,
    told_at = {},
  }
end

-- A limit that is reached stays so as long as the crowd does: once a minute is enough.
local function warn(context, option, what)
  local told_at = context.capacity.told_at
  if context.now < (told_at[option] or -HUGE) + LIMIT_LOG_SECONDS then return end
  told_at[option] = context.now
  context.agenda:log("warning", ("%s (%.0f) is reached: %s"):format(option, context.settings[option], what))
end

-- Those that have ended give up their descriptors at the end of the turn.
local function live(context)
  return context.connection_count - context.agenda.retired_count
end

local function end_for_another(context, ws)
  context.tally.given_up = context.tally.given_up + 1
  lifecycle.abort(ws, "limit")
end

local function give_up_one(context, least)
  local ws = lanes.oldest(context, least)
  if ws then end_for_another(context, ws) end
  return ws ~= nil
end

-- Down to the reserve, as far as there are connections that have waited for a while.
local function give_up(context, most)
  local state, count = context.capacity, 0
  local enough = state.connections - math.min(MAX_RESERVE, math.floor(state.connections * RESERVE_PART))
  while count < most and live(context) > enough and give_up_one(context) do count = count + 1 end
  return count
end

local function warn_if_full(context)
  if not capacity.is_full(context) then return end
  warn(context, "max_connections", "new connections take the place of those that wait for a request, or get 503")
end

--- Takes note of a new connection that has got no place.
-- @tparam table context
function capacity.turned_away(context)
  context.tally.turned_away = context.tally.turned_away + 1
  warn_if_full(context)
end

--- Gives up connections for new ones: those that have waited for a while, else the oldest.
-- @tparam table context
-- @treturn boolean whether there will be room at the end of the turn
function capacity.make_room(context)
  local state = context.capacity
  if context.agenda.retired_count > 0 then return true end
  warn_if_full(context)
  local count = give_up(context, MAX_RESERVE)
  while count < state.at_once and give_up_one(context, 0) do count = count + 1 end
  if count == 0 then return false end
  if state.is_short and not state.is_told then
    state.is_told = true
    context.agenda:log("warning", ("no room for new connections (%s): those that wait for a request end first")
      :format(state.why))
  end
  return true
end

--- Tells whether `max_connections` is reached.
-- @tparam table context
-- @treturn boolean
function capacity.is_full(context)
  return live(context) >= context.settings.max_connections
end

--- Tells whether a new connection may need the place of another one.
-- @tparam table context
-- @treturn boolean
function capacity.is_scarce(context)
  local state = context.capacity
  if context.now >= state.forget_at then
    state.is_short, state.connections, state.forget_at, state.is_told = false, HUGE, HUGE, false
  end
  return state.is_short or capacity.is_full(context)
end

--- Tells how many connections may be accepted now. After a shortage they are as many as there were descriptors: the
-- others wait for the end of the turn.
-- @tparam table context
-- @treturn integer
function capacity.room(context)
  local most = math.min(ACCEPTS_A_TURN, context.capacity.connections - context.connection_count)
  if most <= 0 then return context.agenda.retired_count > 0 and 0 or 1 end
  -- Past `max_connections` they are told 503.
  return capacity.is_full(context) and most or math.min(most, context.settings.max_connections - live(context))
end

--- Takes note of whether more may wait than there was room for: as long as that is so, more room is made at a time.
-- @tparam table context
-- @tparam boolean may_wait
function capacity.accepted(context, may_wait)
  local state = context.capacity
  state.at_once = may_wait and math.min(2 * state.at_once, ACCEPTS_A_TURN) or 1
end

--- Follows the taking of a new connection.
-- @tparam table context
function capacity.taken(context)
  local state = context.capacity
  state.is_stuck = false
  if state.is_short then
    state.connections = math.max(state.connections, context.connection_count)
    -- Two for one: the reserve is filled again.
    give_up(context, 2)
  end
  local running, oldest = context.timers:running(context.half_open)
  if running <= context.settings.max_half_open then return end
  end_for_another(context, oldest)
  warn(context, "max_half_open", "of the connections that have sent no whole request the oldest end")
end

--- Takes note that a new connection has got no descriptor, or none that can be watched, and gives up others for it.
-- @tparam table context
-- @tparam string why
-- @treturn boolean whether accepting can go on in the next turn; after the first time it can, for a turn that reads
-- before it accepts may find that none needs to go
function capacity.run_short(context, why)
  local state = context.capacity
  -- To give up more would help nobody.
  if state.is_stuck then return false end
  local was_short = state.is_short
  state.is_short, state.why, state.connections = true, why, context.connection_count
  state.forget_at = context.now + MEMORY_SECONDS
  if not was_short then return true end
  state.is_stuck = capacity.make_room(context)
  return state.is_stuck
end

return capacity
