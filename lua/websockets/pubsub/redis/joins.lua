--- One topic with a history in one process: how far its subscribers have got, and connections that join it with what
-- they have missed.
--
-- Subscribers have all entries up to `at`. After the connection to the server was lost they get what came meanwhile. A
-- connection that joins is no subscriber yet: it gets pages of entries until nothing is left, and is one from then on.
-- @module websockets.pubsub.redis.joins
local excepts = require("websockets.pubsub.redis.excepts")
local history = require("websockets.pubsub.history")
local jobs = require("websockets.pubsub.redis.jobs")

-- So much may wait for a connection before it gets the next page; how long to wait then.
local MAX_WAITING_BYTES, RETRY_SECONDS = 262144, 0.05

local joins = {}
joins.__index = joins

--- Makes the state of a topic.
-- @tparam table store `websockets.pubsub.redis.streams`
-- @tparam string name
-- @tparam table keep `encode`, `on_gap`
-- @treturn joins
function joins.new(store, name, keep)
  return setmetatable({
    store = store, name = name, keep = keep,
    -- The id of the last entry that subscribers have, "" before any, nil where that was never asked, or could not be
    -- read; whether what comes is delivered, and whether it ever was; why the server refuses it.
    at = nil, is_live = false, was_live = false, fault = false,
    -- Connections that join.
    jobs = {}, excepts = excepts.new(store.plane.origin),
    -- How often was asked what subscribers have missed: only the last answer counts.
    round = 0,
    -- Publisher -> number of its last message that subscribers have; jobs that wait for subscribers to get as far.
    numbers = {}, waiting = {},
    -- The slot of its channel, of `websockets.pubsub.redis.streams`: the one for this carrier.
    slot = false, carrier = false,
  }, joins)
end

-- Whether another state, or none, has taken its place.
local function is_over(self) return self.store.states[self.name] ~= self end

local function deliver(self, entry)
  local store, except = self.store, self.excepts:take(entry)
  self.at = entry.id
  if not jobs.is_new(self.numbers, entry) then return end
  local data = history.data_of(store.context, self.name, self.keep, entry)
  store.receiver:deliver(self.name, entry.opcode, data, except, entry.key)
end

local function tell_gap(self)
  local store, on_gap = self.store, self.keep.on_gap
  if not on_gap then return end
  for _, ws in ipairs(store.receiver:members(self.name)) do store.context.agenda:call(ws, on_gap, ws, self.name) end
end

local serve

-- Those that wait for this; each may go.
local function go_live(self)
  local waiting = {}
  self.excepts:drop(self.at)
  for i, job in ipairs(self.jobs) do waiting[i] = job end
  self.is_live, self.was_live, self.waiting = true, true, {}
  for _, job in ipairs(waiting) do serve(self, job) end
end

-- What subscribers have missed is gone, in part or all of it. The last entry is not known where nothing could be read.
local function skip(self, last)
  self.at = last
  tell_gap(self)
  go_live(self)
end

-- A page of what subscribers have missed.
local function take_missed(self, last, is_whole, entries)
  for _, entry in ipairs(entries) do
    if not history.follows(entry, self.at) then return skip(self, last) end
    if entry.opcode then deliver(self, entry) end
    self.at = entry.id
  end
  if not is_whole then return self:catch_up(true) end
  -- Where nothing came although something was published, or the server has lost what subscribers have: what was
  -- published since may have any ids.
  if self.at ~= last then return skip(self, last) end
  go_live(self)
end

--- Asks what subscribers have missed; where they have had nothing, how far the topic is.
-- @tparam ?boolean is_more whether a page has come already
function joins:catch_up(is_more)
  self.is_live, self.round = false, self.round + 1
  local round, since = self.round, self.at or ""
  if self.at == "" then since = history.ALL end
  self.store:read(self, since, is_more, function(last, is_whole, entries)
    if is_over(self) or self.round ~= round then return end
    if not last then self.store:report_fault(self.name, is_whole) end
    if not self.was_live and not self.at then
      self.at = last
      return go_live(self)
    end
    if not (last and self.at) then return skip(self, last) end
    take_missed(self, last, is_whole, entries)
  end)
end

local finish, settle

-- An id that is not after those before: subscribers have the message, or the server has lost what it had, and its clock
-- was set back. Then connections that have got further while they joined have got all there is.
local function go_back(self, entry)
  if entry.number <= (self.numbers[entry.publisher] or 0) then return end
  local waiting = self.waiting
  self.waiting = {}
  for _, job in ipairs(waiting) do finish(self, job, true) end
  deliver(self, entry)
end

--- Takes a message as it is published.
-- @tparam table entry
function joins:live(entry)
  -- What comes before that is among what is read.
  if not self.is_live then return end
  local at = self.at or ""
  if at ~= "" and entry.prev ~= at then
    if not history.is_after(entry.id, at) then return go_back(self, entry) end
    if history.is_after(entry.prev, at) then return self:catch_up() end
  end
  deliver(self, entry)
  if self.waiting[1] then settle(self) end
end

-- The last one takes its place: an end costs the same however many join.
local function remove(self, job)
  local list, place = self.jobs, job.place
  if not place then return end
  local last = list[#list]
  list[place], last.place = last, place
  list[#list], job.place, job.has_ended = nil, false, true
  jobs.drop(self.store.joining, job)
  self.store.plane:release(self.name)
end

local function is_wanted(job) return job.place and job.ws.state == "open" end

local function refuse(self, job, message, code)
  if is_wanted(job) then history.tell_joined(job.ws, self.name, job.on_joined, nil, message, code) end
  remove(self, job)
end

function finish(self, job, is_complete)
  if not is_wanted(job) then return remove(self, job) end
  local function is_joining() return is_wanted(job) end
  local is_subscribed, message, code = self.store.receiver:subscribe(job.ws, self.name, is_joining)
  if not is_subscribed then return refuse(self, job, message, code) end
  remove(self, job)
  history.tell_joined(job.ws, self.name, job.on_joined, is_complete, self.at or "")
end

-- A connection has all that there is. It becomes a subscriber only when those that are have as much: what comes next
-- is new for all.
local function complete(self, job)
  if not job.place then return end
  if job.since and job.since ~= history.ALL and history.is_after(job.since, self.at or "") then
    self.waiting[#self.waiting + 1] = job
  else
    finish(self, job, true)
  end
end

function settle(self)
  local waiting = self.waiting
  self.waiting = {}
  for _, job in ipairs(waiting) do complete(self, job) end
end

-- A page of what a connection that joins has missed.
local function take_page(self, job, last, is_whole, entries)
  local ws = job.ws
  for _, entry in ipairs(entries) do
    if not is_wanted(job) then return remove(self, job) end
    if not history.follows(entry, job.since) then return finish(self, job, false) end
    local is_left_out = job.left_out[entry.number] and entry.publisher == self.store.plane.origin
    if entry.opcode and jobs.is_new(job.numbers, entry) and not is_left_out then
      history.send(ws, self.name, self.keep, entry)
    end
    job.since = entry.id
  end
  if not is_whole then
    job.is_more = true
    return serve(self, job)
  end
  self.at = self.at or last
  local is_gone = #entries == 0 and job.since and job.since ~= history.ALL
    and (last == "" or history.is_after(last, job.since))
  if is_gone then return finish(self, job, false) end
  -- An id that does not exist yet is an invention of the peer: it would wait until there is one.
  if job.since and job.since ~= history.ALL and history.is_after(job.since, last) then job.since = last end
  complete(self, job)
end

local function again(job) serve(job.state, job) end

-- While the server is away, or is asked what subscribers have missed, the job waits; also while much waits for the
-- connection to take it.
function serve(self, job)
  if job.is_locating or not job.place then return end
  local context = self.store.context
  if job.ws.state == "open" and job.ws:buffered() > MAX_WAITING_BYTES then
    job.round = job.round + 1
    return context.timers:start(RETRY_SECONDS, context.now, job, again)
  end
  if job.since and job.since ~= history.ALL and not history.is_id(job.since) then return finish(self, job, false) end
  job.round = job.round + 1
  local round = job.round
  self.store:read(self, job.since or "", job.is_more, function(last, is_whole, entries)
    if is_over(self) or job.round ~= round or not self.is_live then return end
    if not last then return finish(self, job, false) end
    take_page(self, job, last, is_whole, entries)
  end)
end

-- A connection that has missed nothing gets what is published from now on. The server is asked at once how far the
-- topic is: it will do later what this process publishes meanwhile.
local function locate(self, job)
  if job.since or job.is_locating then return end
  job.is_locating = self.store:locate(self, function(last)
    job.is_locating = false
    if is_over(self) or not job.place then return end
    if last then job.since = job.since or last ~= "" and last or history.ALL end
    if self.is_live then serve(self, job) end
  end)
end

--- Begins to join a connection.
-- @tparam table job
function joins:add(job)
  local place = #self.jobs + 1
  job.state = self
  jobs.note(self.store.joining, job)
  self.jobs[place] = job
  job.place = place
  if self.fault then return refuse(self, job, self.fault, "unavailable") end
  if self.is_live then serve(self, job) else locate(self, job) end
end

--- Asks at once how far the topic is: the server will do later what this process publishes from now on, and the first
-- subscribers get what comes before their channel is confirmed.
function joins:begin()
  if self.at or self.is_live then return end
  self.store:locate(self, function(last)
    if not self.was_live then self.at = self.at or last end
  end)
end

--- Notes that one of our messages leaves out a connection.
-- @tparam integer number of the message
-- @tparam table except
function joins:leave_out(number, except)
  self.excepts:add(number, except)
  local job = jobs.of(self.store.joining, except, self)
  if job then job.left_out[number] = true end
end

--- The server is lost: until it is back, and has been asked, nothing is delivered.
function joins:lost()
  self.is_live, self.fault = false, false
  for _, job in ipairs(self.jobs) do job.is_locating = false end
end

--- The server refuses the channel of the topic: nothing comes over this connection.
-- @tparam string fault
function joins:refused(fault)
  self.is_live, self.at, self.fault, self.waiting = false, nil, fault, {}
  tell_gap(self)
  for i = #self.jobs, 1, -1 do
    if self.jobs[i] then refuse(self, self.jobs[i], fault, "unavailable") end
  end
end

--- The server is back, and a connection joins still.
-- @function joins:locate
-- @tparam table job
joins.locate = locate

--- Asks for the next page for a connection that joins.
-- @function joins:serve
-- @tparam table job
joins.serve = serve

--- Ends the joining of a connection.
-- @tparam table job
joins.cancel = remove

return joins
