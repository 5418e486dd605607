--- The last step of a dial that a server refuses: the body of its answer is read before `on_closed` is told.
-- @module websockets.client.refusal
local answer = require("websockets.http.answer")
local lifecycle = require("websockets.connection.lifecycle")
local response = require("websockets.client.response")

local refusal = {}

-- How it ends was decided when the step began.
local function finish(dial, ws)
  lifecycle.abort(ws, dial.refusal.code)
end

--- Begins to read the body. From here on the connection ends with the refusal, however it ends.
-- @rfc 9112 6.3
-- @tparam table dial with `refusal`: `head`, `read` (of `http/answer`), `message`, `code`
-- @tparam table ws
function refusal.begin(dial, ws)
  local it = dial.refusal
  local body = answer.body(it.read, response.MAX_BODY_BYTES)
  response.keep(ws, it.head, body)
  lifecycle.decide(ws, it.code, it.message)
  dial.work = body
  if not body or body:feed("", 1) ~= nil then finish(dial, ws) end
end

--- Takes bytes of the body; one that cannot be read, or is longer than is kept, ends here.
-- @tparam table dial
-- @tparam table ws
-- @tparam string bytes
function refusal.feed(dial, ws, bytes)
  local body = dial.work
  if body:feed(bytes, 1) ~= nil or body:received() >= response.MAX_BODY_BYTES then finish(dial, ws) end
end

--- Takes note that the server ended the connection.
-- @tparam table dial
-- @tparam table ws
refusal.ended = finish

return refusal
