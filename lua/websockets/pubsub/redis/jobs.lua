--- Connections that join a topic with a history: what is known of each.
-- @module websockets.pubsub.redis.jobs
local jobs = {}

local NONE = {}

--- Makes one.
-- @tparam table ws
-- @tparam ?string since
-- @tparam ?function on_joined
-- @treturn table `state`: `websockets.pubsub.redis.joins`, once it is added there
function jobs.new(ws, since, on_joined)
  return {
    state = false, ws = ws, since = since, on_joined = on_joined, round = 0,
    -- Its place among the jobs of the topic, false before it has one and after its end; whether that has come.
    place = false, has_ended = false,
    -- Whether the server has been asked from where on, and has not answered; whether a page has come, and more follow.
    is_locating = false, is_more = false,
    -- Publisher -> number of its last message that the connection has got while it joins; numbers of our messages that
    -- leave it out.
    numbers = {}, left_out = {},
  }
end

--- Gives the job of a connection that joins a topic.
-- @tparam table register connection -> set of its jobs
-- @tparam table ws
-- @tparam table state of the topic
-- @treturn ?table nil where it does not
function jobs.of(register, ws, state)
  for job in pairs(register[ws] or NONE) do
    if job.state == state then return job end
  end
end

--- Notes that a connection joins a topic.
-- @tparam table register connection -> set of its jobs
-- @tparam table job
function jobs.note(register, job)
  local own = register[job.ws] or {}
  own[job], register[job.ws] = true, own
end

--- Forgets what was noted.
-- @tparam table register
-- @tparam table job
function jobs.drop(register, job)
  local own = register[job.ws]
  if not own then return end
  own[job] = nil
  if next(own) == nil then register[job.ws] = nil end
end

--- Forgets one that an error has kept from being added to its topic, or from being asked for.
-- @tparam streams store
-- @tparam table job
-- @tparam string name of the topic, whose channel is retained for it
function jobs.abandon(store, job, name)
  if job.place then return job.state:cancel(job) end
  jobs.drop(store.joining, job)
  if not job.has_ended then store.plane:release(name) end
end

--- Lists the topics that a connection joins.
-- @tparam table register
-- @tparam table ws
-- @treturn {string,...}
function jobs.topics(register, ws)
  local list = {}
  for job in pairs(register[ws] or NONE) do list[#list + 1] = job.state.name end
  return list
end

--- Tells whether an entry is none that has come already, and takes note of it.
--
-- A message that was sent again, because its answer was lost, may be there twice with two ids: a server that was killed
-- while it wrote to its disk may bring a part of that back at a later start (Redis 7.0.15, six times in 4,500 kills),
-- and may have shown to subscribers what was not on its disk yet. The numbers tell.
-- @tparam table numbers publisher -> number of its last message
-- @tparam table entry
-- @treturn boolean
function jobs.is_new(numbers, entry)
  local publisher, number = entry.publisher, entry.number
  if number <= (numbers[publisher] or 0) then return false end
  numbers[publisher] = number
  return true
end

require("websockets.loading").interpret(jobs.of, jobs.drop, jobs.topics)

return jobs
