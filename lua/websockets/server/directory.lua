--- Files of a folder as answers to HTTP requests.
-- @module websockets.server.directory
local facts = require("websockets.http.facts")
local files = require("websockets.server.files")
local mime = require("websockets.http.mime")
local response = require("websockets.server.response")
local uri = require("websockets.http.uri")

local directory = {}

local MAX_LINKS = 16
local PLAIN = "text/plain; charset=utf-8"

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

--- Answers the request that is due with a file below a folder. Names that begin with a dot, symbolic links that lead out
-- of the folder, and every spelling of a way up are answered 404.
-- @tparam table ws
-- @tparam string target whose path names the file
-- @tparam string root path of the folder
-- @tparam table settings of `websockets.options.files`
-- @treturn[1] integer 0: a file, a part of it, a redirect, or that it has not changed has been sent
-- @treturn[2] integer -1: a 400, 404, 405, 412 or 416 has been sent, or no request waits for an answer
-- @treturn[2] ?string `closed` or `type` where no request waits
function directory.serve(ws, target, root, settings)
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

return directory
