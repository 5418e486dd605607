--- Runs every spec, holds the contract against what ran, and ends with `N passed, N failed, N skipped`.
-- @script run
--
-- `lua spec/run.lua` runs under the Lua it is started with, as `luarocks test` does. Where build/native has the
-- accelerator for a Lua, everything runs twice: without it and with it. The environment says more:
-- `LUAS` interpreters; `ABSENT=skip` one of them may be absent; `SPEC` spec files, only these; `CHECKS` targets of the
-- Makefile to run first; `JOBS` how many programs run at a time (two for each processor: most wait as long as they
-- work); `NO_NATIVE` why there is no accelerator. spec.support.plan says which files run where, spec.support.rerun
-- what runs once more.
-- `lua spec/run.lua names` only checks the names in `LUAS` and `SPEC`.

package.path = "./?.lua;" .. package.path

local child = require "spec.support.child"
local contract_check = require "spec.support.contract_check"
local interpreters = require "spec.support.interpreters"
local needs = require "spec.support.needs"
local plan = require "spec.support.plan"
local queue = require "spec.support.queue"
local rerun = require "spec.support.rerun"
local results = require "spec.support.results"

local quote = child.quote

local CONTRACT = "spec/contract.lua"
local JOB_LIMIT_SECONDS = 900
-- Whole, for some specs start programs in other folders.
local NATIVE_PATH = os.getenv("PWD") .. "/build/native/%s/"
local NATIVE_MARK = " native"
-- What a check needs: it is skipped where this command fails.
local CHECK_NEEDS = {
  lint = "luacheck --version", docs = "command -v ldoc", ["rust-format"] = "cargo fmt --version",
  ["rust-lint"] = "cargo clippy --version", ["rust-test"] = "cargo --version",
}

local function words(text)
  local list, set = {}, {}
  for word in (text or ""):gmatch("%S+") do
    list[#list + 1], set[word] = word, true
  end
  return list, set
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
  local _, code = child.run(command)
  return code == 0
end

-- A run that hangs would take its results with it; not every system has a `timeout` that leaves Ctrl-C alone.
local function limit_prefix()
  return succeeds("timeout --foreground 5 true") and ("timeout --foreground " .. JOB_LIMIT_SECONDS .. " ") or ""
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- The first name in `LUAS` or `SPEC` that names nothing, and why; nil where there is none.
local function wrong_name(luas, spec_list)
  local wrong = interpreters.wrong_name(luas)
  if wrong then return wrong end
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
  local name = interpreters.name_of(lua)
  if not name then
    skip(run, "every spec under ", lua, " (", interpreters.why_absent(lua), ")")
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

-- The command that runs files of a pair, and where their results will be.
local function busted_command(pair, files, run)
  local specs = {}
  run.count = run.count + 1
  for _, spec in ipairs(files) do specs[#specs + 1] = quote(spec) end
  local tally = run.dir .. "/" .. run.count .. ".results"
  local engine = pair.is_native and "WEBSOCKETS_NATIVE=on LUA_CPATH=" .. quote(NATIVE_PATH:format(pair.lua) .. "?.so;;")
    or "WEBSOCKETS_NATIVE=off"
  -- No proxy of the environment: the servers of the specs are on this machine.
  engine = engine .. " http_proxy= https_proxy= HTTPS_PROXY= all_proxy= ALL_PROXY="
  return ("%s TALLY_FILE=%s TALLY_NAME=%s %s%s %s --output=spec/support/tally.lua %s"):format(engine, quote(tally),
    quote(pair.title), run.limit, quote(pair.command), "spec/support/busted_start.lua", table.concat(specs, " ")), tally
end

local function lua_job(portion, run)
  local pair = portion.pair
  pair.left = pair.left + 1
  local command, tally = busted_command(pair, portion.files, run)
  return { pair = pair, title = pair.title, files = portion.files, tally = tally, command = command }
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

-- Counts the results of a portion.
local function count_portion(job, run, found, seconds, code)
  local pair, sum = job.pair, results.count(found)
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

local function finish_lua(job, run, code)
  io.stdout:write(read(job.log))
  local found, seconds = results.read(job.tally)
  local again = not run.specs and rerun.files(job, found, seconds, code)
  if again then
    run.again[#run.again + 1] = { job = job, files = again, found = found, seconds = seconds, code = code }
  else
    count_portion(job, run, found, seconds, code)
  end
end

local function run_jobs(jobs, run)
  local at_once = tonumber(os.getenv("JOBS")) or 2 * queue.processors()
  local lost = queue.run(jobs, at_once, run.dir, function(job, code)
    (job.pair and finish_lua or finish_check)(job, run, code)
  end)
  for _, job in ipairs(lost) do fail(run, job.title, ": was not run to its end") end
end

local function finish_again(entry, run, code)
  local job, second = entry.job, entry.second
  io.stdout:write(read(second.log))
  local found, seconds = results.read(second.tally)
  local merged, unsteady = rerun.merge(entry.found, found, entry.files)
  if not entry.seconds then say("unsteady: ", job.title, ": broke off at first (exit code ", entry.code, ")") end
  for _, outcome in ipairs(unsteady) do say("unsteady: ", outcome.file, ": ", outcome.name, " [", job.title, "]") end
  run.unsteady = run.unsteady + #unsteady + (entry.seconds and 0 or 1)
  count_portion(job, run, merged, seconds, code)
end

local function run_again(run)
  if #run.again > rerun.LIMIT then
    for _, entry in ipairs(run.again) do count_portion(entry.job, run, entry.found, entry.seconds, entry.code) end
    return
  end
  local jobs = {}
  for _, entry in ipairs(run.again) do
    say("once more, by itself: ", table.concat(entry.files, " "), " [", entry.job.title, "]")
    local command, tally = busted_command(entry.job.pair, entry.files, run)
    entry.second = { command = command, tally = tally, entry = entry, title = entry.job.title }
    jobs[#jobs + 1] = entry.second
  end
  local lost = queue.run(jobs, 1, run.dir, function(job, code) finish_again(job.entry, run, code) end)
  for _, job in ipairs(lost) do fail(run, job.title, ": was not run to its end") end
end

local function spec_files(spec_list)
  local places = {}
  for _, place in ipairs(spec_list) do places[#places + 1] = quote(place) end
  local list = child.run("find " .. (places[1] and table.concat(places, " ") or "spec") .. " -type f -name "
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

local function main()
  local luas = words(os.getenv("LUAS"))
  if #luas == 0 then luas = { child.this_lua() } end
  local spec_list, spec_set = words(os.getenv("SPEC"))
  local wrong = wrong_name(luas, spec_list)
  if wrong then say(wrong) end
  if wrong or arg[1] == "names" then os.exit(wrong and 1 or 0) end
  local run = {
    dir = child.make_folder(), limit = limit_prefix(), count = 0, luas = {}, conditions = { native = false },
    no_native = (os.getenv("NO_NATIVE") or ""):match(".+"), is_lacking = needs.is_lacking,
    specs = spec_list[1] and spec_set,
    outcomes = {}, again = {}, unsteady = 0, sum = { passed = 0, failed = 0, skipped = 0 },
  }
  local jobs, pairs_here = {}, {}
  for _, name in ipairs(words(os.getenv("CHECKS"))) do add_check(jobs, name, run) end
  for _, lua in ipairs(luas) do add_pairs(pairs_here, lua, run) end
  for _, portion in ipairs(plan.portions(pairs_here, spec_files(spec_list), not run.specs)) do
    jobs[#jobs + 1] = lua_job(portion, run)
  end
  if run.no_native then skip(run, "every spec with the accelerator (", run.no_native, ")") end
  run_jobs(jobs, run)
  run_again(run)
  child.remove_folder(run.dir)
  -- Some spec files have tests under one Lua or one engine alone.
  if run.specs and not run.outcomes[1] then fail(run, "no test ran") end
  say_skipped(run.outcomes)
  check_contract(run)
  if run.unsteady > 0 then say(run.unsteady, " unsteady: failed at first and passed by themselves, see above") end
  say(run.sum.passed, " passed, ", run.sum.failed, " failed, ", run.sum.skipped, " skipped")
  os.exit(run.sum.failed == 0 and 0 or 1)
end

main()
