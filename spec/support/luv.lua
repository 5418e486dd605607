--- luv for specs, loaded once: busted forgets the modules of a spec file at its end, and a second copy of luv in one
-- process can crash under LuaJIT.
-- @module spec.support.luv

local KEY = "spec.support.luv"

local registry = debug.getregistry()
if registry[KEY] == nil then
  local is_there, loaded = pcall(require, "luv")
  registry[KEY] = is_there and loaded or false
end

local luv = {}

--- Gives luv.
-- @treturn[1] table
-- @treturn[2] boolean false: this Lua has none
function luv.library()
  local uv = registry[KEY]
  if uv then package.loaded.luv = uv end
  return uv
end

return luv
