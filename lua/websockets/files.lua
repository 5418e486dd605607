--- A folder whose files answer HTTP requests. Called as `websockets.files`.
-- @module websockets.files
local engine = require("websockets.engine.loader")
local errors = require("websockets.errors")
local facts = require("websockets.http.facts")
local options = require("websockets.options.files")
local server_files = require("websockets.server.files")
local turn = require("websockets.turn.turn")

local files = {}

--- Makes a handler for `on_http` that serves the files of a folder. Names that begin with a dot, symbolic links that
-- lead out of the folder, and every spelling of a way up are not there. Below a route that ends with `*` it serves what
-- the star stands for.
-- @tparam string root path of the folder
-- @tparam[opt] table settings `index` ("index.html", false for none), `types` (extension -> media type, besides those
-- that are known), `cache_control` (the header, or a function of the name that gives it), `precompressed` (true: send
-- `name.gz` where it lies beside the file, is not older, and the client takes gzip), `hidden` (false; true: names that
-- begin with a dot are served)
-- @treturn function `fn(ws, uri)`; gives what `serve_http_file` gives
-- @raise for a folder that is not there, a wrong option, and where nobody can be asked about files
function files.new(root, settings)
  if type(root) ~= "string" or root == "" then errors.argument(1, "files", "path of a folder", root, 4) end
  settings = options.read(settings, 4)
  local asked = engine.choose()
  if not facts.are_known(asked) then
    error("websockets.files needs the accelerator or lua-filesystem, to know a file from a symbolic link", 3)
  end
  local known = facts.of(asked, root)
  if not known or known.kind ~= "directory" then errors.argument(1, "files", "path of a folder", root, 4) end
  if #root > 1 then root = root:gsub("/+$", "") end
  return function(ws, target)
    return turn.within(ws.context, server_files.serve_folder, ws, target, root, settings)
  end
end

return files
