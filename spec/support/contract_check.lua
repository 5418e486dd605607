--- Holds the rows of the contract against the results of a run.
-- @module spec.support.contract_check
--
-- A row promises something and names its proof:
-- `{ area = "ws", name = "write", spec = "spec/behaviour/websocket_spec.lua", test = "part of the test's full name" }`.
-- `name` may be several, parted by commas, with a remark in brackets.
-- `luas = { ... }` asks for the proof under each of these interpreters; `when = "native"` only where that is there.
-- A row whose tests were skipped because of something that this machine lacks is not provable here; that is no problem.

local KNOWN_LUAS = {
  ["lua5.1"] = true, ["lua5.2"] = true, ["lua5.3"] = true, ["lua5.4"] = true, ["lua5.5"] = true, luajit = true,
}
local KNOWN_FIELDS = { area = true, name = true, spec = true, test = true, luas = true, when = true }
local NEEDED_FIELDS = { "area", "name", "spec", "test" }

local contract_check = {}

local function malformed(row, conditions)
  if type(row) ~= "table" then return "is no table" end
  for _, field in ipairs(NEEDED_FIELDS) do
    if type(row[field]) ~= "string" or row[field] == "" then return "has no " .. field end
  end
  for field in pairs(row) do
    if not KNOWN_FIELDS[field] then return "has an unknown field " .. tostring(field) end
  end
  if row.luas ~= nil and (type(row.luas) ~= "table" or #row.luas == 0) then return "has no list in luas" end
  for _, lua in ipairs(row.luas or {}) do
    if not KNOWN_LUAS[lua] then return "names an unknown Lua " .. tostring(lua) end
  end
  if row.when ~= nil and conditions[row.when] == nil then
    return "has an unknown condition " .. tostring(row.when)
  end
  return nil
end

local function is_within(path, specs)
  for spec in pairs(specs) do
    if path == spec or path:sub(1, #spec + 1) == spec .. "/" then return true end
  end
  return false
end

-- The interpreters of this run under which the row has to be proved one by one; nil: none of them is asked.
local function asked(row, run)
  if row.when and not run.conditions[row.when] then return nil end
  if run.specs and not is_within(row.spec, run.specs) then return nil end
  if not row.luas then return {} end
  local luas = {}
  for _, lua in ipairs(row.luas) do
    if run.luas[lua] then luas[#luas + 1] = lua end
  end
  return luas[1] and luas or nil
end

local function by_file(outcomes)
  local files = {}
  for _, outcome in ipairs(outcomes) do
    files[outcome.file] = files[outcome.file] or {}
    table.insert(files[outcome.file], outcome)
  end
  return files
end

-- The reason why a test was skipped; nil where no reason is given or this machine does not lack what it names.
-- A group of tests that is skipped as a whole has the reason as its name.
local function lacking(outcome, run)
  if outcome.status ~= "skipped" then return nil end
  local need = (outcome.note or ""):match("^needs (.+)$") or outcome.name:match("needs (.+)$")
  return need and run.is_lacking(need) and "needs " .. need or nil
end

-- The reason why a whole group of a spec file was skipped.
local function group_lacking(outcomes, run)
  for _, outcome in ipairs(outcomes) do
    local reason = outcome.name:find("needs ", 1, true) and lacking(outcome, run)
    if reason then return reason end
  end
end

local function judge_luas(luas, passed, reasons)
  local reason
  for _, lua in ipairs(luas) do
    if not passed[lua] and not reasons[lua] then return "not passed under " .. lua end
    reason = reason or not passed[lua] and reasons[lua]
  end
  return nil, reason
end

-- What is wrong with a row, or why it cannot be proved here; nil twice where it is proved.
local function judge(row, luas, outcomes, run)
  local passed, reasons, matched = {}, {}, false
  for _, outcome in ipairs(outcomes) do
    if outcome.name:find(row.test, 1, true) then
      if outcome.status == "failed" then return "failed under " .. outcome.interpreter end
      matched = true
      if outcome.status == "passed" then passed[outcome.interpreter] = true end
      reasons[outcome.interpreter] = reasons[outcome.interpreter] or lacking(outcome, run)
    end
  end
  if not matched then
    local reason = group_lacking(outcomes, run)
    return not reason and "no test that ran matches" or nil, reason
  end
  if next(passed) == nil then
    local _, reason = next(reasons)
    return not reason and "its tests were only skipped" or nil, reason
  end
  return judge_luas(luas, passed, reasons)
end

local function exists(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end

local function describe(row, position)
  if type(row) ~= "table" then return "row " .. position end
  return ("row %d, %s: %s (%s: %q)"):format(position, tostring(row.area), tostring(row.name), tostring(row.spec),
    tostring(row.test))
end

--- Checks every row.
-- @tparam table rows the contract
-- @tparam table outcomes results of the run, see `spec.support.results`
-- @tparam table run `luas`: set of the interpreters that ran; `specs`: set of the files and folders that ran, nil for
--   all; `conditions`: what a row's `when` may name, and whether it is there; `is_lacking`: see `spec.support.needs`
-- @treturn table `problems`: one text for each row that should be proved and is not; `unprovable`: one text for each
--   row that cannot be proved on this machine; `proved`, `left_out` (not asked for in this run): how many rows
function contract_check.check(rows, outcomes, run)
  local found = { problems = {}, unprovable = {}, proved = 0, left_out = 0 }
  local files = by_file(outcomes)
  for position, row in ipairs(rows) do
    local problem, reason = malformed(row, run.conditions), nil
    local luas = not problem and asked(row, run)
    if luas and not exists(row.spec) then
      problem = "no such spec file"
    elseif luas then
      problem, reason = judge(row, luas, files[row.spec] or {}, run)
    end
    if problem then
      table.insert(found.problems, describe(row, position) .. ": " .. problem)
    elseif reason then
      table.insert(found.unprovable, describe(row, position) .. ": not provable here: " .. reason)
    else
      local count = luas and "proved" or "left_out"
      found[count] = found[count] + 1
    end
  end
  return found
end

-- The names of the rows, by area. A row may hold several, parted by commas; what stands in brackets is no name.
local function names_by_area(rows)
  local areas = {}
  for _, row in ipairs(rows) do
    areas[row.area] = areas[row.area] or {}
    for name in row.name:gsub("%b()", ""):gmatch("[^,]+") do
      areas[row.area][name:match("^%s*(.-)%s*$")] = true
    end
  end
  return areas
end

--- Checks that nothing promised is without a row.
-- @tparam table rows the contract
-- @tparam table promised `areas` (a row in any of them will do) and `name`, see `spec.support.promises`
-- @treturn table the problems, one text for each name without a row
function contract_check.missing(rows, promised)
  local named, problems = names_by_area(rows), {}
  for _, promise in ipairs(promised) do
    local has_row = false
    for _, area in ipairs(promise.areas) do
      has_row = has_row or (named[area] ~= nil and named[area][promise.name] == true)
    end
    if not has_row then
      problems[#problems + 1] = ("no row for %s %s"):format(table.concat(promise.areas, " or "), promise.name)
    end
  end
  return problems
end

return contract_check
