--- Files as answers to HTTP requests.
-- @module websockets.server.files
local facts = require("websockets.http.facts")
local http = require("websockets.http.head")
local mime = require("websockets.http.mime")
local response = require("websockets.server.response")
local validators = require("websockets.http.validators")

local files = {}

local PLAIN = "text/plain; charset=utf-8"

--- Answers that there is no such file, or why else none is sent.
-- @tparam table ws
-- @tparam integer status 400, 404, 405 or 412
-- @treturn[1] integer -1
-- @treturn[2] integer -1
-- @treturn[2] string `closed` or `type`: no request waits for an answer
function files.decline(ws, status)
  local headers = { ["Content-Type"] = PLAIN, Allow = status == 405 and "GET, HEAD" or nil }
  local _, why = response.respond(ws, status, headers, ("%d %s\n"):format(status, http.REASONS[status]))
  return -1, why
end

-- Opening what is no file may wait for ever (a pipe), so it is not even tried where that can be known. Where it cannot,
-- a directory opens like a file on most systems, and only reading tells.
local function open_file(engine, path)
  if path:find("%z") then return nil end
  local known = facts.of(engine, path)
  if known and known.kind ~= "file" then return nil end
  local file = io.open(path, "rb")
  if not file then return nil end
  local first, why = file:read(1)
  local length = file:seek("end")
  if (not first and why) or not length then
    file:close()
    return nil
  end
  -- What changes at this moment has no version that could be named.
  if known and known.size ~= length then known = nil end
  return file, length, known
end

local function refuse_range(ws, headers, length)
  local kept = { ["Content-Range"] = ("bytes */%.0f"):format(length), ["Content-Type"] = PLAIN }
  for name, value in pairs(headers) do
    if name ~= "Content-Type" and name ~= "Content-Encoding" then kept[name] = value end
  end
  response.respond(ws, 416, kept, "416 Range Not Satisfiable\n")
  return -1
end

local function send(ws, file, length, headers, etag, mtime)
  local request, first, last = ws.exchange.request, nil, nil
  -- RFC 9110 14.2: ranges are for GET.
  if request.method == "GET" then
    first, last = validators.range(request.headers, length, etag, mtime, os.time())
  end
  if first == false then
    file:close()
    return refuse_range(ws, headers, length)
  end
  if not first then
    file:seek("set", 0)
    return response.respond_file(ws, 200, headers, file, length)
  end
  headers["Content-Range"] = ("bytes %.0f-%.0f/%.0f"):format(first, last, length)
  file:seek("set", first)
  return response.respond_file(ws, 206, headers, file, last - first + 1)
end

--- Answers the request that is due with a file, a part of it, or that the client has it already.
-- @rfc 9110 13, 14
-- @tparam table ws
-- @tparam string path
-- @tparam ?string content_type guessed when left out
-- @tparam ?table more headers
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed` or `type`; nil when a 404, 405, 412 or 416 has been sent
function files.serve(ws, path, content_type, more)
  local phase = ws.exchange
  if ws.state ~= "http" or phase.phase ~= "answer" or not phase.calling then
    return -1, ws.state == "closed" and "closed" or "type"
  end
  local method = phase.request.method
  if method ~= "GET" and method ~= "HEAD" then return files.decline(ws, 405) end
  local file, length, known = open_file(ws.context.engine, path)
  if not file then return files.decline(ws, 404) end
  local headers = { ["Accept-Ranges"] = "bytes" }
  for name, value in pairs(more or {}) do headers[name] = value end
  local etag, mtime
  if known then
    etag, mtime = validators.etag(known), known.mtime
    headers.ETag, headers["Last-Modified"] = etag, validators.format_date(mtime)
  end
  local status = validators.precondition(phase.request.headers, etag, mtime)
  if status ~= 200 then
    file:close()
    if status == 412 then return files.decline(ws, 412) end
    headers["Content-Encoding"] = nil
    return response.respond(ws, 304, headers, "")
  end
  headers["Content-Type"] = content_type or mime.guess(path)
  return send(ws, file, length, headers, etag, mtime)
end

return files
