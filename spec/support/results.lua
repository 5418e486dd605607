--- The file in which a run of busted leaves its results: one a line, fields parted by tabs.
-- @module spec.support.results
--
-- A line is `interpreter, status, file, full test name, note`. The status is `passed`, `failed` or `skipped`; what
-- failed outside a test (a file that does not load, a `setup`) is one `failed` too. The last line of a run that came
-- to its end has the status `end` and the seconds as its note.

local results = {}

local function field(value)
  return (tostring(value or ""):gsub("%s+", " "))
end

--- Writes one result.
-- @tparam file out an open file
-- @tparam table result `interpreter, status, file, name, note`
function results.write(out, result)
  out:write(field(result.interpreter), "\t", field(result.status), "\t", field(result.file), "\t",
    field(result.name), "\t", field(result.note), "\n")
  out:flush()
end

--- Reads one line back.
-- @tparam string line
-- @treturn[1] table the result
-- @treturn[2] nil what is no result: a line that was cut off
function results.parse(line)
  local interpreter, status, file, name, note = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)$")
  if not interpreter then return nil end
  return { interpreter = interpreter, status = status, file = file, name = name, note = note }
end

--- Reads a results file.
-- @tparam string path
-- @treturn table the results, in order; empty where there is no such file
-- @treturn ?number the seconds of a run that came to its end
function results.read(path)
  local found, seconds = {}, nil
  local file = io.open(path, "r")
  if not file then return found, nil end
  for line in file:lines() do
    local result = results.parse(line)
    if result and result.status == "end" then
      seconds = tonumber(result.note) or 0
    elseif result then
      found[#found + 1] = result
    end
  end
  file:close()
  return found, seconds
end

--- Counts results by status.
-- @tparam table list results
-- @treturn table `passed`, `failed`, `skipped`
function results.count(list)
  local sum = { passed = 0, failed = 0, skipped = 0 }
  for _, result in ipairs(list) do
    sum[result.status] = sum[result.status] + 1
  end
  return sum
end

return results
