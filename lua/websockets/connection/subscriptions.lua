--- Which connections are subscribed to which topics. A topic is an array of its subscribers' wires, which a fan-out
-- takes as it is; each connection knows its place in the arrays that it is in. So joining and leaving cost the same in
-- a topic of one and of thousands, and what never subscribes costs nothing.
-- @module websockets.connection.subscriptions
local backlog = require("websockets.connection.backlog")

local subscriptions = {}
subscriptions.__index = subscriptions

-- Among the places of a connection: how many it has, and the connection itself. Topics have strings as names.
local COUNT, OWNER = 1, 2
local NONE = {}

--- Makes an index without topics.
-- @tparam table plane `subscribe(name)` is called when a topic gets its first subscriber, `unsubscribe(name)` after its
-- last one has gone, `left(ws, name)` after a connection has left a topic, `forget(ws)` when the end of one begins,
-- `repair(topics)` after an error; see `websockets.pubsub.in_process`
-- @treturn subscriptions `topics`: name -> array of wires, with their `count`; `backlog`: messages that wait;
-- `tells_left`: whether `left` is called; `topic_count`, and `total`: how many subscriptions there are; `fragmented`:
-- the connections that are sending a message in fragments, with `fragment_count`; `counts_use`: whether any has an
-- `idle_timeout`
function subscriptions.new(plane)
  -- The places are kept here and not by the connections: those have no room for another field. They are found by wire.
  return setmetatable({
    topics = {}, places = {}, plane = plane, backlog = backlog.new(), tells_left = false, topic_count = 0, total = 0,
    fragmented = {}, fragment_count = 0, counts_use = false,
    -- Of `websockets.connection.fanout`, which uses it again for each message.
    troubled = {},
  }, subscriptions)
end

-- `is_so`: true, or nil for one that sends no fragments.
local function note_fragment(self, ws, is_so)
  if self.fragmented[ws] == is_so then return end
  self.fragmented[ws] = is_so
  self.fragment_count = self.fragment_count + (is_so and 1 or -1)
end

--- Tells which connection has a wire that is in a topic.
-- @tparam table|userdata wire
-- @treturn table
function subscriptions:owner(wire) return self.places[wire][OWNER] end

--- Tells how many topics a connection is subscribed to.
-- @tparam table ws
-- @treturn integer
function subscriptions:count(ws)
  local places = self.places[ws.wire]
  return places and places[COUNT] or 0
end

--- Tells which place a connection has in a topic.
-- @tparam table ws
-- @tparam string name
-- @treturn ?integer nil for none
function subscriptions:place(ws, name)
  local places = self.places[ws.wire]
  return places and places[name]
end

-- First what may find no memory: what is not counted is not there.
local function enter(self, ws, name, topic, places)
  local place, wire = topic.count + 1, ws.wire
  topic[place], self.topics[name], self.places[wire] = wire, topic, places
  places[name] = place
  self:follow_fragment(ws)
  if ws.idle_slot then self.counts_use = true end
  if place == 1 then self.plane:subscribe(name) end
  places[COUNT] = places[COUNT] + 1
  topic.count, self.total = place, self.total + 1
  if place == 1 then self.topic_count = self.topic_count + 1 end
end

--- Subscribes a connection to a topic that it is not subscribed to.
-- @tparam table ws open
-- @tparam string name
-- @tparam ?table made what becomes the array of a topic that has none yet, with `count` 0
function subscriptions:join(ws, name, made)
  local topic, places = self.topics[name] or made or { count = 0 }, self.places[ws.wire] or { 0, ws }
  local is_good, err = pcall(enter, self, ws, name, topic, places)
  if is_good then return end
  -- As before: a topic without subscribers, and a place that is none, would be taken for some.
  topic[topic.count + 1], places[name] = nil, nil
  if topic.count == 0 then self.topics[name] = nil end
  if places[COUNT] == 0 then
    self.places[ws.wire] = nil
    note_fragment(self, ws, nil)
  end
  error(err, 0)
end

--- Takes note of whether a connection is sending a message in fragments: those of topics wait for its end.
-- @tparam table ws
function subscriptions:follow_fragment(ws)
  if self.places[ws.wire] then note_fragment(self, ws, ws.fragment and true or nil) end
end

-- Takes a wire out of the array of a topic; the last one takes its place. Returns whether there is none left.
local function remove(self, wire, name, place)
  local topic = self.topics[name]
  -- Where an error had got so far, the place is that of another, or is not counted.
  if not topic or topic[place] ~= wire or place > topic.count then return false end
  local count = topic.count
  local last = topic[count]
  local places = self.places[last]
  if places then places[name] = place end
  topic[place] = last
  topic.count, self.total = count - 1, self.total - 1
  topic[count] = nil
  if count > 1 then return false end
  self.topics[name] = nil
  self.topic_count = self.topic_count - 1
  return true
end

-- Tells the back plane, which may find no memory for that: it must keep nothing from its end.
local function tell_left(self, ws, name, is_last)
  local agenda, plane = ws.context.agenda, self.plane
  if self.tells_left then agenda:call(nil, plane.left, plane, ws, name) end
  if is_last then agenda:call(nil, plane.unsubscribe, plane, name) end
end

--- Takes a connection out of a topic.
-- @tparam table ws
-- @tparam string name
-- @treturn boolean whether it was subscribed
function subscriptions:leave(ws, name)
  local places = self.places[ws.wire]
  local place = places and places[name]
  if not place then return false end
  local is_last = remove(self, ws.wire, name, place)
  places[name] = nil
  places[COUNT] = places[COUNT] - 1
  if places[COUNT] == 0 then
    self.places[ws.wire] = nil
    note_fragment(self, ws, nil)
  end
  tell_left(self, ws, name, is_last)
  return true
end

local function leave_all(self, ws, wire)
  self.backlog:forget(ws)
  note_fragment(self, ws, nil)
  self.plane:forget(ws)
  for name, place in pairs(self.places[wire] or NONE) do
    if name ~= COUNT and name ~= OWNER then tell_left(self, ws, name, remove(self, wire, name, place)) end
  end
  self.places[wire] = nil
end

--- Takes a connection out of all its topics, when its end begins. What waits for it is forgotten.
-- @tparam table ws
function subscriptions:leave_all(ws) leave_all(self, ws, ws.wire) end

-- Brings the array of a topic to those that are there and open; `places` gets their places.
local function mend_topic(self, name, topic, places)
  local count = 0
  -- An error may have come before the last one was counted, or after it has taken the place of another.
  for i = 1, topic.count + 1 do
    local wire = topic[i]
    local known, new = wire and self.places[wire], wire and places[wire]
    topic[i] = nil
    if known and known[OWNER].state == "open" and not (new and new[name]) then
      count = count + 1
      new = new or { 0, known[OWNER] }
      topic[count], places[wire] = wire, new
      new[name], new[COUNT] = count, new[COUNT] + 1
    end
  end
  topic.count = count
  return count
end

--- Counts anew after an error that may have come between any two steps.
function subscriptions:repair()
  for wire, known in pairs(self.places) do
    if known[OWNER].state ~= "open" then leave_all(self, known[OWNER], wire) end
  end
  local places, total, topic_count = {}, 0, 0
  for name, topic in pairs(self.topics) do
    local count = mend_topic(self, name, topic, places)
    total = total + count
    if count > 0 then topic_count = topic_count + 1 end
  end
  self.places, self.total, self.topic_count = places, total, topic_count
  -- By the connections themselves: the beginning of a message may not have been noted, nor its end.
  local fragmented, fragment_count = {}, 0
  for _, known in pairs(places) do
    local ws = known[OWNER]
    if ws.fragment then fragmented[ws], fragment_count = true, fragment_count + 1 end
  end
  self.fragmented, self.fragment_count = fragmented, fragment_count
  for name, topic in pairs(self.topics) do
    if topic.count == 0 then self.topics[name] = nil end
  end
  self.plane:repair(self.topics)
end

--- Lists the topics of a connection.
-- @tparam table ws
-- @treturn {string,...} in no order
function subscriptions:names(ws)
  local list = {}
  for name in pairs(self.places[ws.wire] or list) do
    if name ~= COUNT and name ~= OWNER then list[#list + 1] = name end
  end
  return list
end

require("websockets.loading").interpret(leave_all, subscriptions.repair, subscriptions.names)

--- Ends the back plane: the context is being destroyed.
function subscriptions:close() self.plane:close() end

return subscriptions
