--- A module in C of `spec/fixtures`, compiled on the spot for the Lua that runs this.
-- @module spec.support.fixture

local child = require "spec.support.child"
local headers = require "spec.support.headers"

local fixture = {}

--- Tell what is missing to compile one.
-- @treturn ?string what is missing, as a reason to skip; nil where nothing is
function fixture.missing()
  if not headers.folder() then return "needs the headers of this Lua" end
  if not child.has("gcc") then return "needs gcc" end
end

--- Compile a module and load it.
-- @tparam string name of `spec/fixtures/name.c`
-- @tparam[opt=""] string flags for the linker
-- @treturn table the module
-- @treturn string the folder that has it, for `child.remove_folder`
function fixture.load(name, flags)
  local folder = child.make_folder()
  -- LuaJIT would unload it at its end, before it collects what the module has made.
  local text, code = child.run(("gcc -std=c99 -Wall -Wextra -Werror -O1 -shared -fPIC -Wl,-z,nodelete -I%s -o %s/%s.so "
    .. "spec/fixtures/%s.c %s"):format(child.quote(headers.folder()), child.quote(folder), name, name, flags or ""))
  assert(code == 0, text)
  package.cpath = folder .. "/?.so;" .. package.cpath
  return require(name), folder
end

return fixture
