--- A folder whose files answer requests: which file a path names, and what never leaves the folder.
-- @module websockets.http.folder
local facts = require("websockets.http.facts")
local files = require("websockets.http.files")
local fields = require("websockets.http.fields")
local http = require("websockets.http.head")
local mime = require("websockets.http.mime")
local uri = require("websockets.http.uri")

local folder = {}

local MAX_LINKS = 16

-- Tells whether a segment names one file in its folder, on every system, and may be served.
local function is_plain(segment, settings)
  if segment == "" or segment == "." or segment == ".." or segment:find("[/\\%z]") then return false end
  return settings.hidden or segment:sub(1, 1) ~= "." or segment == ".well-known"
end

local function path_of(root, names)
  return names[1] and root .. "/" .. table.concat(names, "/") or root
end

-- Puts the segments of a link's target on the stack, the first on top; false if the target is not a relative path.
local function push_target(stack, target)
  if not target or target == "" or target:find("^[/\\]") or target:find("^%a:") then return false end
  local position = #stack + 1
  for segment in target:gmatch("[^/]+") do table.insert(stack, position, segment) end
  return true
end

-- Goes down name by name and follows symbolic links itself, so that none leads out of the folder. The root may be a
-- link. Gives the path and the facts about the file or folder found.
local function locate(engine, root, segments)
  local names, stack, link_count = {}, {}, 0
  for i = #segments, 1, -1 do stack[#stack + 1] = segments[i] end
  while stack[1] do
    local segment = table.remove(stack)
    if segment == ".." then
      if not names[1] then return nil end
      names[#names] = nil
    elseif segment ~= "." then
      names[#names + 1] = segment
      local kind, target = facts.link(engine, path_of(root, names))
      if not kind then return nil end
      if kind == "link" then
        names[#names], link_count = nil, link_count + 1
        if link_count > MAX_LINKS or not push_target(stack, target) then return nil end
      end
    end
  end
  local path = path_of(root, names)
  return path, facts.of(engine, path)
end

-- RFC 9110 12.5.3: whether gzip is named, or meant by a star, with a weight above 0.
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

-- The path of the compressed copy beside a file; a copy that is older than the file does not count.
local function find_compressed(engine, root, segments, known)
  local names, last = {}, #segments
  for i = 1, last do names[i] = segments[i] end
  names[last] = names[last] .. ".gz"
  local path, found = locate(engine, root, names)
  return found and found.kind == "file" and found.mtime >= known.mtime and path
end

local function answer_file(engine, request, root, settings, segments, path, known)
  local cache_control = settings.cache_control
  if type(cache_control) == "function" then cache_control = cache_control(table.concat(segments, "/")) end
  local more, content_type = { ["Cache-Control"] = cache_control }, mime.guess(path, settings.types)
  fields.check(more, "files", 2)
  local compressed = settings.precompressed and find_compressed(engine, root, segments, known)
  if compressed then
    more.Vary = "Accept-Encoding"
    if takes_gzip(request.headers["accept-encoding"]) then
      more["Content-Encoding"], path = "gzip", compressed
    end
  end
  return files.answer(engine, request, path, content_type, more)
end

--- Decides the answer to a request for a file of a folder. Names that begin with a dot, symbolic links that lead out of
-- the folder, and every spelling of a way up are answered 404.
-- @tparam table engine asked for facts about files
-- @tparam table request `method`, `headers`
-- @tparam string target with its query; a redirect goes to it with a slash
-- @tparam ?string below path that names the file; nil: the path of `target`
-- @tparam string root path of the folder
-- @tparam table settings of `websockets.options.files`
-- @treturn[1] table answer of a file, see `websockets.http.files`
-- @treturn[2] table answer without a file: `status` (301, 304, 400, 404, 405, 412, 416 or 503), `headers`, `body`
function folder.answer(engine, request, target, below, root, settings)
  local refusal = files.refuse_method(request)
  if refusal then return refusal end
  local target_path, query = uri.split(target)
  local segments = uri.segments(below or target_path)
  if not segments then return http.plain_answer(400) end
  local has_slash = segments[#segments] == ""
  if has_slash then segments[#segments] = settings.index or nil end
  local is_plain_path = settings.index or not has_slash
  for _, segment in ipairs(segments) do is_plain_path = is_plain_path and is_plain(segment, settings) end
  if not is_plain_path then return http.plain_answer(404) end
  local path, known = locate(engine, root, segments)
  if known and known.kind == "directory" and not has_slash and settings.index then
    -- Without the slash, relative links in the index would lead elsewhere.
    return http.plain_answer(301, { Location = target_path .. "/" .. (query ~= "" and "?" .. query or "") })
  end
  if not known or known.kind ~= "file" then return http.plain_answer(404) end
  return answer_file(engine, request, root, settings, segments, path, known)
end

return folder
