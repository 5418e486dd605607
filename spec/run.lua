--- Runs every spec, holds the contract against what ran, and ends with `N passed, N failed, N skipped`.
-- @script run
--
-- `lua spec/run.lua` runs under the Lua it is started with, as `luarocks test` does. Where build/native has the
-- accelerator for a Lua, everything runs twice: without it and with it. The environment says more:
-- `LUAS` interpreters; `ABSENT=skip` one of them may be absent; `SPEC` spec files, only these; `CHECKS` targets of the
-- Makefile to run first; `JOBS` how many programs run at a time (two for each processor: most wait as long as they
-- work); `NO_NATIVE` why there is no accelerator. spec.support.plan says which files run where.
-- `lua spec/run.lua names` only checks the names in `LUAS` and `SPEC`.

package.path = "./?.lua;" .. package.path

local contract_check = require "spec.support.contract_check"
local needs = require "spec.support.needs"
local plan = require "spec.support.plan"
local queue = require "spec.support.queue"
local results = require "spec.support.results"

local CONTRACT = "spec/contract.lua"
local JOB_LIMIT_SECONDS = 900
-- Whole, for some specs start programs in other folders.
local NATIVE_PATH = os.getenv("PWD") .. "/build/native/%s/"
local NATIVE_MARK = " native"
-- Where .ci/lua5.5/build says why there is no Lua 5.5.
local WHY_NO_LUA55 = "build/lua5.5/why"
-- What a check needs: it is skipped where this command fails.
local CHECK_NEEDS = {
  lint = "luacheck --version", docs = "command -v ldoc", ["rust-format"] = "cargo fmt --version",
  ["rust-lint"] = "cargo clippy --version", ["rust-test"] = "cargo --version",
}
local WHICH = [[io.write(jit and "luajit" or "lua" .. _VERSION:match("%d+%.%d+"))]]

local function words(text)
  local list = {}
  for word in (text or ""):gmatch("%S+") do list[#list + 1] = word end
  return list
end

local function set(list)
  local made = {}
  for _, value in ipairs(list) do made[value] = true end
  return made
end

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function output_of(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function read(path)
  local file = io.open(path, "r")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

local function say(...)
  io.stdout:write(...)
  io.stdout:write("\n")
  io.stdout:flush()
end

local function succeeds(command)
  return output_of(command .. " >/dev/null 2>&1 </dev/null; echo $?") == "0\n"
end

local function running_lua()
  local first = -1
  while arg[first - 1] do first = first - 1 end
  return arg[first]
end

-- A run that hangs would take its results with it; not every system has a `timeout` that leaves Ctrl-C alone.
local function limit_prefix()
  local probe = output_of("timeout --foreground 5 echo yes 2>/dev/null")
  return probe:find("yes") and ("timeout --foreground " .. JOB_LIMIT_SECONDS .. " ") or ""
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- What a Lua calls itself; nil where there is none of that name.
local function name_of(lua)
  local name = output_of(quote(lua) .. " -e " .. quote(WHICH) .. " 2>/dev/null </dev/null")
  return name ~= "" and name or nil
end

local function why_no_interpreter(lua)
  return lua == "lua5.5" and read(WHY_NO_LUA55):match("^no Lua 5.5: ([^\n]+)") or "no such interpreter"
end

-- The first name in `LUAS` or `SPEC` that names nothing, and why; nil where there is none.
local function wrong_name(luas, spec_list)
  local is_any_here = false
  for _, lua in ipairs(luas) do
    local is_here = name_of(lua) ~= nil
    is_any_here = is_any_here or is_here
    if not is_here and os.getenv("ABSENT") ~= "skip" then return lua .. ": " .. why_no_interpreter(lua) end
  end
  if not is_any_here then return table.concat(luas, ", ") .. ": no such interpreters" end
  for _, spec in ipairs(spec_list) do
    if not exists(spec) then return spec .. ": no such spec" end
  end
end

local function fail(run, ...)
  run.sum.failed = run.sum.failed + 1
  say("FAILED: ", ...)
end

local function skip(run, ...)
  run.sum.skipped = run.sum.skipped + 1
  say("skipped: ", ...)
end

local function add_check(jobs, name, run)
  if name:find("^rust") and run.no_native then
    skip(run, name, " (", run.no_native, ")")
  elseif CHECK_NEEDS[name] and not succeeds(CHECK_NEEDS[name]) then
    skip(run, name, " (needs ", CHECK_NEEDS[name]:gsub("^command %-v ", ""):gsub(" %-%-version$", ""), ")")
  else
    jobs[#jobs + 1] = { title = name, command = "${MAKE:-make} -s --no-print-directory " .. quote(name) }
  end
end

local function add_pairs(pairs_here, lua, run)
  local name = name_of(lua)
  if not name then
    skip(run, "every spec under ", lua, " (", why_no_interpreter(lua), ")")
    return
  end
  run.luas[name] = true
  local function add(is_native)
    local title = is_native and name .. NATIVE_MARK or name
    pairs_here[#pairs_here + 1] = { lua = name, command = lua, is_native = is_native, title = title, left = 0,
      seconds = 0, sum = { passed = 0, failed = 0, skipped = 0 } }
  end
  add(false)
  if not run.no_native and exists(NATIVE_PATH:format(name) .. "websockets_native.so") then
    run.conditions.native = true
    add(true)
  end
end

local function lua_job(portion, run)
  local pair, specs = portion.pair, {}
  run.count, pair.left = run.count + 1, pair.left + 1
  for _, spec in ipairs(portion.files) do specs[#specs + 1] = quote(spec) end
  local tally = run.dir .. "/" .. run.count .. ".results"
  local engine = pair.is_native and "WEBSOCKETS_NATIVE=on LUA_CPATH=" .. quote(NATIVE_PATH:format(pair.lua) .. "?.so;;")
    or "WEBSOCKETS_NATIVE=off"
  -- No proxy of the environment: the servers of the specs are on this machine.
  engine = engine .. " http_proxy= https_proxy= HTTPS_PROXY= all_proxy= ALL_PROXY="
  local command = ("%s TALLY_FILE=%s TALLY_NAME=%s %s%s %s --output=spec/support/tally.lua %s"):format(engine,
    quote(tally), quote(pair.title), run.limit, quote(pair.command), "spec/support/busted_start.lua",
    table.concat(specs, " "))
  return { pair = pair, title = pair.title, tally = tally, command = command }
end

local function finish_check(job, run, code)
  if code == 0 then
    say(job.title, ": passed")
  else
    io.stdout:write(read(job.log))
    fail(run, job.title)
  end
end

local function finish_pair(pair, run)
  say(pair.title, ": ", pair.sum.passed, " passed, ", pair.sum.failed, " failed, ", pair.sum.skipped, " skipped in ",
    ("%.0f"):format(pair.seconds), " s")
  if pair.sum.passed + pair.sum.failed + pair.sum.skipped == 0 and not run.specs then
    fail(run, pair.title, ": no test ran")
  end
end

local function finish_lua(job, run, code)
  io.stdout:write(read(job.log))
  local pair, found, seconds = job.pair, results.read(job.tally)
  local sum = results.count(found)
  for status, count in pairs(sum) do
    run.sum[status], pair.sum[status] = run.sum[status] + count, pair.sum[status] + count
  end
  for _, outcome in ipairs(found) do
    -- The contract asks under which Lua a test passed.
    if outcome.interpreter then outcome.interpreter = outcome.interpreter:gsub(NATIVE_MARK .. "$", "") end
    table.insert(run.outcomes, outcome)
  end
  if not seconds then
    local last = found[#found] and found[#found].name or "nothing"
    fail(run, job.title, ": the run broke off (exit code ", code, ") after: ", last)
  elseif code ~= 0 and sum.failed == 0 then
    fail(run, job.title, ": exit code ", code)
  end
  pair.left, pair.seconds = pair.left - 1, pair.seconds + (seconds or 0)
  if pair.left == 0 then finish_pair(pair, run) end
end

local function run_jobs(jobs, run)
  local at_once = tonumber(os.getenv("JOBS")) or 2 * queue.processors()
  local lost = queue.run(jobs, at_once, run.dir, function(job, code)
    (job.pair and finish_lua or finish_check)(job, run, code)
  end)
  for _, job in ipairs(lost) do fail(run, job.title, ": was not run to its end") end
end

local function spec_files(spec_list)
  local places = {}
  for _, place in ipairs(spec_list) do places[#places + 1] = quote(place) end
  local list = output_of("find " .. (places[1] and table.concat(places, " ") or "spec") .. " -type f -name "
    .. quote("*_spec.lua"))
  local files = words(list)
  table.sort(files)
  return files
end

local function say_skipped(outcomes)
  local order, luas = {}, {}
  for _, outcome in ipairs(outcomes) do
    if outcome.status == "skipped" then
      local note = outcome.note ~= "" and " (" .. outcome.note .. ")" or ""
      local text = outcome.file .. ": " .. outcome.name .. note
      if not luas[text] then
        order[#order + 1] = text
        luas[text] = {}
      end
      table.insert(luas[text], outcome.interpreter)
    end
  end
  for _, text in ipairs(order) do say("skipped: ", text, " [", table.concat(luas[text], " "), "]") end
end

local function check_contract(run)
  local chunk, why = loadfile(CONTRACT)
  local ok, rows = pcall(chunk or error, why)
  if not ok or type(rows) ~= "table" or #rows == 0 then
    return fail(run, CONTRACT, ": ", ok and "no rows" or tostring(rows))
  end
  local found = contract_check.check(rows, run.outcomes, run)
  for _, problem in ipairs(found.problems) do fail(run, "contract ", problem) end
  for _, text in ipairs(found.unprovable) do skip(run, "contract ", text) end
  say("contract: ", found.proved, " rows proved, ", #found.problems, " not, ", #found.unprovable,
    " not provable here, ", found.left_out, " not asked for in this run")
end

local function no_native_reason()
  local reason = os.getenv("NO_NATIVE")
  return reason ~= "" and reason or nil
end

local function main()
  local luas = words(os.getenv("LUAS"))
  if #luas == 0 then luas = { running_lua() } end
  local spec_list = words(os.getenv("SPEC"))
  local wrong = wrong_name(luas, spec_list)
  if wrong then say(wrong) end
  if wrong or arg[1] == "names" then os.exit(wrong and 1 or 0) end
  local run = {
    dir = output_of("mktemp -d"):match("[^\n]+"), limit = limit_prefix(), count = 0,
    luas = {}, conditions = { native = false }, no_native = no_native_reason(), is_lacking = needs.is_lacking,
    spec_list = spec_list, specs = spec_list[1] and set(spec_list) or nil,
    outcomes = {}, sum = { passed = 0, failed = 0, skipped = 0 },
  }
  local jobs, pairs_here = {}, {}
  for _, name in ipairs(words(os.getenv("CHECKS"))) do add_check(jobs, name, run) end
  for _, lua in ipairs(luas) do add_pairs(pairs_here, lua, run) end
  for _, portion in ipairs(plan.portions(pairs_here, spec_files(spec_list), not run.specs)) do
    jobs[#jobs + 1] = lua_job(portion, run)
  end
  if run.no_native then skip(run, "every spec with the accelerator (", run.no_native, ")") end
  run_jobs(jobs, run)
  os.execute("rm -rf " .. quote(run.dir))
  -- Some spec files have tests under one Lua or one engine alone.
  if run.specs and not run.outcomes[1] then fail(run, "no test ran") end
  say_skipped(run.outcomes)
  check_contract(run)
  say(run.sum.passed, " passed, ", run.sum.failed, " failed, ", run.sum.skipped, " skipped")
  os.exit(run.sum.failed == 0 and 0 or 1)
end

main()
