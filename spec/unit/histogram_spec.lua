--- Values counted by size.
-- @module spec.unit.histogram_spec
local histogram = require("websockets.histogram")

local function counts(one)
  local list = {}
  for i, bucket in ipairs(one:read().buckets) do list[i] = bucket.count end
  return list
end

describe("a histogram", function()
  it("counts a value for each bound that it does not pass, and the last is without end", function()
    local one = histogram.new({ 1, 10, 100 })
    for _, value in ipairs({ 0, 1, 1.5, 10, 11, 100, 101, 1e9 }) do one:observe(value) end
    local read = one:read()
    assert.same({ 1, 10, 100, math.huge }, { read.buckets[1].le, read.buckets[2].le, read.buckets[3].le,
      read.buckets[4].le })
    assert.same({ 2, 4, 6, 8 }, counts(one))
    assert.same({ 8, 1e9 + 224.5 }, { read.count, read.sum })
  end)

  it("of nothing has all its buckets", function()
    local read = histogram.new({ 1, 2 }):read()
    assert.same({ 0, 0, 3 }, { read.count, read.sum, #read.buckets })
  end)

  it("counts the same whatever came before", function()
    local bounds, values = { 1, 2, 3, 4 }, { 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5 }
    for _, before in ipairs(values) do
      for _, value in ipairs(values) do
        local one = histogram.new(bounds)
        one:observe(before)
        local first = counts(one)
        one:observe(value)
        for i, count in ipairs(counts(one)) do
          assert.equal(first[i] + (value <= (bounds[i] or math.huge) and 1 or 0), count, before .. " " .. value)
        end
      end
    end
  end)

  it("is made of counts that were counted elsewhere", function()
    local read = histogram.new({ 1, 2 }, { 3, 0, 4 }, 10):read()
    assert.same({ 7, 10 }, { read.count, read.sum })
    assert.same({ le = 2, count = 3 }, read.buckets[2])
  end)
end)
