--- Deadlines: one first-in-first-out queue for each duration, so that starting, stopping and asking for the next cost
-- nothing that grows with the number of connections.
-- @module websockets.connection.timers
local timers = {}
timers.__index = timers

--- Makes an empty set of timers.
-- @treturn timers `firing`: the owner of the timer that fires; an error leaves it there, and the timer fires again
function timers.new()
  return setmetatable({ queues = {}, lanes = {}, earliest = math.huge, firing = false }, timers)
end

--- Gives the lane of timers of one kind and duration.
-- @tparam string kind
-- @tparam number|boolean seconds false: without end
-- @treturn table for `start`: the same one each time
function timers:lane(kind, seconds)
  seconds = seconds or math.huge
  local of_kind = self.lanes[kind] or {}
  local lane = of_kind[seconds] or { seconds = seconds }
  self.lanes[kind], of_kind[seconds] = of_kind, lane
  return lane
end

local function new_queue(self, lane, fire)
  local queue = {
    seconds = type(lane) == "number" and lane or lane.seconds,
    first = 1, last = 0, live = 0, due = {}, owner = {}, until_slot = 0,
    -- Nearly all timers of a lane do the same: only those that do something else have a place of their own for it.
    usual = fire, fire = {},
  }
  self.queues[lane] = queue
  return queue
end

--- Starts a timer.
-- @tparam number|table lane the duration in seconds; or a table with `seconds`, for a queue that no other use
-- shares
-- @tparam number now seconds, not less than at any call before
-- @param owner what `fire` is called with (never nil or false)
-- @tparam function fire `fire(owner, now)`, called once when the time has come
-- @treturn integer slot: names this timer together with its lane
function timers:start(lane, now, owner, fire)
  local queue = self.queues[lane] or new_queue(self, lane, fire)
  local slot, due = queue.last + 1, now + queue.seconds
  -- The owner makes it a timer, and `last` comes after what may find no memory.
  queue.due[slot] = due
  if fire ~= queue.usual then queue.fire[slot] = fire end
  queue.owner[slot] = owner
  queue.last = slot
  queue.live = queue.live + 1
  if due < self.earliest then self.earliest = due end
  return slot
end

-- Steps over what was stopped, so that `first` is a live timer or the queue is empty; tells whether there is one.
local function trim(queue)
  local first, last, owner = queue.first, queue.last, queue.owner
  while first <= last and not owner[first] do first = first + 1 end
  queue.first = first
  return first <= last
end

local function remove(queue, slot)
  -- Not `false`: one timer that never ends would keep the places of all that came after it.
  queue.owner[slot] = nil
  queue.due[slot], queue.fire[slot] = nil, nil
  queue.live = queue.live - 1
  if slot == queue.first then trim(queue) end
end

--- Stops a timer; one that has fired or was stopped is left alone.
-- @tparam number|table lane as given to `start`
-- @tparam integer slot what `start` returned
function timers:stop(lane, slot)
  local queue = self.queues[lane]
  if queue and queue.owner[slot] then remove(queue, slot) end
end

--- Tells whether a timer is still to fire.
-- @tparam number|table lane as given to `start`
-- @tparam integer slot what `start` returned
-- @treturn boolean
function timers:is_running(lane, slot)
  local queue = self.queues[lane]
  return queue ~= nil and queue.owner[slot] ~= nil
end

--- Counts the live timers of one lane and names the oldest.
-- @tparam number|table lane as given to `start`
-- @treturn integer how many are running
-- @return the owner of the oldest, or nil
function timers:running(lane)
  local queue = self.queues[lane]
  if not queue or queue.live == 0 then return 0, nil end
  return queue.live, queue.owner[queue.first]
end

--- Names the oldest live timer of a lane.
-- @tparam number|table lane as given to `start`
-- @return its owner, or nil
-- @treturn ?number when it was started; not a number in a lane without end
function timers:oldest(lane)
  local queue = self.queues[lane]
  if not queue or queue.live == 0 then return nil end
  return queue.owner[queue.first], queue.due[queue.first] - queue.seconds
end

--- Tells when the next timer is due.
-- @treturn ?number seconds on the clock that `start` was given, or nil
function timers:next_due()
  local soonest
  for _, queue in pairs(self.queues) do
    if trim(queue) then
      local due = queue.due[queue.first]
      if not soonest or due < soonest then soonest = due end
    end
  end
  return soonest
end

-- Fires the first timer of a queue, which is removed only then: after an error it is still there.
local function fire_first(self, queue, now)
  local slot = queue.first
  local owner, fire = queue.owner[slot], queue.fire[slot] or queue.usual
  self.firing = owner
  fire(owner, now)
  if queue.owner[slot] then remove(queue, slot) end
  self.firing = false
end

-- Nothing is due before this time. It may be that of a timer that was stopped since: then it is found anew.
local function find_earliest(self)
  local earliest = math.huge
  for _, queue in pairs(self.queues) do
    if trim(queue) then earliest = math.min(earliest, queue.due[queue.first]) end
  end
  self.earliest = earliest
end

--- Fires what is due. Timers that `fire` starts are not fired in the same call.
-- @tparam number now seconds
-- @treturn integer how many fired
function timers:run(now)
  if now < self.earliest then return 0 end
  local due_queues, fired = nil, 0
  for _, queue in pairs(self.queues) do
    if trim(queue) and queue.due[queue.first] <= now then
      due_queues = due_queues or {}
      due_queues[#due_queues + 1] = queue
      queue.until_slot = queue.last
    end
  end
  for i = 1, due_queues and #due_queues or 0 do
    local queue = due_queues[i]
    while trim(queue) and queue.first <= queue.until_slot and queue.due[queue.first] <= now do
      fire_first(self, queue, now)
      fired = fired + 1
    end
  end
  find_earliest(self)
  return fired
end

return timers
