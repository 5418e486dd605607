--- A folder as an answer to HTTP requests: `websockets.files`.
-- @module websockets.server.directory
local engine = require("websockets.engine.loader")
local errors = require("websockets.errors")
local facts = require("websockets.http.facts")
local files = require("websockets.server.files")
local mime = require("websockets.http.mime")
local response = require("websockets.server.response")
local turn = require("websockets.turn.turn")
local uri = require("websockets.http.uri")

local directory = {}

local MAX_LINKS = 16
local PLAIN = "text/plain; charset=utf-8"

local function is_flag(value) return type(value) == "boolean" end

local function is_field(value)
  return type(value) == "function" or (type(value) == "string" and not value:find("[%z\1-\8\10-\31\127]"))
end

local function are_types(value)
  if type(value) ~= "table" then return false end
  for extension, name in pairs(value) do
    if type(extension) ~= "string" or extension:find("[^%w_-]") or extension:lower() ~= extension then return false end
    if type(name) ~= "string" or not is_field(name) then return false end
  end
  return true
end

local function is_name(value)
  return value == false or (type(value) == "string" and value ~= "" and not value:find("[/\\%z]"))
end

local OPTIONS = {
  index = { default = "index.html", check = is_name, expected = "file name, or false" },
  types = { check = are_types, expected = "table of extension in lower case -> media type" },
  cache_control = { check = is_field, expected = "string without control characters, or function" },
  precompressed = { default = true, check = is_flag, expected = "boolean" },
  hidden = { default = false, check = is_flag, expected = "boolean" },
}

local function read_options(given)
  local settings = {}
  for name, known in pairs(OPTIONS) do settings[name] = known.default end
  if given == nil then return settings end
  if type(given) ~= "table" then errors.argument(2, "files", "table of options", given, 5) end
  for name, value in pairs(given) do
    local known = OPTIONS[name]
    if not known then error(("unknown option '%s'"):format(tostring(name)), 4) end
    if not known.check(value) then errors.option(name, known.expected, value, 5) end
    settings[name] = value
  end
  return settings
end

-- A name that means one file below the folder and nothing else, on every system.
local function is_plain(segment, settings)
  if segment == "" or segment == "." or segment == ".." or segment:find("[/\\%z]") then return false end
  return settings.hidden or segment:sub(1, 1) ~= "." or segment == ".well-known"
end

-- Puts where a link points in its place; nil where that leaves the folder or cannot be told.
local function follow_link(done, target, rest)
  if not target or target == "" or target:find("^[/\\]") or target:find("^%a:") then return nil end
  local segments = {}
  for segment in target:gmatch("[^/]+") do segments[#segments + 1] = segment end
  for _, segment in ipairs(rest) do segments[#segments + 1] = segment end
  return done, segments
end

-- Goes down name by name, so that no symbolic link leads out of the folder. The folder itself may be one.
local function locate(asked, root, segments)
  local done, links, at = {}, 0, 1
  while at <= #segments do
    local segment = segments[at]
    at = at + 1
    if segment == ".." then
      if #done == 0 then return nil end
      done[#done] = nil
    elseif segment ~= "." then
      local path = root .. "/" .. table.concat(done, "/") .. (#done > 0 and "/" or "") .. segment
      local kind, target = facts.link(asked, path)
      if not kind then return nil end
      if kind == "link" then
        links = links + 1
        local rest = {}
        for i = at, #segments do rest[#rest + 1] = segments[i] end
        done, segments = follow_link(done, target, rest)
        if not done or links > MAX_LINKS then return nil end
        at = 1
      else
        done[#done + 1] = segment
      end
    end
  end
  local path = #done > 0 and root .. "/" .. table.concat(done, "/") or root
  return path, facts.of(asked, path)
end

-- RFC 9110 12.5.3: whether a client takes gzip: named, or meant by a star, with no weight of zero.
local function takes_gzip(accepted)
  local star = false
  for item in (accepted or ""):gmatch("[^,]+") do
    local name, weight = item:match("^[ \t]*([^; \t]+)[ \t]*;?(.*)$")
    local takes = name and not weight:find("[qQ]=0%.?0*[ \t]*$")
    name = (name or ""):lower()
    if name == "gzip" or name == "x-gzip" then return takes end
    if name == "*" then star = takes end
  end
  return star
end

-- A compressed copy counts when it is not older than what it is a copy of.
local function find_compressed(asked, root, segments, known)
  local last = #segments
  local names = {}
  for i = 1, last do names[i] = segments[i] end
  names[last] = names[last] .. ".gz"
  local path, found = locate(asked, root, names)
  if found and found.kind == "file" and found.mtime >= known.mtime then return path end
end

-- Where an address names a folder, its slash is missing: without it the links of the index would lead elsewhere.
local function redirect(ws, target)
  local path, query = uri.split(target)
  local place = path .. "/" .. (query ~= "" and "?" .. query or "")
  response.respond(ws, 301, { Location = place, ["Content-Type"] = PLAIN }, "301 Moved Permanently\n")
  return 0
end

local function send(ws, root, settings, segments, path, known)
  local more = {}
  local cache_control = settings.cache_control
  if type(cache_control) == "function" then cache_control = cache_control(table.concat(segments, "/")) end
  response.check_headers({ ["Cache-Control"] = cache_control }, "files", 2)
  more["Cache-Control"] = cache_control
  local content_type = mime.guess(path, settings.types)
  if settings.precompressed then
    local compressed = find_compressed(ws.context.engine, root, segments, known)
    if compressed then
      more.Vary = "Accept-Encoding"
      if takes_gzip(ws.exchange.request.headers["accept-encoding"]) then
        more["Content-Encoding"] = "gzip"
        path = compressed
      end
    end
  end
  return files.serve(ws, path, content_type, more)
end

-- What to serve below the folder: what `*` of the route stands for, else the whole path.
local function path_of(ws, target)
  local asked, router = ws.exchange.request.uri, ws.context.settings.router
  local path = uri.split(target)
  local match = router and target == asked and router:match(path)
  return match and match.rest or path
end

local function serve(ws, target, root, settings)
  if ws.state ~= "http" or ws.exchange.phase ~= "answer" then return -1, ws.state == "closed" and "closed" or "type" end
  local method = ws.exchange.request.method
  if method ~= "GET" and method ~= "HEAD" then return files.decline(ws, 405) end
  local segments = uri.segments(path_of(ws, target))
  if not segments then return files.decline(ws, 400) end
  local is_folder = segments[#segments] == ""
  if is_folder then segments[#segments] = settings.index or nil end
  if is_folder and not settings.index then return files.decline(ws, 404) end
  for _, segment in ipairs(segments) do
    if not is_plain(segment, settings) then return files.decline(ws, 404) end
  end
  local path, known = locate(ws.context.engine, root, segments)
  if known and known.kind == "directory" and not is_folder and settings.index then return redirect(ws, target) end
  if not known or known.kind ~= "file" then return files.decline(ws, 404) end
  return send(ws, root, settings, segments, path, known)
end

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
function directory.new(root, settings)
  if type(root) ~= "string" or root == "" then errors.argument(1, "files", "path of a folder", root, 4) end
  settings = read_options(settings)
  local asked = engine.choose()
  if not facts.are_known(asked) then
    error("websockets.files needs the accelerator or lua-filesystem, to know a file from a symbolic link", 3)
  end
  local known = facts.of(asked, root)
  if not known or known.kind ~= "directory" then errors.argument(1, "files", "path of a folder", root, 4) end
  if #root > 1 then root = root:gsub("/+$", "") end
  return function(ws, target)
    return turn.within(ws.context, serve, ws, target or ws.exchange and ws.exchange.request.uri, root, settings)
  end
end

return directory
