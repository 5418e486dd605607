--- Values counted by size.
-- @module websockets.histogram
local histogram = {}
histogram.__index = histogram

--- Makes a histogram of nothing.
-- @tparam {number,...} bounds ascending; a value counts for the first bound that it does not pass
-- @tparam ?{integer,...} counts one for each bound, and the last for what passes all; nil: no values yet
-- @tparam ?number sum of the values
-- @treturn histogram
function histogram.new(bounds, counts, sum)
  if not counts then
    counts = {}
    for i = 1, #bounds + 1 do counts[i] = 0 end
  end
  -- The bucket of the last value, and what is in it: most values are like the one before.
  return setmetatable({
    bounds = bounds, counts = counts, sum = sum or 0, at = 1, above = -math.huge, upto = bounds[1],
  }, histogram)
end

local function find(self, value)
  local bounds, at = self.bounds, self.at
  while value > (bounds[at] or value) do at = at + 1 end
  while at > 1 and value <= bounds[at - 1] do at = at - 1 end
  self.at, self.above, self.upto = at, bounds[at - 1] or -math.huge, bounds[at] or math.huge
end

--- Counts a value.
-- @tparam number value
function histogram:observe(value)
  if value > self.upto or value <= self.above then find(self, value) end
  local counts, at = self.counts, self.at
  counts[at] = counts[at] + 1
  self.sum = self.sum + value
end

--- Tells what has been counted.
-- @treturn table `count`, `sum`, and `buckets`: for each bound, the last being `math.huge`, `le` and how many values
-- do not pass it (`count`)
function histogram:read()
  local buckets, total = {}, 0
  for i, count in ipairs(self.counts) do
    total = total + count
    buckets[i] = { le = self.bounds[i] or math.huge, count = total }
  end
  return { count = total, sum = self.sum, buckets = buckets }
end

return histogram
