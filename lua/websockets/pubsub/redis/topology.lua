--- Which node of a Redis cluster has which slot: asks for it, and asks again, but not too often. An answer that leads
-- nowhere costs a question at times, and no more.
-- @module websockets.pubsub.redis.topology
local resp = require("websockets.pubsub.redis.resp")
local slots = require("websockets.pubsub.redis.slots")

local topology = {}
topology.__index = topology

-- Between two questions; twice as long each time when nothing has changed.
local MIN_PACE_SECONDS, MAX_PACE_SECONDS = 0.1, 1
local ASK = resp.command("CLUSTER", "SLOTS")

local function slow_down(self) self.pace = math.min(self.pace * 2, MAX_PACE_SECONDS) end

-- Returns whether anything is other than before.
local function take_owners(self, owners)
  local old, is_other = self.owners, false
  self.owners = owners
  for slot = 0, slots.COUNT - 1 do
    if old[slot] ~= owners[slot] then
      is_other = true
      self.events:slot_moved(slot, old[slot])
    end
  end
  return is_other
end

local function take_answer(self, value, its_link)
  local owners, places = slots.read(value, its_link.server)
  if owners and next(places) then
    self.has_reported = false
    if take_owners(self, owners) then self.pace = MIN_PACE_SECONDS else slow_down(self) end
    return self.events:charted(places)
  end
  slow_down(self)
  if not self.has_reported then
    self.has_reported = true
    self.events:report("the slots of the cluster cannot be read: " .. (owners and "there are none" or places))
  end
  self:refresh()
end

local function ask(self)
  self.context.timers:unplan(self)
  local source = self.source
  self.source = false
  local its_link = source and source.state == "ready" and source or self.events:any_link()
  self.is_due = not its_link
  if not its_link then return end
  self.asked_at = self.context.now
  self.is_asking = its_link:send(ASK, {
    lost = function()
      self.is_asking = false
      self:refresh()
    end,
    reply = function(_, value)
      self.is_asking = false
      take_answer(self, value, its_link)
    end,
  })
  -- Too much waits for the node.
  if not self.is_asking then
    slow_down(self)
    self:refresh()
  end
end

--- Makes one that knows of no slot.
-- @tparam table context
-- @tparam table events `any_link()`; `slot_moved(slot, old)` for each slot that has another node, or none; then
-- `charted(places)`; `report(message)`
-- @treturn topology `owners`: slot -> name of the node that has it
function topology.new(context, events)
  return setmetatable({
    context = context, events = events, place = false, fire = ask, owners = {},
    -- Whether an answer is to come, when the last one was asked for, how long after that the next one may be; the
    -- connection to ask by, where one may know more than others.
    is_asking = false, asked_at = -math.huge, pace = MIN_PACE_SECONDS, source = false,
    -- Whether it could not be asked because there was no connection.
    is_due = false,
    has_reported = false, is_closed = false,
  }, topology)
end

--- Asks, at once or in a while. A failure is reported once, and it is asked again.
-- @tparam ?link its_link to a node that may know more than others
function topology:refresh(its_link)
  self.source = its_link or self.source
  if self.is_asking or self.place or self.is_closed then return end
  self.context.timers:plan(self, math.max(self.context.now, self.asked_at + self.pace))
end

--- A node can be reached.
function topology:reached()
  if self.is_due then self:refresh() end
end

--- Ends.
function topology:close()
  self.is_closed = true
  self.context.timers:unplan(self)
end

require("websockets.loading").interpret(take_answer)

return topology
