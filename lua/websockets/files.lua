--- Files as answers to HTTP requests.
-- @module websockets.files
local response = require("websockets.response")

local files = {}

local TEXT = { ["Content-Type"] = "text/plain; charset=utf-8" }

-- A directory opens like a file on most systems; only reading tells.
local function open_file(path)
  if path:find("%z") then return nil end
  local file = io.open(path, "rb")
  if not file then return nil end
  local first, why = file:read(1)
  if not first and why then
    file:close()
    return nil
  end
  local length = file:seek("end")
  -- What has no length, like a pipe, cannot be announced.
  if not length or not file:seek("set", 0) then
    file:close()
    return nil
  end
  return file, length
end

--- Answers the request that is due with a file.
-- @tparam table ws
-- @tparam string path
-- @tparam ?string content_type
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed` or `type`; nil when a 404 or 405 has been sent
function files.serve(ws, path, content_type)
  local phase = ws.exchange
  if ws.state ~= "http" or phase.phase ~= "answer" then return -1, ws.state == "closed" and "closed" or "type" end
  local method = phase.request.method
  if method ~= "GET" and method ~= "HEAD" then
    response.respond(ws, 405, { Allow = "GET, HEAD", ["Content-Type"] = TEXT["Content-Type"] },
      "405 Method Not Allowed\n")
    return -1
  end
  local file, length = open_file(path)
  if not file then
    response.respond(ws, 404, TEXT, "404 Not Found\n")
    return -1
  end
  return response.respond_file(ws, 200, { ["Content-Type"] = content_type or "application/octet-stream" }, file, length)
end

return files
