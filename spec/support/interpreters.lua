--- Which interpreters a run names, and whether they are here.
-- @module spec.support.interpreters

local child = require "spec.support.child"

local quote = child.quote

-- Where .ci/lua5.5/build says why there is no Lua 5.5.
local WHY_NO_LUA55 = "build/lua5.5/why"
local WHICH = [[io.write(jit and "luajit" or "lua" .. _VERSION:match("%d+%.%d+"))]]

local interpreters = {}

--- What a Lua calls itself.
-- @tparam string lua a command
-- @treturn ?string `lua5.4`, `luajit`, …; nil where there is none of that name
function interpreters.name_of(lua)
  local name = child.run(quote(lua) .. " -e " .. quote(WHICH) .. " 2>/dev/null")
  return name ~= "" and name or nil
end

--- Why an interpreter is not here.
-- @tparam string lua
-- @treturn string
function interpreters.why_absent(lua)
  local file = lua == "lua5.5" and io.open(WHY_NO_LUA55, "r")
  local why = file and file:read("*a"):match("^no Lua 5.5: ([^\n]+)")
  if file then file:close() end
  return why or "no such interpreter"
end

--- The first of these commands that is no interpreter, and why. With `ABSENT=skip` in the environment one of them is
-- enough.
-- @tparam {string,...} luas
-- @treturn ?string nil where nothing is wrong
function interpreters.wrong_name(luas)
  local is_any_here = false
  for _, lua in ipairs(luas) do
    local is_here = interpreters.name_of(lua) ~= nil
    is_any_here = is_any_here or is_here
    if not is_here and os.getenv("ABSENT") ~= "skip" then return lua .. ": " .. interpreters.why_absent(lua) end
  end
  if not is_any_here then return table.concat(luas, ", ") .. ": no such interpreters" end
end

return interpreters
