--- The table of system faults: a row for each call that fails, and what must happen.
-- @module spec.support.system_faults.rows
local FAMILIES = { "accepting", "reading", "sending", "waiting", "connecting", "dying", "clocks" }

local rows = {}

--- Lists the rows.
-- @treturn table list of `call`, `fault`, `must`, `run(world)`; `engines` where only one of them makes the call;
-- `options` of the context
function rows.list()
  local list = {}
  for _, family in ipairs(FAMILIES) do
    for _, row in ipairs(require("spec.support.system_faults." .. family)) do list[#list + 1] = row end
  end
  return list
end

return rows
