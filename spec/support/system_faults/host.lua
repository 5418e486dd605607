--- Runs the rows of the table of system faults, and prints what became of each: `row N: passed`, or why it failed.
-- `spec.support.system_faults` starts it, with the fixture in LD_PRELOAD and in LUA_CPATH.
-- @script host
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path

local faults = require("system_faults")
local rows = require("spec.support.system_faults.rows")
local server = require("spec.support.server")
local world_of = require("spec.support.system_faults.world")

local ENGINE = server.is_native and "native" or "pure"

local function say(...)
  io.stdout:write(...)
  io.stdout:write("\n")
  io.stdout:flush()
end

local function run(row)
  local world = world_of.new(row.options)
  local is_good, why = xpcall(function()
    row.run(world)
    world:check()
  end, debug.traceback)
  world:close()
  return is_good, why
end

local only = arg[1] and tonumber(arg[1])
local is_installed, why_not = faults.install()
if not is_installed then
  say("cannot: ", why_not)
  os.exit(0)
end
for number, row in ipairs(rows.list()) do
  if (not row.engines or row.engines == ENGINE) and (not only or only == number) then
    local is_good, passed, why = pcall(run, row)
    if not is_good then passed, why = false, passed end
    say(("row %d: "):format(number), passed and "passed" or tostring(why):gsub("%s*\n%s*", " | "))
  end
end
say("end")
