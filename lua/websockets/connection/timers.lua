--- Deadlines: one first-in-first-out queue for each duration, so that starting, stopping and asking for the next cost
-- nothing that grows with the number of connections. What is due at a time of its own is *planned*, in a heap.
-- @module websockets.connection.timers
local heap = require("websockets.connection.heap")

local timers = {}
timers.__index = timers

local max, min = math.max, math.min

-- A program may use each duration once. So many queues are kept before those that are empty are given up.
local MOST_QUEUES = 64
-- A lane lasts as long as its queue, or somebody's name for it.
local WEAK = { __mode = "v" }

--- Makes an empty set of timers.
-- @treturn timers `firing`: the owner of the timer that fires; an error leaves it there, and the timer fires again
function timers.new()
  return setmetatable({
    -- The queues by their lanes; all of them, and perhaps an empty one more that an error has left, in a list.
    queues = {}, order = {}, lanes = {}, planned = false, earliest = math.huge, firing = false,
    -- At how many queues those that are empty are given up, the last slot of those that were.
    most_queues = MOST_QUEUES, last_slot = 0,
  }, timers)
end

--- Gives the lane of timers of one kind and duration.
-- @tparam string kind
-- @tparam number|boolean seconds false: without end
-- @treturn table for `start`: the same one each time
function timers:lane(kind, seconds)
  seconds = seconds or math.huge
  local of_kind = self.lanes[kind] or setmetatable({}, WEAK)
  local lane = of_kind[seconds] or { seconds = seconds }
  self.lanes[kind], of_kind[seconds] = of_kind, lane
  return lane
end

-- Slots are not used again: an owner may still stop one that has fired.
local function give_up_empty(self)
  local queues, order, kept = self.queues, self.order, {}
  for i = 1, #order do
    local queue = order[i]
    if queue.live > 0 then
      kept[#kept + 1] = queue
    else
      self.last_slot = max(self.last_slot, queue.last)
      if queues[queue.lane] == queue then queues[queue.lane] = nil end
    end
  end
  self.order, self.most_queues = kept, max(MOST_QUEUES, 2 * #kept)
end

local function new_queue(self, lane, fire)
  if #self.order >= self.most_queues then give_up_empty(self) end
  local before = self.last_slot
  local queue = {
    lane = lane, seconds = type(lane) == "number" and lane or lane.seconds,
    first = before + 1, last = before, live = 0, due = {}, owner = {}, until_slot = 0,
    -- Nearly all timers of a lane do the same: only those that do something else have a place of their own for it.
    usual = fire, fire = {},
  }
  -- The list first: a queue that is only there has no timers, one that is not there would never fire.
  self.order[#self.order + 1] = queue
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
  -- First, so that an error in what follows does not have it wait for another timer.
  if due < self.earliest then self.earliest = due end
  -- The owner makes it a timer, and `last` comes after what may find no memory.
  queue.due[slot] = due
  if fire ~= queue.usual then queue.fire[slot] = fire end
  queue.owner[slot] = owner
  queue.last = slot
  queue.live = queue.live + 1
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
  queue.due[slot] = nil
  -- Until Lua 5.3 a key whose value becomes nil takes a place, for which there may be no memory.
  if queue.fire[slot] then queue.fire[slot] = nil end
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

--- Plans something for a time of its own, or for another time than before.
-- @tparam table entry `fire(entry, now)` is called when the time has come, and takes the entry out or plans it anew
-- before anything else; `place`: false, or nil, while it is not planned
-- @tparam number due seconds on the clock that `start` is given
function timers:plan(entry, due)
  self.planned = self.planned or heap.new()
  -- First, so that an error in what follows does not have it wait for another timer.
  if due < self.earliest then self.earliest = due end
  self.planned:put(entry, due)
end

--- Takes back what was planned, if it still is.
-- @tparam table entry
function timers:unplan(entry)
  if entry.place then self.planned:remove(entry) end
end

--- Takes back all that is planned, because nothing fires any more. Entries with `give_up` are told.
function timers:give_up()
  local planned = self.planned
  local entry = planned and planned:first()
  while entry do
    planned:remove(entry)
    if entry.give_up then entry:give_up() end
    entry = planned:first()
  end
end

--- Tells whether anything is planned.
-- @treturn boolean
function timers:has_plans()
  return self.planned and self.planned.count > 0
end

local function soonest(self)
  local first = self.planned and self.planned:first()
  local found = first and first.due or math.huge
  local order = self.order
  for i = 1, #order do
    local queue = order[i]
    -- Nearly always the first one has not been stopped: this is asked in each turn.
    if queue.owner[queue.first] or trim(queue) then found = min(found, queue.due[queue.first]) end
  end
  return found
end

--- Tells when the next timer is due.
-- @treturn ?number seconds on the clock that `start` was given, or nil
function timers:next_due()
  local due = soonest(self)
  return due < math.huge and due or nil
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

local function run_queues(self, now)
  local order, due_queues, fired = self.order, nil, 0
  for i = 1, #order do
    local queue = order[i]
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
  return fired
end

local function run_planned(planned, now)
  -- What is planned meanwhile has a higher order.
  local last, fired = planned.order, 0
  local entry = planned:first()
  while entry and entry.due <= now and entry.order <= last do
    fired = fired + 1
    entry.fire(entry, now)
    entry = planned:first()
  end
  return fired
end

--- Fires what is due. Timers that `fire` starts are not fired in the same call.
-- @tparam number now seconds
-- @treturn integer how many fired
function timers:run(now)
  if now < self.earliest then return 0 end
  local fired = run_queues(self, now)
  if self.planned then fired = fired + run_planned(self.planned, now) end
  -- Nothing is due before this time. It may be that of a timer that is stopped later: then it is found anew.
  self.earliest = soonest(self)
  return fired
end

--- Sets the one deadline of a connection, in place of the one before. `websockets.connection.lifecycle` alone calls
-- this.
-- @tparam table ws
-- @tparam ?number|table lane seconds, or a lane of `timers`; false or nil for none
-- @tparam ?function fire `fire(ws, now)`
function timers.set_deadline(ws, lane, fire)
  local self = ws.context.timers
  local old_lane, old_slot = ws.timer_lane, ws.timer_slot
  -- The new one first: an error leaves the connection with the deadline that it has.
  local slot = lane and self:start(lane, ws.context.now, ws, fire)
  ws.timer_slot = false
  -- A timer that has fired is left alone by `stop`.
  if old_slot then self:stop(old_lane, old_slot) end
  if slot then ws.timer_lane, ws.timer_slot = lane, slot end
end

return timers
