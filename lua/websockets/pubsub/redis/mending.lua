--- Brings the histories of topics in Redis to what is there, after an error that may have come between any two of their
-- steps.
-- @module websockets.pubsub.redis.mending
local mending = {}

-- A job that is noted has a place in its topic; one that has a place is noted.
local function mend_jobs(store)
  for _, own in pairs(store.joining) do
    for job in pairs(own) do
      local state = job.state
      if store.states[state.name] ~= state or state.jobs[job.place] ~= job then own[job] = nil end
    end
  end
  for ws, own in pairs(store.joining) do
    if next(own) == nil then store.joining[ws] = nil end
  end
  for _, state in pairs(store.states) do
    local list = {}
    for _, job in ipairs(state.jobs) do
      local own = store.joining[job.ws]
      if own and own[job] then
        list[#list + 1] = job
        job.place = #list
      end
    end
    state.jobs = list
  end
end

--- Puts connections that join in order, and adds how many they are.
-- @tparam streams store
-- @tparam table counts name of a topic -> how often its channel is in use; is changed
function mending.add_uses(store, counts)
  mend_jobs(store)
  for name, state in pairs(store.states) do
    if state.jobs[1] then counts[name] = (counts[name] or 0) + #state.jobs end
  end
end

local function resume(state, plane)
  if not state.is_live and plane:hears(state.name) then state:catch_up() end
  local list = {}
  for i, job in ipairs(state.jobs) do list[i] = job end
  for _, job in ipairs(list) do
    job.is_locating = false
    if state.is_live then state:serve(job) else state:locate(job) end
  end
end

--- Asks anew what may not have been asked, or whose answer may be lost. The last question counts.
-- @tparam streams store
-- @tparam shared plane
-- @tparam table used set of the names of topics whose channels are in use
function mending.resume(store, plane, used)
  local states = {}
  for name, state in pairs(store.states) do
    if not used[name] then
      store.states[name] = nil
    elseif not state.is_live or state.jobs[1] then
      states[#states + 1] = state
    end
  end
  for _, state in ipairs(states) do resume(state, plane) end
  store.lanes:ready()
end

require("websockets.loading").interpret()

return mending
