--- lua-ev for the specs: the real one where it is there, else our own small binding of libev, compiled on the spot.
-- @module spec.support.libev

local child = require "spec.support.child"
local fixture = require "spec.support.fixture"

local libev = {}

local function is_there(path)
  local file = io.open(path)
  if file then
    file:close()
  end
  return file ~= nil
end

--- Load it.
-- @treturn[1] table the module `ev`
-- @treturn[1] string the folder of the fixture for `libev.remove`, nil where lua-ev itself was found
-- @treturn[2] nil
-- @treturn[2] string what is missing
function libev.load()
  local found, ev = pcall(require, "ev")
  if found then
    return ev
  end
  if fixture.missing() or not is_there("/usr/include/ev.h") then
    return nil, "needs lua-ev, or gcc with the headers of libev and of this Lua"
  end
  return fixture.load("ev", "-lev")
end

--- What a program must have in its environment to find the same module.
-- @treturn string assignments for the shell
function libev.environment()
  local path = child.quote(package.cpath)
  local version = _VERSION:match("%d+%.%d+"):gsub("%.", "_")
  return ("LUA_CPATH=%s LUA_CPATH_%s=%s"):format(path, version, path)
end

--- Remove the compiled fixture.
-- @tparam[opt] string folder what `libev.load` gave
function libev.remove(folder)
  if folder then
    child.remove_folder(folder)
  end
end

return libev
