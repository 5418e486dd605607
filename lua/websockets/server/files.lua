--- Files as answers to HTTP requests.
-- @module websockets.server.files
local file_answers = require("websockets.http.files")
local folder = require("websockets.http.folder")
local response = require("websockets.server.response")
local uri = require("websockets.http.uri")

local files = {}

local function carry_out(ws, answer)
  if answer.file then
    return response.respond_file(ws, answer.status, answer.headers, answer.file, answer.length)
  end
  response.respond(ws, answer.status, answer.headers, answer.body)
  return answer.status < 400 and 0 or -1
end

-- Says why no file can be the answer; nil inside `on_http`, before the answer.
local function unavailable(ws)
  if ws.state == "http" and ws.phase.stage == "answer" and ws.phase.calling then return nil end
  return ws.state == "closed" and "closed" or "type"
end

--- Answers the request that is due with a file, a part of it, or that the client has it already.
-- @tparam table ws
-- @tparam string path
-- @tparam ?string content_type guessed by the name if left out
-- @treturn[1] integer 0: a 200, 206 or 304 is being sent
-- @treturn[2] integer -1: a 404, 405, 412, 416 or 503 is being sent, or no request waits for an answer
-- @treturn[2] ?string `closed` or `type` if no request waits
function files.serve(ws, path, content_type)
  local why = unavailable(ws)
  if why then return -1, why end
  return carry_out(ws, file_answers.answer(ws.context.engine, ws.phase.request, path, content_type))
end

--- Answers the request that is due with a file of a folder. On a route that ends with `*`, the path is what the star
-- stands for.
-- @tparam table ws
-- @tparam ?string target whose path names the file; nil: that of the request
-- @tparam string root path of the folder
-- @tparam table settings of `websockets.options.files`
-- @treturn[1] integer 0: a 200, 206, 301 or 304 is being sent
-- @treturn[2] integer -1: a 400, 404, 405, 412, 416 or 503 is being sent, or no request waits for an answer
-- @treturn[2] ?string `closed` or `type` if no request waits
function files.serve_folder(ws, target, root, settings)
  local why = unavailable(ws)
  if why then return -1, why end
  local request, router = ws.phase.request, ws.context.settings.router
  target = target or request.uri
  local match = router and target == request.uri and router:match((uri.split(target)))
  return carry_out(ws, folder.answer(ws.context.engine, request, target, match and match.rest, root, settings))
end

return files
