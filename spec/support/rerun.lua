--- What failed in a whole run and may run once more, by itself, when everything else has ended.
-- @module spec.support.rerun
--
-- The specs talk to browsers, servers and each other through real sockets, several programs on each processor. What
-- fails there and passes by itself is told as unsteady, with all that it printed; what fails twice has failed.

local rerun = {}

--- More portions than this that failed are no accident: nothing runs again.
rerun.LIMIT = 8

local function add(list, known, file)
  if not known[file] then
    known[file] = true
    list[#list + 1] = file
  end
end

-- Debian's LuaJIT has faults of its compiler (issue 829 among them) that end the process now and then. A crash of any
-- other Lua, or a run that hangs, is a fault of ours.
local function may_end_early(job, code)
  return job.pair.lua == "luajit" and code > 128
end

--- The files of a job that have to run once more.
-- @tparam table job `pair`, `files`
-- @tparam {table,...} found its results, see `spec.support.results`
-- @tparam ?number seconds nil where the run broke off
-- @tparam number code the exit code
-- @treturn[1] {string,...} in the order in which they ran
-- @treturn[2] nil nothing failed, or what happened is not forgiven
function rerun.files(job, found, seconds, code)
  if not seconds then return may_end_early(job, code) and job.files or nil end
  local list, known = {}, {}
  for _, outcome in ipairs(found) do
    if outcome.status == "failed" then add(list, known, outcome.file) end
  end
  return list[1] and list or nil
end

--- Puts the results of both runs together: those of the second for the files that ran twice.
-- @tparam {table,...} first results
-- @tparam {table,...} second results
-- @tparam {string,...} files those that ran twice
-- @treturn {table,...} the results that count
-- @treturn {table,...} the results of the first that failed and did not fail again
function rerun.merge(first, second, files)
  local is_again, failed, merged, unsteady = {}, {}, {}, {}
  for _, file in ipairs(files) do is_again[file] = true end
  for _, outcome in ipairs(second) do
    if outcome.status == "failed" then failed[outcome.file .. "\t" .. outcome.name] = true end
  end
  for _, outcome in ipairs(first) do
    if not is_again[outcome.file] then
      merged[#merged + 1] = outcome
    elseif outcome.status == "failed" and not failed[outcome.file .. "\t" .. outcome.name] then
      unsteady[#unsteady + 1] = outcome
    end
  end
  for _, outcome in ipairs(second) do merged[#merged + 1] = outcome end
  return merged, unsteady
end

return rerun
