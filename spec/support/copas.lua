--- Copas for the specs. Debian has it for Lua 5.1 and 5.2; it is written in Lua, and other Luas take the same files.
-- @module spec.support.copas
local child = require("spec.support.child")

local finder = {}

local DEBIAN = "/usr/share/lua/5.1/?.lua"

--- Load it.
-- @treturn[1] table the module `copas`
-- @treturn[2] nil
-- @treturn[2] string what is missing, as a reason to skip
function finder.load()
  local is_there, copas = pcall(require, "copas")
  if not is_there and not package.path:find(DEBIAN, 1, true) then
    package.path = package.path .. ";" .. DEBIAN
    is_there, copas = pcall(require, "copas")
  end
  if not is_there then return nil, "needs lua-copas" end
  return copas
end

--- What a program must have in its environment to find the same module.
-- @treturn string assignments for the shell
function finder.environment()
  local version = _VERSION:match("%d+%.%d+"):gsub("%.", "_")
  local path = child.quote(os.getenv("PWD") .. "/lua/?.lua;" .. DEBIAN .. ";;")
  return ("LUA_PATH=%s LUA_PATH_%s=%s"):format(path, version, path)
end

return finder
