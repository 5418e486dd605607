--- Handlers that serve the files of a folder. Called as `websockets.files`.
-- @module websockets.files
local engine = require("websockets.engine.loader")
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local facts = require("websockets.http.facts")
local options = require("websockets.options.files")
local server_files = require("websockets.server.files")

local files = {}

--- Makes a handler for `on_http` that serves the files of a folder. On a route that ends with `*`, the path is what the
-- star stands for. Names that begin with a dot, symbolic links that lead out of the folder, and paths that lead up are
-- answered 404.
-- @tparam string root path of the folder
-- @tparam[opt] table settings `index` ("index.html"; false for none), `types` (extension -> media type, in addition to
-- the known ones), `cache_control` (the value of Cache-Control, or a function that gets the name and gives the value),
-- `precompressed` (true: send `name.gz` if it is in the same folder, not older than the file, and the client takes
-- gzip), `hidden` (false; true: serve names that begin with a dot)
-- @treturn function `fn(ws, uri)`; returns as `ws:serve_http_file` does
-- @raise if the folder does not exist, an option is wrong, or both the accelerator and lua-filesystem are missing
function files.new(root, settings)
  if type(root) ~= "string" or root == "" then errors.argument(1, "files", "path of a folder", root, 4) end
  settings = options.read(settings, 4)
  local chosen = engine.choose()
  if not facts.are_known(chosen) then
    error("websockets.files needs the accelerator or lua-filesystem, to tell files from symbolic links", 3)
  end
  local known = facts.of(chosen, root)
  if not known or known.kind ~= "directory" then errors.argument(1, "files", "path of a folder", root, 4) end
  if #root > 1 then root = root:gsub("/+$", "") end
  return function(ws, target)
    return entry.within(ws.context, server_files.serve_folder, ws, target, root, settings)
  end
end

return files
