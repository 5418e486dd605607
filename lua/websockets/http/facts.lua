--- Facts about files, from the accelerator or from lua-filesystem.
-- @module websockets.http.facts
local optional = require("websockets.loading").optional

local facts = {}

local lfs

-- Kept, because a `require` that fails searches the disk each time.
local function filesystem()
  if lfs == nil then
    local module = optional("lfs")
    lfs = type(module) == "table" and module or false
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

--- Gives the facts about a file; symbolic links are followed.
-- @tparam table engine asked first, if it has `file_facts`
-- @tparam string path
-- @treturn[1] table `kind` ("file", "directory" …), `size`, `mtime`, `inode`, `device`
-- @treturn[2] nil
-- @treturn[2] ?string message; nil if there is no source of facts
function facts.of(engine, path)
  if engine.file_facts then return engine.file_facts(path) end
  if filesystem() then return by_filesystem(path) end
  return nil
end

--- Gives the kind of a directory entry itself; symbolic links are not followed.
-- @tparam table engine asked first, if it has `link_facts`
-- @tparam string path
-- @treturn[1] string kind: "file", "directory", "link" …
-- @treturn[1] ?string the target of a link, if it is known
-- @treturn[2] nil there is no such entry, or no source of facts
function facts.link(engine, path)
  if engine.link_facts then
    local known = engine.link_facts(path)
    return known and known.kind, known and known.target
  end
  if not filesystem() then return nil end
  local kind = lfs.symlinkattributes(path, "mode")
  if kind ~= "link" then return kind end
  -- Old versions of lua-filesystem do not know "target" and raise.
  local is_known, target = pcall(lfs.symlinkattributes, path, "target")
  return kind, is_known and target or nil
end

--- Tells whether there is a source of facts about files and links.
-- @tparam table engine
-- @treturn boolean
function facts.are_known(engine)
  return filesystem() ~= false or (engine.file_facts and engine.link_facts) ~= nil
end

return facts
