--- Runs the conformance suite in both roles, with each engine and some Luas, and prints a table of the verdicts.
-- @script run
--
-- `make conformance`. Environment variables: `LUAS`, `ROLES` (server client), `ENGINES` (pure, and native if it is
-- built), `PARTS` ("1" to "13", or as "12.3"), `JOBS` (how many parts run at a time), `TLS` (1: over TLS). The exit
-- code is 0 if every case has the verdicts of `expected.lua`.

package.path = "./?.lua;" .. package.path

local certificates = require("spec.support.certificates")
local child = require("spec.support.child")
local expected = require("conformance.expected")
local report = require("conformance.report")
local suite = require("conformance.suite")

local LIMIT_SECONDS = 1800
local ALL = { "1", "2", "3", "4", "5", "6", "7", "9", "10", "12", "13" }
local COLUMNS = {
  { title = "1-7, 10", parts = { "1", "2", "3", "4", "5", "6", "7", "10" } },
  { title = "9 (limits and speed)", parts = { "9" } },
  { title = "12, 13 (compression)", parts = { "12", "13" } },
}

local IS_TLS = os.getenv("TLS") == "1"

local function words(text, default)
  local list = {}
  for word in (text or ""):gmatch("%S+") do list[#list + 1] = word end
  return list[1] and list or default
end

local function say(...)
  io.stdout:write(...)
  io.stdout:write("\n")
  io.stdout:flush()
end

-- The long parts by their groups, so that progress shows and both roles can run at the same time.
local function in_groups(parts)
  local list = {}
  for part in pairs(expected.counts) do
    for _, asked in ipairs(parts) do
      local is_asked = part == asked or part:sub(1, #asked + 1) == asked .. "."
      if is_asked and not expected.counts[part .. ".1"] then list[#list + 1] = part end
    end
  end
  table.sort(list, report.before)
  return list
end

local function has_native(lua)
  local _, code = child.run(("env %s %s -e 'require \"websockets\"'"):format(suite.environment(lua, "native"),
    child.quote(lua)))
  return code == 0
end

local function is_compressed(part)
  return part:find("^1[23]") ~= nil
end

-- Both roles of a part come one after the other, so that they run at the same time.
local function plan(parts)
  local rows, runs = {}, {}
  for _, lua in ipairs(words(os.getenv("LUAS"), { "lua5.4", "luajit" })) do
    for _, engine in ipairs(words(os.getenv("ENGINES"), has_native(lua) and { "native", "pure" } or { "pure" })) do
      local first = #rows + 1
      for _, role in ipairs(words(os.getenv("ROLES"), { "server", "client" })) do
        local title = ("%s%s, %s, %s"):format(role, IS_TLS and " over TLS" or "", engine, lua)
        rows[#rows + 1] = { title = title, cases = {}, role = role, engine = engine, lua = lua }
      end
      for _, part in ipairs(parts) do
        for at = first, #rows do
          local row = rows[at]
          runs[#runs + 1] = { row = row, part = part, select = { part .. ".*" }, role = row.role, engine = engine,
            lua = lua, threshold = is_compressed(part) and 0 or nil, tls = IS_TLS, seconds = LIMIT_SECONDS }
        end
      end
    end
  end
  return rows, runs
end

local function take(job)
  local run = job.run
  local index, output = suite.finish(job)
  local cases = report.read(index)
  for case, found in pairs(cases) do run.row.cases[case] = found end
  say(("%s: %s: %s (%d s)"):format(run.row.title, run.part, report.summary(cases), os.time() - job.began))
  if index == "" then say("  no report:\n", output) end
end

local function run_all(runs, at_once)
  local jobs, next_run = {}, 1
  while jobs[1] or runs[next_run] do
    while runs[next_run] and #jobs < at_once do
      local job = suite.start(runs[next_run])
      job.began = os.time()
      jobs[#jobs + 1], next_run = job, next_run + 1
    end
    take(table.remove(jobs, 1))
  end
end

local function print_table(rows)
  local titles, rule = { "" }, { "---" }
  for _, column in ipairs(COLUMNS) do
    titles[#titles + 1], rule[#rule + 1] = column.title, "---"
  end
  say("\n| ", table.concat(titles, " | "), " |\n|", table.concat(rule, "|"), "|")
  for _, row in ipairs(rows) do
    local fields = { row.title }
    for _, column in ipairs(COLUMNS) do
      fields[#fields + 1] = report.summary(report.of_parts(row.cases, column.parts))
    end
    say("| ", table.concat(fields, " | "), " |")
  end
end

local function main()
  if not suite.is_here() then
    say("kosoku is not installed: .ci/install test")
    os.exit(1)
  end
  local parts, problems = words(os.getenv("PARTS"), ALL), 0
  local rows, runs = plan(in_groups(parts))
  run_all(runs, tonumber(os.getenv("JOBS")) or 3)
  certificates.remove()
  print_table(rows)
  say()
  for _, row in ipairs(rows) do
    for _, problem in ipairs(report.judge(row.cases, parts)) do
      say("NOT AS EXPECTED: ", row.title, ": ", problem)
      problems = problems + 1
    end
  end
  say(problems == 0 and "every case as expected" or "\n" .. problems .. " not as expected")
  os.exit(problems == 0 and 0 or 1)
end

main()
