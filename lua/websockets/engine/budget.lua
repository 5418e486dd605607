--- How many bytes the unfinished messages of a context hold, and how many more they may.
-- @classmod websockets.engine.budget
local budget = {}
budget.__index = budget

local function nothing() return 0 end

--- Makes a budget of which nothing is used.
-- @tparam number limit bytes
-- @tparam ?function elsewhere tells how many bytes are held that are not charged here; they count as used
-- @treturn budget
function budget.new(limit, elsewhere)
  return setmetatable({ limit = limit, charged = 0, elsewhere = elsewhere or nothing }, budget)
end

--- Tells how much is held.
-- @treturn number bytes
function budget:used()
  return self.charged + self.elsewhere()
end

--- Tells how much more may be held.
-- @treturn number bytes, below 0 where the limit is passed already
function budget:room()
  return self.limit - self.charged - self.elsewhere()
end

--- Counts bytes that are held from now on.
-- @tparam number bytes negative for those that are given back
function budget:charge(bytes)
  self.charged = self.charged + bytes
end

return budget
