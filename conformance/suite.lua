--- Runs the Autobahn cases against our echo server, or our echo client against the server of the suite.
-- @module conformance.suite
local certificates = require("spec.support.certificates")
local child = require("spec.support.child")

local suite = {}

local KOSOKU = ".deps/venv/bin/kosoku"
local AT_ONCE = 4
local BUILT = "build/native/%s/?.so;"

--- Tells whether the suite is installed.
-- @treturn boolean
function suite.is_here()
  local _, code = child.run(child.quote(KOSOKU) .. " --help")
  return code == 0
end

--- Gives the environment with which our programs are started.
-- @tparam string lua interpreter
-- @tparam string engine "native" or "pure"
-- @treturn string assignments for the shell
function suite.environment(lua, engine)
  local text = "LUA_PATH='lua/?.lua;lua/?/init.lua;;' WEBSOCKETS_NATIVE="
  if engine ~= "native" then return text .. "off" end
  -- The accelerator that `make native` built, else an installed one.
  return text .. "on LUA_CPATH=" .. child.quote(BUILT:format(lua:match("[^/]+$")) .. (os.getenv("LUA_CPATH") or ";"))
end

local function environment(run)
  local text = suite.environment(run.lua, run.engine)
  if run.threshold then text = ("%s THRESHOLD=%d"):format(text, run.threshold) end
  return run.tls and ("%s CERTIFICATES=%s"):format(text, child.quote(certificates.folder())) or text
end

-- The suite knows no TLS: a relay puts it on, or takes it off. Gives the port in place of that of its target.
local function relay(run, job, mode, port)
  if not run.tls then return port end
  job.relay = child.start(("node conformance/relay.js %s %s"):format(mode, port),
    "CERTIFICATES=" .. child.quote(certificates.folder()), run.seconds)
  return job.relay:expect("^port (%d+)$")
end

local function selection(run)
  local words = {}
  for _, pattern in ipairs(run.select) do words[#words + 1] = "-i " .. child.quote(pattern) end
  return table.concat(words, " ")
end

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

local starts, ends = {}, {}

function starts.server(run, job)
  job.ours = child.start(child.quote(run.lua) .. " conformance/echo.lua", environment(run), run.seconds)
  local port = relay(run, job, "wrap", job.ours:expect("^" .. run.engine .. " (%d+)$"))
  job.suite = child.start(("%s -p %d %s -o %s 127.0.0.1:%s"):format(
    KOSOKU, AT_ONCE, selection(run), child.quote(job.folder), port), "", run.seconds)
end

function ends.server(_, job)
  return job.suite:rest() .. job.ours:stop()
end

function starts.client(run, job)
  job.suite = child.start(("%s -m fuzzingserver %s -o %s 127.0.0.1:0"):format(
    KOSOKU, selection(run), child.quote(job.folder)), "", run.seconds)
  local port = relay(run, job, "unwrap", job.suite:expect("listening on ws://127%.0%.0%.1:(%d+)"))
  job.ours = child.start(("%s conformance/client.lua %s"):format(child.quote(run.lua), port), environment(run),
    run.seconds)
end

function ends.client(run, job)
  local text = job.ours:rest()
  -- The suite would wait for a client that has not run all cases.
  if not text:find("^" .. run.engine .. " %d+\n$") then return text .. job.suite:stop() end
  return text .. job.suite:rest()
end

--- Starts the cases; they run while the caller goes on.
-- @tparam table run `role` (ours: "server" or "client"), `lua` (its interpreter), `engine`, `select` (list of cases or
-- patterns: "12.*"), `threshold` (bytes from which messages are compressed, nil for no compression), `tls` (true: over
-- TLS), `seconds` at most
-- @treturn table job for `finish`
function suite.start(run)
  local job = { run = run, folder = child.make_folder() }
  local is_good, why = pcall(starts[run.role], run, job)
  job.failure = not is_good and tostring(why)
  return job
end

--- Waits until the cases have ended.
-- @tparam table job
-- @treturn string `index.json` of the report; "" if there is none
-- @treturn string output of the programs
function suite.finish(job)
  local output = job.failure
  if output then
    for _, program in pairs({ job.ours, job.suite }) do output = output .. program:stop() end
  else
    output = ends[job.run.role](job.run, job)
  end
  if job.relay then output = output .. job.relay:stop() end
  local index = read(job.folder .. "/index.json")
  child.remove_folder(job.folder)
  return job.failure and "" or index, output
end

--- Runs the cases to their end.
-- @tparam table run as for `start`
-- @treturn string as `finish`
-- @treturn string as `finish`
function suite.run(run)
  return suite.finish(suite.start(run))
end

return suite
