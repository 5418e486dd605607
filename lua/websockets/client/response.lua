--- What the server answered to the opening handshake, as `ws:response` gives it.
-- @module websockets.client.response
local answer = require("websockets.http.answer")
local errors = require("websockets.errors")

local response = {}

--- So much of the body of a refusal is kept.
response.MAX_BODY_BYTES = 65536

--- Keeps an answer; it is read when it is first asked for.
-- @tparam table ws
-- @tparam string head as `http/answer` gave it
-- @tparam[opt] table body `http/body` that is being read
function response.keep(ws, head, body)
  ws.answer = body and { head = head, body = body } or head
end

--- Reads what was kept last.
-- @tparam table ws
-- @treturn[1] integer status
-- @treturn[1] table headers, lower-case name -> value
-- @treturn[1] string body
-- @treturn[1] {{string,string},...} fields
-- @treturn[2] nil no answer has come
function response.of(ws)
  local kept = ws.answer
  if not kept then return nil end
  local read = answer.read(type(kept) == "table" and kept.head or kept)
  local body = type(kept) == "table" and kept.body:so_far():sub(1, response.MAX_BODY_BYTES) or ""
  return read.status, read.headers, body, read.fields
end

--- Tells why there is no connection.
-- @tparam table ws that has ended
-- @treturn nil
-- @treturn string message
-- @treturn string code
-- @treturn ?integer status of the server's answer, where one came, with headers and body after it
function response.failure(ws)
  local outcome = ws.outcome
  local message = outcome.reason ~= "" and outcome.reason or errors.WORDS[outcome.why]
  return nil, message, outcome.why, response.of(ws)
end

return response
