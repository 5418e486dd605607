--- Which names are present in topics, over all processes of a back plane.
--
-- Each process tells the others of a topic by the topic's channel: a change (`P`), all names that it has (`S`), or all
-- of them with the wish to hear those of the others (`R`). What a process has told is forgotten when it says goodbye
-- (`X`), or when it has given no sign of life (`L`) for a while.
-- @module websockets.pubsub.presence
local others = require("websockets.pubsub.others")

local presence = {}
presence.__index = presence

local byte, find, sub = string.byte, string.find, string.sub

-- A process says so many times that it lives before it would be forgotten.
local BEATS = 3
-- Topics without subscribers here are followed at least so long after they were asked for, unless so many others were.
local WATCH_SECONDS, MAX_WATCHED = 60, 5000
-- How many topics are noted at most of which the carrier did not take what was to be told.
local MAX_UNTOLD = 10000
local CHANGE, ALL, ASK, LIFE, GOODBYE = "P", "S", "R", "L", "X"
local MAX_DIGITS = 8

--- Makes what a context keeps.
-- @tparam table context
-- @tparam ?table plane `websockets.pubsub.shared`; nil where the context is alone
-- @tparam ?number seconds after which a process is forgotten that gives no sign of life
-- @treturn presence
function presence.new(context, plane, seconds)
  return setmetatable({
    context = context, plane = plane or false, seconds = seconds,
    -- Of this process: topic -> name -> how many connections; connection -> topic -> name. Changes that are not told.
    own = {}, named = {}, changes = {},
    -- Topics of which the others have not been told all, or were not asked, because the carrier was away -> `ALL` or
    -- `ASK`; how many they are.
    untold = {}, untold_count = 0,
    -- What the other processes have told, and of which topics they are asked for it. What is not told again after the
    -- others could not be reached goes as late as what they could not tell is told.
    others = others.new(seconds, seconds and seconds / BEATS), tracked = {}, is_beating = false,
    -- Topics without subscribers here that are followed for a while: those asked for since the last time that some were
    -- given up, and how many they are; those asked for before. The value tells whether the channel is retained.
    young = {}, young_count = 0, old = {}, is_watching = false,
    fire = presence.tell_changes, place = false,
  }, presence)
end

local function write(sign, name) return sign .. #name .. ":" .. name end

-- Calls a function with each sign and name of a list that has come; stops where it is none.
local function each(bytes, at, fn)
  while at <= #bytes do
    local sign = sub(bytes, at, at)
    local _, colon = find(bytes, "^%d+:", at + 1)
    if sign ~= "+" and sign ~= "-" or not colon or colon - at - 1 > MAX_DIGITS then return end
    local last = colon + tonumber(sub(bytes, at + 1, colon - 1))
    if last > #bytes then return end
    fn(sign, sub(bytes, colon + 1, last))
    at = last + 1
  end
end

local function all_names(self, topic)
  local parts = {}
  for name in pairs(self.own[topic] or parts) do parts[#parts + 1] = write("+", name) end
  return table.concat(parts)
end

-- Tells all names of a topic, with or without the question for those of the others. Where the carrier does not take
-- that, it is tried again with the next sign of life.
local function tell_names(self, topic, kind)
  local before = self.untold[topic]
  if kind == ASK then self.others:asked(topic, self.context.now) end
  if self.plane:tell(topic, kind .. all_names(self, topic)) then
    -- The names alone do not stand for a question.
    if before and (kind == ASK or before == ALL) then
      self.untold[topic], self.untold_count = nil, self.untold_count - 1
    end
  elseif before then
    if kind == ASK then self.untold[topic] = ASK end
  elseif self.untold_count < MAX_UNTOLD then
    self.untold[topic], self.untold_count = kind, self.untold_count + 1
  end
end

local beat

local function start_beating(self)
  if self.is_beating or not self.plane then return end
  self.plane:listen()
  self.context.timers:start(self.seconds / BEATS, self.context.now, self, beat)
  -- Last: after an error it is begun anew.
  self.is_beating = true
end

-- Says that this process lives, and forgets others that have not said so.
function beat(self)
  local now = self.context.now
  self.plane:tell_all(LIFE)
  for topic, kind in pairs(self.untold) do
    if not self.tracked[topic] then self.untold[topic], kind = ALL, ALL end
    tell_names(self, topic, kind)
  end
  self.others:expire(now)
  self.context.timers:start(self.seconds / BEATS, now, self, beat)
end

local function tell_change(self, topic)
  local parts, names, own = {}, self.changes[topic], self.own[topic] or {}
  for name in pairs(names) do parts[#parts + 1] = write(own[name] and "+" or "-", name) end
  local bytes = CHANGE .. table.concat(parts)
  -- Before it is told: the application's function may bring new ones.
  self.changes[topic] = nil
  local is_good, result = pcall(self.plane.tell, self.plane, topic, bytes)
  if is_good and result then return end
  if is_good then return tell_names(self, topic, ALL) end
  self.changes[topic] = self.changes[topic] or names
  error(result, 0)
end

--- Tells the other processes what has changed in this one.
function presence:tell_changes()
  local timers, changes, topics = self.context.timers, self.changes, {}
  -- First: what an error keeps from being told is told in the next turn, and so is what is added meanwhile.
  timers:plan(self, self.context.now)
  for topic in pairs(changes) do topics[#topics + 1] = topic end
  for _, topic in ipairs(topics) do tell_change(self, topic) end
  if next(changes) == nil then timers:unplan(self) end
end

-- May be called while a connection ends: the others are told in the next turn.
local function note(self, topic, name)
  if not self.plane then return end
  self.changes[topic] = self.changes[topic] or {}
  self.changes[topic][name] = true
  if not self.place then self.context.timers:plan(self, self.context.now) end
end

--- A connection leaves a topic.
-- @tparam table ws
-- @tparam string topic
function presence:leave(ws, topic)
  local topics = self.named[ws]
  local name = topics and topics[topic]
  if not name then return end
  topics[topic] = nil
  if next(topics) == nil then self.named[ws] = nil end
  local own = self.own[topic]
  -- Where an error came while it entered, it does not count.
  if not (own and own[name]) then return end
  own[name] = own[name] > 1 and own[name] - 1 or nil
  if own[name] then return end
  if next(own) == nil then self.own[topic] = nil end
  note(self, topic, name)
end

--- A connection is in a topic by a name; another name that it had there is left.
-- @tparam table ws
-- @tparam string topic
-- @tparam string name
function presence:enter(ws, topic, name)
  local topics, own = self.named[ws], self.own[topic]
  if topics and topics[topic] == name and own and own[name] then return end
  self:leave(ws, topic)
  topics, own = self.named[ws] or {}, self.own[topic] or {}
  self.named[ws] = topics
  topics[topic] = name
  -- A count comes after the name by which its connection leaves; and a topic is there only with a name in it.
  own[name] = (own[name] or 0) + 1
  self.own[topic] = own
  if own[name] == 1 then note(self, topic, name) end
  self:track(topic)
end

--- Follows a topic from now on: the names of other processes are asked for, at once or when its channel is confirmed.
-- @tparam string topic
function presence:track(topic)
  if self.tracked[topic] or not self.plane then return end
  start_beating(self)
  -- First: answers come while it asks. After an error it is asked again the next time.
  self.tracked[topic] = true
  if not self.plane:hears(topic) then return end
  local is_good, err = pcall(tell_names, self, topic, ASK)
  if is_good then return end
  self.tracked[topic] = nil
  error(err, 0)
end

-- Gives up the topics that were not asked for since the last time, but for one.
local function give_up(self, spared)
  local young = {}
  for topic, is_retained in pairs(self.old) do
    if topic ~= spared then
      self.old[topic] = nil
      if is_retained then self.plane:release(topic) end
    end
  end
  self.old, self.young, self.young_count = self.young, young, 0
end

local look_again

local function start_watching(self)
  if self.is_watching then return end
  self.context.timers:start(WATCH_SECONDS, self.context.now, self, look_again)
  self.is_watching = true
end

function look_again(self)
  self.is_watching = false
  local is_good, err = pcall(give_up, self)
  if next(self.old) ~= nil then start_watching(self) end
  if not is_good then error(err, 0) end
end

--- Follows a topic that has no subscriber in this process, for a while. Names of topics may come from peers: where many
-- are asked for, those that were asked for longest ago are given up.
-- @tparam string topic
function presence:watch(topic)
  if not self.plane then return end
  if self.young[topic] == nil then
    local is_retained = self.old[topic] or false
    if self.young_count >= MAX_WATCHED then give_up(self, topic) end
    self.young[topic] = is_retained
    self.young_count, self.old[topic] = self.young_count + 1, nil
  end
  -- First: whatever happens in what follows, it ends.
  start_watching(self)
  if not self.young[topic] then
    self.plane:retain(topic)
    self.young[topic] = true
  end
  self:track(topic)
end

--- The channel of a topic is confirmed, perhaps anew: what was told meanwhile is asked for.
-- @tparam string topic
function presence:subscribed(topic)
  if self.tracked[topic] then tell_names(self, topic, ASK) end
end

--- Nothing is heard of a topic any more.
-- @tparam string topic
function presence:forget(topic)
  self.tracked[topic] = nil
  self.others:forget(topic)
end

--- Lists the names that are present.
-- @tparam string topic
-- @treturn {string,...} each once, sorted
function presence:list(topic)
  local seen, list = {}, {}
  local function add(names)
    for name in pairs(names) do
      if not seen[name] then list[#list + 1] = name end
      seen[name] = true
    end
  end
  add(self.own[topic] or {})
  self.others:each(topic, add, self.context.now)
  table.sort(list)
  return list
end

--- Takes what another process tells of a topic.
-- @tparam string topic
-- @tparam string origin the process
-- @tparam string bytes
-- @tparam integer at where the letter is
function presence:message(topic, origin, bytes, at)
  local kind = sub(bytes, at, at)
  if kind ~= CHANGE and kind ~= ALL and kind ~= ASK then return end
  if kind == ASK and self.own[topic] then tell_names(self, topic, ALL) end
  if not self.tracked[topic] then return end
  local function each_name(fn) each(bytes, at + 1, fn) end
  self.others:take(origin, topic, kind ~= CHANGE, each_name, self.context.now)
end

--- Takes what another process tells to all.
-- @tparam string origin the process
-- @tparam string bytes
-- @tparam integer at where the letter is
function presence:message_to_all(origin, bytes, at)
  local kind = byte(bytes, at)
  if kind == byte(GOODBYE) then
    self.others:gone(origin)
  elseif kind == byte(LIFE) then
    self.others:lives(origin, self.context.now)
  end
end

--- Says goodbye: the context is being destroyed.
function presence:close()
  if self.is_beating then self.plane:tell_all(GOODBYE) end
end

require("websockets.loading").interpret()

return presence
