--- Messages and requests that have begun and not ended: what they hold together, and that they make progress.
--
-- A connection is entered when it is first heard that something of it is unfinished, and looked at again only when its
-- time has come or room is needed: whole messages cost nothing here.
-- @module websockets.connection.unfinished
local lifecycle = require("websockets.connection.lifecycle")

local unfinished = {}
unfinished.__index = unfinished

local POLICY_VIOLATION, TOO_BIG = 1008, 1009
local REQUEST_TIMEOUT, UNAVAILABLE = 408, 503

--- Makes what a context keeps: entries by connection, and a lane for those that hold little, and for those that can be
-- ended to make room.
-- @tparam timers timers
-- @tparam number|boolean seconds `message_timeout`; false: without end
-- @treturn unfinished
function unfinished.new(timers, seconds)
  local lanes = { timers:lane("little", seconds), timers:lane("unfinished", seconds) }
  return setmetatable({ entries = {}, lanes = lanes, timers = timers }, unfinished)
end

--- Forgets that something of a connection was unfinished.
-- @tparam table ws
function unfinished:forget(ws)
  local entry = self.entries[ws]
  if not entry then return end
  self.timers:stop(entry.lane, entry.slot)
  self.entries[ws] = nil
end

-- How many bytes are held, and how far they have come.
local function measure(ws)
  local state = ws.state
  if state == "open" or state == "closing" then return ws.wire:unfinished() end
  if state == "http" then return ws.phase:unfinished() end
  return 0, 0
end

local expire

local function enter(ws, held, progress)
  local context = ws.context
  local state = context.unfinished
  local lane = state.lanes[context.budget:level(held)]
  local entry = { lane = lane, slot = false, progress = progress }
  -- The place before the timer: an error leaves no timer that nobody knows.
  state.entries[ws] = entry
  entry.slot = context.timers:start(lane, context.now, ws, expire)
end

local function give_up(ws, status, code, why)
  if ws.state == "http" then return ws.phase:give_up(ws, status) end
  lifecycle.fail(ws, code, "", why)
  ws.wire:release()
end

function expire(ws)
  local entries = ws.context.unfinished.entries
  local entry = entries[ws]
  entries[ws] = nil
  local held, progress = measure(ws)
  if held == 0 then return end
  -- What is not read makes no progress.
  if not entry or progress ~= entry.progress or ws.paused then return enter(ws, held, progress) end
  give_up(ws, REQUEST_TIMEOUT, POLICY_VIOLATION, "timeout")
end

-- Ends those that hold much and have made no progress for longest, until there is room. One that has made progress
-- since it was entered is entered anew.
local function make_room(context)
  local state = context.unfinished
  while context.budget:room() < 0 do
    local ws = context.timers:oldest(state.lanes[2])
    local entry = ws and state.entries[ws]
    if not entry then return end
    local held, progress = measure(ws)
    state:forget(ws)
    if held > 0 and (progress ~= entry.progress or context.budget:level(held) < 2) then
      enter(ws, held, progress)
    elseif held > 0 then
      give_up(ws, UNAVAILABLE, TOO_BIG, "too_big")
    end
  end
end

--- Takes note that something of a connection is unfinished, or holds more than before.
-- @tparam table ws
function unfinished.note(ws)
  local context = ws.context
  -- Before it is entered: a newcomer is not the one that ends.
  make_room(context)
  local held, progress = measure(ws)
  local state = context.unfinished
  local entry = state.entries[ws]
  local is_entered = entry and entry.slot and entry.lane == state.lanes[context.budget:level(held)]
  if held > 0 and not is_entered then
    state:forget(ws)
    enter(ws, held, progress)
    make_room(context)
  end
end

return unfinished
