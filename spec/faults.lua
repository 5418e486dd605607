--- Scenarios of `spec.support.fault_scenarios` with a fault at each place, under the Lua that runs this and the engine
-- that WEBSOCKETS_NATIVE asks for. `make faults` runs it for each of both.
-- @script faults
--
-- The environment narrows it: `SCENARIOS` and `KINDS` (`once`, `often`: memory that is refused once, or forty times in
-- a row; `hook`: an error at an instruction) are lists of names; `FIRST`, `STEP` and `LAST` are places, `SAMPLES` how
-- many of them to try; `SECONDS_EACH` is the time for one scenario and kind (60). Fails if something is found.
-- `lua spec/faults.lua names` lists the names.

package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local child = require "spec.support.child"
local faults = require "spec.support.faults"
local fixture = require "spec.support.fixture"
local websockets = require "websockets"

local SECONDS = 60

local function words(name, otherwise)
  local list = {}
  for word in (os.getenv(name) or ""):gmatch("%S+") do list[#list + 1] = word end
  return list[1] and list or otherwise
end

local function number(name)
  return tonumber(os.getenv(name) or "")
end

if arg[1] == "names" then
  print(table.concat(faults.names(), " "))
  os.exit(0)
end
local missing = fixture.missing()
if missing then
  print("skipped: " .. missing)
  os.exit(0)
end
local module, folder = fixture.load("faults", faults.FLAGS)
local title = ("%s %s"):format(jit and "LuaJIT" or _VERSION, websockets.engine)
local found = 0
io.stdout:setvbuf("line")
for _, name in ipairs(words("SCENARIOS", faults.names())) do
  for _, kind in ipairs(words("KINDS", { "once", "often" })) do
    io.write(title, ": ", name, ", ", kind, ": ")
    io.flush()
    local result = faults.run(module, name, kind, {
      first = number("FIRST"), step = number("STEP"), last = number("LAST"),
      samples = number("SAMPLES"), seconds = number("SECONDS_EACH") or SECONDS,
    })
    print(("%d places, %d tried%s, %d finds"):format(result.places, result.tried,
      result.is_cut and ", out of time" or "", #result.wrong))
    for _, what in ipairs(result.wrong) do print("  " .. what) end
    found = found + #result.wrong
  end
end
child.remove_folder(folder)
os.exit(found == 0 and 0 or 1)
