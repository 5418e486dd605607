--- Runs commands of the shell, several at a time, and tells of each as it ends.
-- @module spec.support.queue

local child = require "spec.support.child"

local queue = {}

local quote = child.quote

--- Runs every job. The first of the list starts first; whichever worker is free takes the next.
-- @tparam {table,...} jobs `command`: what the shell runs; `log` is set: the path of what it printed
-- @tparam number at_once how many run at a time
-- @tparam string folder an empty one, for scripts and logs
-- @tparam function on_end `on_end(job, code)`, called for each job as soon as it has ended; code: its exit code
-- @treturn {table,...} the jobs of which no end was told
function queue.run(jobs, at_once, folder, on_end)
  local numbers, left = {}, {}
  for number, job in ipairs(jobs) do
    local path = ("%s/%d"):format(folder, number)
    local script = assert(io.open(path .. ".sh", "w"))
    script:write(job.command, "\n")
    script:close()
    job.log, numbers[number], left[number] = path .. ".log", number, job
  end
  if not jobs[1] then return {} end
  -- The exit code of each is printed in one line, which others cannot cut.
  local each = ("sh %s/$0.sh >%s/$0.log 2>&1 </dev/null; echo \"$0 $?\""):format(quote(folder), quote(folder))
  local command = "printf '%%s\\n' %s | xargs -n 1 -P %d sh -c %s 2>/dev/null"
  local pipe = assert(io.popen(command:format(table.concat(numbers, " "), at_once, quote(each)), "r"))
  for line in pipe:lines() do
    local number, code = line:match("^(%d+) (%d+)$")
    local job = left[tonumber(number)]
    if job then
      left[tonumber(number)] = nil
      on_end(job, tonumber(code))
    end
  end
  pipe:close()
  local lost = {}
  for number = 1, #jobs do lost[#lost + 1] = left[number] end
  return lost
end

--- How many processors this machine lets us use.
-- @treturn number 2 where that is not known
function queue.processors()
  local pipe = assert(io.popen("nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null", "r"))
  local count = tonumber(pipe:read("*l"))
  pipe:close()
  return count or 2
end

return queue
