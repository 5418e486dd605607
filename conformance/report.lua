--- Reads the report of a conformance suite and judges it: both verdicts of each case, against what is expected of it.
-- @module conformance.report
local expected = require("conformance.expected")

local report = {}

--- Reads `index.json` of a run: one agent, its cases, two verdicts each.
-- @tparam string text the file
-- @treturn table case -> `{ behavior, close }`; a verdict that is not there is nil
function report.read(text)
  local cases = {}
  for case, fields in text:gmatch('"(%d+%.[%d.]+)"%s*:%s*(%b{})') do
    cases[case] = {
      behavior = fields:match('"behavior"%s*:%s*"([^"]*)"'),
      close = fields:match('"behaviorClose"%s*:%s*"([^"]*)"'),
    }
  end
  return cases
end

local function part_of(case)
  return case:match("^%d+")
end

--- Orders case numbers as a reader would.
-- @tparam string a
-- @tparam string b
-- @treturn boolean whether `a` comes first
function report.before(a, b)
  local function key(case)
    return (case:gsub("%d+", function(digits) return ("%05d"):format(tonumber(digits)) end))
  end
  return key(a) < key(b)
end

local function check_counts(cases, parts, problems)
  local counts = {}
  for case in pairs(cases) do counts[part_of(case)] = (counts[part_of(case)] or 0) + 1 end
  for _, part in ipairs(parts) do
    local count, wanted = counts[part] or 0, expected.counts[part]
    if wanted and count ~= wanted then
      problems[#problems + 1] = ("part %s: %d cases in the report, %d expected"):format(part, count, wanted)
    end
  end
end

--- Judges a report.
-- @tparam table cases as `read` gave them
-- @tparam {string,...} parts that were asked for: "1" to "13", all their cases have to be there; or parts of those
-- @treturn table part -> verdict -> how many: `OK` where both are, else the one that is not
-- @treturn {string,...} what differs from what is expected, a line each
function report.judge(cases, parts)
  local sums, problems, names = {}, {}, {}
  for case in pairs(cases) do names[#names + 1] = case end
  table.sort(names, report.before)
  for _, case in ipairs(names) do
    local found, wanted = cases[case], expected.cases[case] or expected.plain
    if found.behavior ~= wanted.behavior or found.close ~= wanted.close then
      problems[#problems + 1] = ("%s: %s, close %s; expected %s, close %s"):format(case, tostring(found.behavior),
        tostring(found.close), wanted.behavior, wanted.close)
    end
    local sum = sums[part_of(case)] or {}
    sums[part_of(case)] = sum
    local verdict = found.behavior ~= "OK" and found.behavior or found.close or "none"
    sum[verdict] = (sum[verdict] or 0) + 1
  end
  check_counts(cases, parts, problems)
  return sums, problems
end

return report
