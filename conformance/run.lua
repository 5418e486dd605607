--- Runs the conformance suite in both roles, under each engine and some Luas, and prints a table of the verdicts.
-- @script run
--
-- `make conformance`. By the environment: `LUAS`, `ROLES` (server client), `ENGINES` (pure, and native where it is
-- there), `PARTS` ("1" to "13", or as "12.3"). The exit code is 0 where every case is what `expected.lua` says.

package.path = "./?.lua;" .. package.path

local child = require("spec.support.child")
local expected = require("conformance.expected")
local report = require("conformance.report")
local suite = require("conformance.suite")

local LIMIT_SECONDS = 1800
local VERDICTS = { "OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "FAILED", "ERROR" }

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

local function all_parts()
  local list = {}
  for part in pairs(expected.counts) do list[#list + 1] = part end
  table.sort(list, report.before)
  return list
end

local function has_native(lua)
  local _, code = child.run("LUA_PATH='lua/?.lua;lua/?/init.lua;;' WEBSOCKETS_NATIVE=on " .. child.quote(lua)
    .. " -e 'require \"websockets\"'")
  return code == 0
end

local function print_part(part, sum)
  local line, others = { ("  %-5s"):format(part) }, {}
  for _, verdict in ipairs(VERDICTS) do
    if sum[verdict] then line[#line + 1] = ("%d %s"):format(sum[verdict], verdict) end
    others[verdict] = true
  end
  for verdict, count in pairs(sum) do
    if not others[verdict] then line[#line + 1] = ("%d close %s"):format(count, verdict) end
  end
  say(table.concat(line, "  "))
end

local function run_one(run)
  say(("%s, %s engine, as %s"):format(run.lua, run.engine, run.role))
  local index, output = suite.run(run)
  local sums, problems = report.judge(report.read(index), run.parts)
  for _, part in ipairs(all_parts()) do
    if sums[part] then print_part(part, sums[part]) end
  end
  for _, problem in ipairs(problems) do say("  NOT AS EXPECTED: ", problem) end
  if index == "" then say("  no report:\n", output) end
  return #problems + (index == "" and 1 or 0)
end

local function main()
  if not suite.is_here() then
    say("kosoku is not installed: .ci/install test")
    os.exit(1)
  end
  local parts, problems = words(os.getenv("PARTS"), all_parts()), 0
  for _, lua in ipairs(words(os.getenv("LUAS"), { "lua5.4", "luajit" })) do
    local engines = words(os.getenv("ENGINES"), has_native(lua) and { "native", "pure" } or { "pure" })
    for _, engine in ipairs(engines) do
      for _, role in ipairs(words(os.getenv("ROLES"), { "server", "client" })) do
        problems = problems
          + run_one({ lua = lua, engine = engine, role = role, parts = parts, seconds = LIMIT_SECONDS })
      end
    end
  end
  say(problems == 0 and "every case as expected" or problems .. " not as expected")
  os.exit(problems == 0 and 0 or 1)
end

main()
