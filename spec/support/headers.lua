--- Where the C headers of this Lua are.
-- @module spec.support.headers

local VERSION = _VERSION:match("%d+%.%d+")
-- The system's own; of a Lua that no package has, those that .ci has made it from.
local FOLDERS = jit and { "/usr/include/luajit-2.1" }
  or { "/usr/include/lua" .. VERSION, "build/lua" .. VERSION .. "/include" }

local headers = {}

--- Find the folder that has lua.h.
-- @treturn ?string nil where there is none
-- @treturn string the file that is missing then
function headers.folder()
  for _, folder in ipairs(FOLDERS) do
    local file = io.open(folder .. "/lua.h")
    if file then
      file:close()
      return folder
    end
  end
  return nil, FOLDERS[1] .. "/lua.h"
end

return headers
