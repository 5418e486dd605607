--- The table of system faults: compiles the fixture, runs the rows in a process of their own, and prints the table.
-- As a program, `lua spec/support/system_faults.lua`, it prints the table with what became of each row.
-- @module spec.support.system_faults
-- Whether this file is the program, not a module.
local is_program = arg and arg[0] and arg[0]:find("system_faults%.lua$")
if is_program then package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path end

local child = require("spec.support.child")
local headers = require("spec.support.headers")
local rows = require("spec.support.system_faults.rows")

local system_faults = {}

local SOURCE, HOST = "spec/fixtures/system_faults.c", "spec/support/system_faults/host.lua"
local LIMIT_SECONDS = 300

--- What a machine has to have.
system_faults.NEED = "gcc with the headers of this Lua, and seccomp on x86-64"

-- The folder of the compiled fixture, or nil and what the compiler says.
local function compile()
  local include = headers.folder()
  if not include or not child.has("gcc") then return nil end
  local folder = child.make_folder()
  local text, code = child.run(("gcc -std=gnu11 -Wall -Wextra -Werror -O1 -shared -fPIC -I%s -o %s/system_faults.so %s")
    :format(child.quote(include), child.quote(folder), SOURCE))
  if code == 0 then return folder end
  child.remove_folder(folder)
  return nil, text
end

local function is_x86_64()
  return (child.run("uname -sm")):find("^Linux x86_64") ~= nil
end

--- Runs all rows under this Lua, with the engine that the environment names.
-- @tparam[opt] integer only the number of one row
-- @treturn[1] table number of a row -> `passed`, or why it failed; `last` is what the program printed at its end
-- @treturn[2] nil this machine lacks what it needs
function system_faults.run(only)
  if not is_x86_64() then return nil end
  local folder, why = compile()
  if not folder then
    assert(not why, why)
    return nil
  end
  local path = child.quote(folder .. "/?.so;" .. package.cpath)
  local version = _VERSION:match("%d+%.%d+"):gsub("%.", "_")
  local program = child.start(("env LUA_CPATH=%s LUA_CPATH_%s=%s LD_PRELOAD=%s/system_faults.so %s %s %s"):format(path,
    version, path, child.quote(folder), child.quote(child.this_lua()), HOST, only or ""), "", LIMIT_SECONDS)
  local text = program:rest()
  child.remove_folder(folder)
  if text:find("^cannot: ") then return nil end
  local found = { last = text:match("([^\n]*)\n*$") }
  for number, what in text:gmatch("row (%d+): ([^\n]*)") do found[tonumber(number)] = what end
  return found
end

-- The table, in the form that documents have.
local function print_table(only)
  local found = system_faults.run(only)
  if not found then return print("skipped: needs " .. system_faults.NEED) end
  local failed = 0
  print("| # | call | fault | what must happen | |\n|---|---|---|---|---|")
  for number, row in ipairs(rows.list()) do
    local what = found[number]
    if what and what ~= "passed" then failed = failed + 1 end
    if not only or only == number then
      what = what or row.engines and row.engines .. " only" or "not run"
      print(("| %d | %s | %s | %s | %s |"):format(number, row.call, row.fault, row.must, what))
    end
  end
  if found.last ~= "end" then print("the program ended early: " .. found.last) end
  os.exit(failed == 0 and found.last == "end" and 0 or 1)
end

if is_program then print_table(tonumber(arg[1] or "")) end

return system_faults
