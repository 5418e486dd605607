--- What the system knows of a file, by the accelerator or lua-filesystem, whichever is there.
-- @module websockets.http.facts
local facts = {}

local lfs

-- Looked for once: a module that is not there would be searched on the disk each time.
local function filesystem()
  if lfs == nil then
    local found, module = pcall(require, "lfs")
    lfs = found and type(module) == "table" and module or false
  end
  return lfs
end

local function by_filesystem(path)
  local known, why = lfs.attributes(path)
  if not known then return nil, why end
  return {
    kind = known.mode, size = known.size, mtime = known.modification, inode = known.ino, device = known.dev,
  }
end

--- Tells what is known of a file, symbolic links followed.
-- @tparam table engine asked first, where it has `file_facts`
-- @tparam string path
-- @treturn[1] table `kind` ("file", "directory" …), `size`, `mtime`, `inode`, `device`
-- @treturn[2] nil
-- @treturn[2] ?string message; nil where nobody can be asked
function facts.of(engine, path)
  if engine.file_facts then return engine.file_facts(path) end
  if filesystem() then return by_filesystem(path) end
  return nil
end

--- Tells what a name itself is, where it is a symbolic link.
-- @tparam table engine asked first, where it has `link_facts`
-- @tparam string path
-- @treturn[1] string kind: "file", "directory", "link" …
-- @treturn[1] ?string where a link points, if that can be told
-- @treturn[2] nil nothing has that name, or nobody can be asked
function facts.link(engine, path)
  if engine.link_facts then
    local known = engine.link_facts(path)
    return known and known.kind, known and known.target
  end
  if not filesystem() then return nil end
  local kind = lfs.symlinkattributes(path, "mode")
  if kind ~= "link" then return kind end
  -- Old versions of lua-filesystem know no "target" and raise.
  local told, target = pcall(lfs.symlinkattributes, path, "target")
  return kind, told and target or nil
end

--- Tells whether anybody can be asked about files and links.
-- @tparam table engine
-- @treturn boolean
function facts.are_known(engine)
  return filesystem() ~= false or (engine.file_facts and engine.link_facts) ~= nil
end

return facts
