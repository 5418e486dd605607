--- Messages that were dropped because a peer did not read: how many, and of which topic. The application is told at the
-- end of the turn.
-- @module websockets.connection.drops
local drops = {}
drops.__index = drops

--- Makes a count.
-- @tparam ?function handler `handler(ws, topic, count)`, or nil: nothing is told
-- @treturn drops `total`: how many there were; `records`: what is still to be told
function drops.new(handler)
  return setmetatable({
    handler = handler or false, total = 0, records = {}, count = 0, by_ws = {},
    -- What timers take it for, and its context.
    fire = drops.tell_next, place = false, context = false,
  }, drops)
end

local function record_of(self, ws)
  local record = self.by_ws[ws]
  if not record then
    -- Has `tell` called at the end of this turn.
    ws.context.agenda:touch(ws)
    record = { ws = ws, topics = {}, others = 0 }
    -- First what may find no memory: what is not counted is not told, and is overwritten.
    self.records[self.count + 1] = record
    self.by_ws[ws] = record
    self.count = self.count + 1
  end
  return record
end

--- Notes messages that were dropped.
-- @tparam table ws
-- @tparam ?string name the topic; nil where that is none, or not known
-- @tparam integer count
function drops:note(ws, name, count)
  self.total = self.total + count
  local topic = name and ws.context.subscriptions.topics[name]
  if topic then topic.dropped = (topic.dropped or 0) + count end
  if not self.handler then return end
  local record = record_of(self, ws)
  if name then
    record.topics[name] = (record.topics[name] or 0) + count
  else
    record.others = record.others + count
  end
end

--- Tells the application what was dropped since it was told last. What its function has dropped itself is told in the
-- next turn: a function that sends again and again to a peer that does not read would have this turn go on for ever.
-- @tparam agenda agenda
function drops:tell(agenda)
  if self.place then return end
  local records, count = self.records, self.count
  self.records, self.by_ws, self.count = {}, {}, 0
  for i = 1, count do
    local record = records[i]
    for name, number in pairs(record.topics) do agenda:call(record.ws, self.handler, record.ws, name, number) end
    if record.others > 0 then agenda:call(record.ws, self.handler, record.ws, nil, record.others) end
  end
  if self.count == 0 then return end
  self.context = self.records[1].ws.context
  self.context.timers:plan(self, self.context.now)
end

--- Tells what the application's function has dropped itself, in the turn after that.
function drops:tell_next()
  self.context.timers:unplan(self)
  self:tell(self.context.agenda)
end

require("websockets.loading").interpret(drops.tell)

return drops
