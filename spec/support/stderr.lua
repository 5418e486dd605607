--- What is written to `io.stderr` while a function runs.
-- @module spec.support.stderr

local stderr = {}

--- Calls a function, and keeps what it writes to `io.stderr`.
-- @tparam function fn what it raises is raised again
-- @treturn {string,...} each line
function stderr.of(fn)
  local kept, parts = io.stderr, {}
  -- luacheck: push ignore 122
  io.stderr = { write = function(_, ...) parts[#parts + 1] = table.concat({ ... }) end }
  local is_good, err = pcall(fn)
  io.stderr = kept
  -- luacheck: pop
  if not is_good then error(err, 0) end
  local lines = {}
  for line in table.concat(parts):gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  return lines
end

return stderr
