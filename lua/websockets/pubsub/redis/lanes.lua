--- Messages of ours for histories that are not answered, in order.
--
-- They wait in lanes: one for a server alone, one for each slot of a cluster. What a lane has sent and was not
-- answered, because the connection was lost, or because the slot has another node now, is sent again, in order: the
-- server knows a message by its number, and takes one that comes after a later one for one that it has.
-- @module websockets.pubsub.redis.lanes
local carrier = require("websockets.pubsub.redis.carrier")
local resp = require("websockets.pubsub.redis.resp")
local slots = require("websockets.pubsub.redis.slots")

local lanes = {}
lanes.__index = lanes

local max = math.max

local MAX_UNANSWERED, MAX_UNANSWERED_BYTES = 10000, 8 * 1024 * 1024
-- When is tried again what a connection does not take, because too much waits there.
local RETRY_SECONDS = 0.05
local ASKING = resp.command("ASKING")

--- Makes an empty set of lanes.
-- @tparam table context
-- @tparam table plane `websockets.pubsub.shared`
-- @tparam table store `answered(store, name, number, id)`; without an id the message is not kept
-- @treturn lanes
function lanes.new(context, plane, store)
  return setmetatable({
    context = context, plane = plane, store = store, has_refused = false, by_slot = {}, count = 0, bytes = 0,
  }, lanes)
end

local function lane_of(self, slot)
  local lane = self.by_slot[slot]
  if lane then return lane end
  -- Entries from `first` to `last`; the last one that was sent; how many of these are not answered, and the link they
  -- went by; what the first of them was refused with that has to be sent again. A lane that is held waits until the
  -- plane is ready; a narrow one sends an entry when the one before is answered: a node that has just come back may
  -- refuse the first ones of many, and take the others. Whether a timer has it tried again.
  lane = {
    lanes = self, slot = slot, entries = {}, first = 1, last = 0, sent = 0, flying = 0, link = false, is_held = false,
    is_narrow = true, fault = false, is_trying = false,
  }
  self.by_slot[slot] = lane
  return lane
end

local again

-- Where no answer is to come, nothing else would have the lane go on.
local function try_again(self, lane)
  if lane.flying > 0 or lane.is_trying then return end
  self.context.timers:start(RETRY_SECONDS, self.context.now, lane, again)
  lane.is_trying = true
end

-- Sends what may be sent.
local function dispatch(self, lane)
  if lane.is_held or lane.fault or lane.sent == lane.last then return end
  local its_link = self.plane.carrier:link_at(lane.slot)
  if not its_link or lane.flying > 0 and (lane.is_narrow or lane.link ~= its_link) then return end
  lane.link = its_link
  repeat
    local entry = lane.entries[lane.sent + 1]
    -- One that was refused for good, after one that is sent again.
    if not entry.is_done then
      if not its_link:send(entry.command, entry) then return try_again(self, lane) end
      lane.flying = lane.flying + 1
    end
    lane.sent = lane.sent + 1
  until lane.is_narrow and lane.flying > 0 or lane.sent == lane.last
end

function again(lane)
  lane.is_trying = false
  dispatch(lane.lanes, lane)
end

-- An entry is answered for good.
local function finish(self, entry, id, fault, word)
  entry.is_done = true
  self.count, self.bytes = self.count - 1, self.bytes - #entry.command
  if entry.on_stored and id then
    self.context.agenda:call(nil, entry.on_stored, id)
  elseif entry.on_stored then
    self.context.agenda:call(nil, entry.on_stored, nil, fault, word)
  end
  -- Last: it may find no memory.
  self.store:answered(entry.name, entry.number, id)
end

local function drop_done(lane)
  local entries = lane.entries
  while lane.first <= lane.last and entries[lane.first].is_done do
    entries[lane.first] = nil
    lane.first = lane.first + 1
  end
  lane.sent = max(lane.sent, lane.first - 1)
  if lane.first <= lane.last then return end
  lane.first, lane.last, lane.sent = 1, 0, 0
  lane.is_held, lane.fault = false, false
end

-- A node has referred the entries of a lane elsewhere, and all that it was sent are answered. They are sent again: to
-- the node that has got their keys already, one at a time, as each has to be asked for; or once it is known anew which
-- node has the slot.
local function follow(self, lane)
  local its_carrier, fault = self.plane.carrier, lane.fault
  local entry, its_link = lane.entries[lane.first], its_carrier:link_for(fault, lane.link)
  lane.sent, lane.fault = lane.first - 1, false
  if entry.is_asked or not its_link then
    entry.is_asked, lane.is_held = false, true
    return its_carrier:redirected(lane.link)
  end
  entry.is_asked, lane.is_narrow, lane.link = true, true, its_link
  if its_link:send(ASKING) and its_link:send(entry.command, entry) then
    lane.sent, lane.flying = lane.first, 1
  else
    lane.is_held = true
    its_carrier:redirected(its_link)
  end
end

-- What was sent is sent again, once there is a connection: the first one alone. An error may have left those that are
-- answered.
local function rewind(self, lane)
  drop_done(lane)
  lane.sent, lane.fault, lane.is_narrow = lane.first - 1, false, true
  dispatch(self, lane)
end

local function report(self, fault)
  if self.has_refused then return end
  self.has_refused = true
  self.plane:report("a message was refused: " .. fault)
end

-- The answer to a message of ours.
local function answered(_, value, entry)
  local self, lane = entry.lanes, entry.lane
  if entry.is_done then return end
  lane.flying = lane.flying - 1
  local fault = resp.fault(value) or type(value) ~= "table" and "another answer came" or nil
  if fault and self.plane.carrier.redirected and slots.is_redirection(fault) then
    lane.fault = lane.fault or fault
  elseif fault then
    report(self, fault)
    finish(self, entry, nil, fault, "unavailable")
  else
    -- What was referred elsewhere before this one was taken would be taken for one that is there.
    for i = lane.first, lane.last do
      local before = lane.entries[i]
      if before == entry then break end
      if not before.is_done then finish(self, before, nil, lane.fault, "unavailable") end
    end
    lane.fault, lane.is_narrow = false, entry.is_asked or false
    finish(self, entry, value[1])
  end
  drop_done(lane)
  if lane.flying > 0 or lane.first > lane.last then return end
  if lane.fault then follow(self, lane) else dispatch(self, lane) end
end

local function lost(_, entry)
  local self, lane = entry.lanes, entry.lane
  if entry.is_done then return end
  lane.flying = lane.flying - 1
  if lane.flying == 0 and lane.first <= lane.last then rewind(self, lane) end
end

--- Sends a message to the server.
-- @tparam integer|boolean slot
-- @tparam table entry `name` of the topic, `number` of the message, `command`; perhaps `on_stored(id)`, which may get
-- nil, a message and a code
-- @treturn[1] boolean true: it is on its way
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `unavailable`, `full`
function lanes:add(slot, entry)
  if not self.plane.carrier:link_at(slot) then return carrier.refuse() end
  if self.count > MAX_UNANSWERED or self.bytes >= MAX_UNANSWERED_BYTES then return carrier.refuse_full() end
  local lane = lane_of(self, slot)
  local at = lane.last + 1
  entry.lanes, entry.lane, entry.reply, entry.lost = self, lane, answered, lost
  -- First what may find no memory: what is not counted is not there.
  lane.entries[at] = entry
  lane.last, self.count, self.bytes = at, self.count + 1, self.bytes + #entry.command
  local is_good, err = pcall(dispatch, self, lane)
  -- Where others wait too, or the lane is held, it is sent after them.
  local is_taken = lane.sent == at or is_good and (lane.flying > 0 or lane.is_held or lane.fault)
  if not is_taken then
    lane.entries[at] = nil
    lane.last, self.count, self.bytes = at - 1, self.count - 1, self.bytes - #entry.command
  end
  if not is_good then error(err, 0) end
  if is_taken then return true end
  return carrier.refuse_full()
end

--- The server, or more of the cluster than before, can be reached: what waits is sent.
function lanes:ready()
  self.has_refused = false
  for _, lane in pairs(self.by_slot) do
    if lane.flying == 0 then
      lane.is_held = false
      rewind(self, lane)
    end
  end
end

--- Ends: what waits is not sent again.
-- @tparam string message
-- @tparam string word
function lanes:give_up(message, word)
  local all = self.by_slot
  self.by_slot = {}
  for _, lane in pairs(all) do
    lane.is_held = true
    for i = lane.first, lane.last do
      local entry = lane.entries[i]
      if not entry.is_done then finish(self, entry, nil, message, word) end
    end
  end
end

require("websockets.loading").interpret(lanes.ready, lanes.give_up)

return lanes
