--- A file as the answer to a request: which status and headers, and which part of the file.
-- @module websockets.http.files
-- @rfc 9110 13, 14
local facts = require("websockets.http.facts")
local http = require("websockets.http.head")
local mime = require("websockets.http.mime")
local sockets = require("websockets.transport.sockets")
local validators = require("websockets.http.validators")

local files = {}

-- Error numbers that every Unix has: no memory, no descriptor left for the system or for this process.
local SHORTAGES = { [12] = true, [23] = true, [24] = true }
local RETRY_SOON = "1"
-- The longest file whose bytes are read and hashed to name its version.
local MAX_HASHED_BYTES = 16 * 1024

-- Tells whether two looks at a path have found the same version of the same file.
local function is_same(known, again)
  return again ~= nil and again.inode == known.inode and again.device == known.device and again.size == known.size
    and again.mtime == known.mtime
end

-- Opening a pipe may block, so nothing is opened that is known not to be a file. Where nothing is known, a directory
-- opens like a file on most systems, and only reading fails. Without a file, gives the status.
local function open_file(engine, path)
  if path:find("%z") then return nil, 404 end
  local known = facts.of(engine, path)
  if known and known.kind ~= "file" then return nil, 404 end
  local file, _, number = io.open(path, "rb")
  if not file then return nil, SHORTAGES[number] and 503 or 404 end
  return file, known
end

-- The length of an open file, nil where it cannot be read, and what is known of it.
local function measure(engine, path, file, known)
  local first, why = file:read(1)
  local length = file:seek("end")
  if (not first and why) or not length then return nil end
  -- The file was changed or another took its place: no entity tag can name what is open.
  if known and (known.size ~= length or not is_same(known, facts.of(engine, path))) then known = nil end
  return length, known
end

-- While the date of a file may still stand for two versions, a small file is named by its bytes, another not at all.
local function tag_of(engine, file, length, known, now)
  local etag = validators.etag(known, now)
  if etag or length > MAX_HASHED_BYTES then return etag end
  file:seek("set")
  return ('"%s"'):format(engine.accept_key(file:read("*a")))
end

local function decide(request, headers, length, mtime, now)
  local etag = headers.ETag
  local status, first, last = validators.precondition(request.headers, etag, mtime, now), nil, nil
  if status == 412 then return http.plain_answer(412) end
  if status == 304 then
    headers["Content-Type"], headers["Content-Encoding"] = nil, nil
    return { status = 304, headers = headers, body = "" }
  end
  -- RFC 9110 14.2: ranges are for GET.
  if request.method == "GET" then
    first, last = validators.range(request.headers, length, etag, mtime, now)
  end
  if first == nil then return { status = 200, headers = headers, from = 0, length = length } end
  if first == false then
    headers["Content-Encoding"], headers["Content-Range"] = nil, ("bytes */%.0f"):format(length)
    return http.plain_answer(416, headers)
  end
  headers["Content-Range"] = ("bytes %.0f-%.0f/%.0f"):format(first, last, length)
  return { status = 206, headers = headers, from = first, length = last - first + 1 }
end

local function answer_with(file, engine, request, path, known, headers)
  local length
  length, known = measure(engine, path, file, known)
  if not length then return http.plain_answer(404) end
  local now = sockets.choose().time()
  if known then
    headers.ETag = tag_of(engine, file, length, known, now)
    headers["Last-Modified"] = validators.last_modified(known, now)
  end
  local answer = decide(request, headers, length, known and known.mtime, now)
  if not answer.body then
    file:seek("set", answer.from)
    answer.file = file
  end
  return answer
end

--- Refuses the methods for which there are no files.
-- @rfc 9110 15.5.6
-- @tparam table request `method`
-- @treturn ?table answer 405; nil for GET and HEAD
function files.refuse_method(request)
  if request.method ~= "GET" and request.method ~= "HEAD" then
    return http.plain_answer(405, { Allow = "GET, HEAD" })
  end
end

local function add_all(headers, more)
  for name, value in pairs(more) do headers[name] = value end
end

--- Decides the answer to a request for a file, and opens the file.
-- @tparam table engine asked for facts about the file
-- @tparam table request `method`, `headers`
-- @tparam string path
-- @tparam ?string content_type guessed by the name if left out
-- @tparam ?table more further headers, name -> value
-- @treturn[1] table answer of the file: `status` (200 or 206), `headers`, `file` (open, at the first byte to send),
-- `length` in bytes
-- @treturn[2] table answer without the file: `status` (304, 404, 405, 412, 416, or 503 if no descriptor is left),
-- `headers`, `body`
function files.answer(engine, request, path, content_type, more)
  local refusal = files.refuse_method(request)
  if refusal then return refusal end
  local headers = { ["Accept-Ranges"] = "bytes", ["Content-Type"] = content_type or mime.guess(path) }
  if more then add_all(headers, more) end
  local file, known = open_file(engine, path)
  if not file then return http.plain_answer(known, known == 503 and { ["Retry-After"] = RETRY_SOON } or nil) end
  local is_good, answer = pcall(answer_with, file, engine, request, path, known, headers)
  if not (is_good and answer.file) then file:close() end
  if not is_good then error(answer, 0) end
  return answer
end

require("websockets.loading").interpret(add_all)

return files
