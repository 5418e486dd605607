--- Reads the report of a conformance suite and compares both verdicts of each case with the expected ones.
-- @module conformance.report
local expected = require("conformance.expected")

local report = {}

--- Reads `index.json` of a run: one agent, its cases, two verdicts each.
-- @tparam string text the file
-- @treturn table case -> `{ behavior, close }`; a missing verdict is nil
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

--- Compares case numbers, number by number.
-- @tparam string a
-- @tparam string b
-- @treturn boolean whether `a` comes first
function report.before(a, b)
  local function key(case)
    return (case:gsub("%d+", function(digits) return ("%05d"):format(tonumber(digits)) end))
  end
  return key(a) < key(b)
end

local function names_of(cases)
  local names = {}
  for case in pairs(cases) do names[#names + 1] = case end
  table.sort(names, report.before)
  return names
end

--- Selects the cases of some parts.
-- @tparam table cases as `read` gave them
-- @tparam {string,...} parts "1" to "13", or as "12.3"
-- @treturn table case -> `{ behavior, close }`
function report.of_parts(cases, parts)
  local taken = {}
  for case, found in pairs(cases) do
    for _, part in ipairs(parts) do
      if case:sub(1, #part + 1) == part .. "." then taken[case] = found end
    end
  end
  return taken
end

local function check_counts(cases, parts, problems)
  for _, part in ipairs(parts) do
    local count, wanted = #names_of(report.of_parts(cases, { part })), expected.counts[part]
    if count ~= wanted then
      problems[#problems + 1] = ("part %s: %d cases in the report, %s expected"):format(part, count,
        wanted and ("%d"):format(wanted) or "no such part")
    end
  end
end

--- Compares a report with the expected verdicts.
-- @tparam table cases as `read` gave them
-- @tparam {string,...} parts that were asked for; all their cases must be in the report
-- @treturn {string,...} the differences, one line each
function report.judge(cases, parts)
  local problems = {}
  for _, case in ipairs(names_of(cases)) do
    local found, wanted = cases[case], expected.cases[case] or expected.usual
    if found.behavior ~= wanted.behavior or found.close ~= wanted.close then
      problems[#problems + 1] = ("%s: %s, close %s; expected %s, close %s"):format(case, tostring(found.behavior),
        tostring(found.close), wanted.behavior, wanted.close)
    end
  end
  check_counts(cases, parts, problems)
  return problems
end

local function verdict_of(found)
  if found.behavior ~= "OK" then return found.behavior or "nothing" end
  return found.close == "OK" and "OK" or "close " .. (found.close or "nothing")
end

--- Counts verdicts: `OK` if both are, else the one that is not, with the names of its cases.
-- @tparam table cases as `read` gave them
-- @treturn string as "244 OK, 1 INFORMATIONAL (7.1.6)"; "none" if there are no cases
function report.summary(cases)
  local lists, order = { OK = {} }, { "OK" }
  for _, case in ipairs(names_of(cases)) do
    local verdict = verdict_of(cases[case])
    if not lists[verdict] then
      lists[verdict] = {}
      order[#order + 1] = verdict
    end
    table.insert(lists[verdict], case)
  end
  local words = {}
  for _, verdict in ipairs(order) do
    local list = lists[verdict]
    if #list > 0 then
      words[#words + 1] = #list .. " " .. verdict .. (verdict == "OK" and "" or " (" .. table.concat(list, ", ") .. ")")
    end
  end
  return words[1] and table.concat(words, ", ") or "none"
end

return report
