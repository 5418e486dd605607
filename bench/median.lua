--- The median of what a benchmark has measured.
-- @module bench.median

--- Sorts numbers and gives the one in the middle, of two the lower one.
-- @tparam {number,...} list not empty
-- @treturn number
local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

return median
