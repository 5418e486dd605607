--- What the application can do with an HTTP request: methods of `ws`, too.
-- @classmod websockets.answering
local errors = require("websockets.errors")
local request = require("websockets.request")
local response = require("websockets.server.response")
local turn = require("websockets.turn.turn")

local answering = {}

--- Gives the request that is to be answered, or the one that opened the WebSocket. It is read when first asked for.
-- @treturn ?request nil between two requests
function answering:request()
  return request.of(self)
end

--- Answers an HTTP request with a file, in pieces as the socket takes them. Only inside `on_http`.
-- @tparam string path of the file, as for `io.open`
-- @tparam[opt] string content_type for Content-Type; guessed by the name when left out
-- @treturn[1] integer 0: the file, a part of it, or that it has not changed
-- @treturn[2] integer -1: a 404, 405, 412 or 416 has been sent, or this is not inside `on_http`
-- @treturn[2] string why
function answering:serve_http_file(path, content_type)
  if type(path) ~= "string" then errors.argument(1, "serve_http_file", "path", path) end
  if content_type ~= nil and (type(content_type) ~= "string" or content_type:find("[%c]")) then
    errors.argument(2, "serve_http_file", "content type without control characters", content_type)
  end
  -- Loaded when it is used: each collection passes over all that is there.
  return turn.within(self.context, require("websockets.server.files").serve, self, path, content_type)
end

--- Answers an HTTP request, in `on_http` or later.
-- @tparam integer status 200 to 599
-- @tparam[opt] table headers name -> value or list of values
-- @tparam[opt=""] string body
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, or `type`: no request waits for an answer
-- @raise for a status, header or body that cannot be sent
function answering:respond(status, headers, body)
  if type(status) ~= "number" or status % 1 ~= 0 or status < 200 or status > 599 then
    errors.argument(1, "respond", "status 200 to 599", status)
  end
  response.check_headers(headers, "respond", 2)
  if type(body) == "number" then body = tostring(body) end
  if body ~= nil and type(body) ~= "string" then errors.argument(3, "respond", "string", body) end
  return turn.within(self.context, response.respond, self, status, headers, body or "")
end

return answering
