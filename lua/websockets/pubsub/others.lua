--- What other processes have told of the names that are present in topics.
--
-- While this process cannot reach the others, what they told last is kept. Then each is asked, and those that have
-- names answer with all of them. One that has none, or does not hear the question, does not answer: what it told before
-- is forgotten after a while.
-- @module websockets.pubsub.others
local others = {}
others.__index = others

--- Makes what knows of no process.
-- @tparam ?number seconds after which a process is forgotten that gives no sign of life
-- @tparam ?number patience seconds after which names are forgotten that were asked for and not told again
-- @treturn others
function others.new(seconds, patience)
  return setmetatable({
    seconds = seconds, patience = patience,
    -- Process -> `heard_at`; `topics`: topic -> name -> true; `old`: topic -> name -> when it was asked for, of names
    -- that were told before that.
    processes = {},
  }, others)
end

--- Takes the names of a process in a topic, or changes of them.
-- @tparam string origin the process
-- @tparam string topic
-- @tparam boolean is_all whether they are all its names
-- @tparam function each `each(fn)` calls `fn(sign, name)` for each: `+` is one that it has
-- @tparam number now
function others:take(origin, topic, is_all, each, now)
  local one = self.processes[origin] or { topics = {}, old = {} }
  self.processes[origin], one.heard_at = one, now
  local names, old = not is_all and one.topics[topic] or {}, not is_all and one.old[topic] or nil
  each(function(sign, name)
    names[name] = sign == "+" or nil
    if old then old[name] = nil end
  end)
  one.topics[topic] = next(names) ~= nil and names or nil
  one.old[topic] = old and next(old) ~= nil and old or nil
end

local function make_old(one, topic, now)
  local old = one.old[topic] or {}
  for name in pairs(one.topics[topic]) do old[name] = now end
  one.old[topic], one.topics[topic] = old, nil
end

--- The names of a topic are asked for.
-- @tparam string topic
-- @tparam number now
function others:asked(topic, now)
  for _, one in pairs(self.processes) do
    if one.topics[topic] then make_old(one, topic, now) end
  end
end

--- A process lives.
-- @tparam string origin
-- @tparam number now
function others:lives(origin, now)
  if self.processes[origin] then self.processes[origin].heard_at = now end
end

--- A process has said goodbye.
-- @tparam string origin
function others:gone(origin) self.processes[origin] = nil end

--- Nothing is heard of a topic any more.
-- @tparam string topic
function others:forget(topic)
  for _, one in pairs(self.processes) do one.topics[topic], one.old[topic] = nil, nil end
end

local function drop_late(self, one, topic, now)
  local old = one.old[topic]
  for name, asked_at in pairs(old) do
    if now - asked_at > self.patience then old[name] = nil end
  end
  if next(old) == nil then one.old[topic] = nil end
end

--- Forgets processes that have given no sign of life, and names that were not told again.
-- @tparam number now
function others:expire(now)
  for origin, one in pairs(self.processes) do
    if now - one.heard_at > self.seconds then self.processes[origin] = nil end
    for topic in pairs(one.old) do drop_late(self, one, topic, now) end
  end
end

--- Calls a function with sets of the names in a topic, of all processes.
-- @tparam string topic
-- @tparam function fn
-- @tparam number now
function others:each(topic, fn, now)
  for _, one in pairs(self.processes) do
    if one.old[topic] then drop_late(self, one, topic, now) end
    if one.topics[topic] then fn(one.topics[topic]) end
    if one.old[topic] then fn(one.old[topic]) end
  end
end

require("websockets.loading").interpret()

return others
