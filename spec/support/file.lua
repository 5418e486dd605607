--- Files that specs read.
-- @module spec.support.file
local file = {}

--- Reads a whole file.
-- @tparam string path
-- @treturn string its bytes
-- @raise where it cannot be read
function file.read(path)
  local handle = assert(io.open(path, "rb"))
  local bytes = handle:read("*a")
  handle:close()
  return bytes
end

return file
