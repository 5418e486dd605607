--- An output handler for busted: failures in full; every result into a file, or one line at the end.
-- @module spec.support.tally
--
-- `TALLY_FILE` names the results file (none: that line is printed); `TALLY_NAME` the interpreter in it.

local results = require "spec.support.results"

local STATUS = { success = "passed", pending = "skipped", failure = "failed", error = "failed" }

local function file_of(busted, element)
  while element and element.descriptor ~= "file" do
    element = busted.parent(element)
  end
  return element and (element.name:gsub("^%./", "")) or ""
end

local function print_failure(run, place, name, message, trace)
  io.write("\nFAILED under ", run.interpreter, ": ", place, ": ", name, "\n", tostring(message), "\n")
  if trace and trace.traceback and trace.traceback ~= "" then
    io.write((trace.traceback:gsub("^\n", "")), "\n")
  end
  io.flush()
end

local function record(run, status, place, name, note)
  run.sum[status] = run.sum[status] + 1
  if run.out then
    results.write(run.out,
      { interpreter = run.interpreter, status = status, file = place, name = name, note = note })
  end
end

local function finish(run, suite)
  local seconds = ("%.1f"):format(suite.duration or 0)
  local sum = run.sum
  if run.out then
    results.write(run.out, { interpreter = run.interpreter, status = "end", note = seconds })
    run.out:close()
  else
    io.write(run.interpreter, ": ", sum.passed, " passed, ", sum.failed, " failed, ", sum.skipped, " skipped in ",
      seconds, " s\n")
  end
end

local function new_run()
  local path = os.getenv("TALLY_FILE")
  return {
    interpreter = os.getenv("TALLY_NAME") or (jit and "luajit") or _VERSION,
    out = path and assert(io.open(path, "a")),
    sum = { passed = 0, failed = 0, skipped = 0 },
    why = {},
  }
end

-- An error in a test is told twice: as `error` with its message, then as the test's end with its status.
-- An error anywhere else has no such end and counts at once.
local function subscribe(busted, handler, run)
  local function on_fault(element, _, message, trace)
    local place, name = file_of(busted, element), handler.getFullName(element)
    print_failure(run, place, name, message, trace)
    if element.descriptor ~= "it" then
      record(run, "failed", place, name, message)
    end
    return nil, true
  end

  busted.subscribe({ "failure" }, on_fault)
  busted.subscribe({ "error" }, on_fault)
  busted.subscribe({ "pending" }, function(element, _, message)
    -- busted puts the place in the file before the reason.
    run.why[element] = type(message) == "string" and message:gsub("^%S+:%d+: ", "") or nil
    return nil, true
  end)
  busted.subscribe({ "test", "end" }, function(element, _, status)
    record(run, STATUS[status], file_of(busted, element), handler.getFullName(element), run.why[element])
    run.why[element] = nil
    return nil, true
  end)
  busted.subscribe({ "suite", "end" }, function(suite)
    finish(run, suite)
    return nil, true
  end)
end

return function()
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local run = new_run()
  handler.subscribe = function(_, options)
    require("busted.languages." .. (options.language or "en"))
    subscribe(busted, handler, run)
  end
  return handler
end
