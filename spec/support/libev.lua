--- lua-ev for the specs: the real one where it is there, else our own small binding of libev, compiled on the spot.
-- @module spec.support.libev

local child = require "spec.support.child"
local headers = require "spec.support.headers"

local libev = {}

local SOURCE = "spec/fixtures/ev.c"

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
  local include = headers.folder()
  if not (include and is_there("/usr/include/ev.h") and child.has("gcc")) then
    return nil, "needs lua-ev, or gcc with the headers of libev and of this Lua"
  end
  local folder = child.make_folder()
  local text, code = child.run(("gcc -std=c99 -Wall -Wextra -Werror -O1 -shared -fPIC -I%s -o %s/ev.so %s -lev"):format(
    child.quote(include), child.quote(folder), SOURCE))
  assert(code == 0, text)
  package.cpath = folder .. "/?.so;" .. package.cpath
  return require "ev", folder
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
