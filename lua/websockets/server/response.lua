--- The answer to the HTTP request that is due: whole, from a file piece by piece, or raw. Each function takes the
-- connection; its exchange (`ws.phase`) says which request is due.
-- @module websockets.server.response
local errors = require("websockets.errors")
local http = require("websockets.http.head")
local lifecycle = require("websockets.connection.lifecycle")
local validators = require("websockets.http.validators")

local response = {}

local lower, min = string.lower, math.min

local PIECE_BYTES = 65536
local PIECES_A_TURN = 1
-- Peers may ask for the same thing again and again.
local UNANSWERED_LOG_SECONDS = 60
local RETRY_SOON = { ["Retry-After"] = "1" }

local function expire(ws)
  lifecycle.abort(ws, "timeout")
end

-- Whether the connection goes on after the answer, and what the answer says of that.
local function persistence(ws)
  local exchange = ws.phase
  return http.persistence(exchange.request, exchange.last or ws.context.draining ~= false)
end

--- Closes the file that is being sent.
-- @tparam table exchange
function response.release(exchange)
  if exchange.file then
    exchange.file:close()
    exchange.file = false
  end
end

--- Goes on to the next request, or to the end, when the answer is queued.
-- @tparam table ws
function response.done(ws)
  local exchange, context = ws.phase, ws.context
  local goes_on = persistence(ws)
  response.release(exchange)
  exchange.request, exchange.body, exchange.stage, exchange.head, exchange.shown = false, false, "head", false, false
  -- The settings of a route end with its request.
  ws.settings = context.settings
  if not goes_on then return lifecycle.finish(ws) end
  exchange.leaving = true
  lifecycle.deadline(ws, context.timers:lane("answer", ws.settings.response_timeout), expire)
  if ws.paused then lifecycle.pause(ws, false) end
  if exchange.position <= #exchange.rest and not exchange.stepping then context.agenda:again(ws) end
end

-- RFC 9110 6.6.1
local function has_date(headers)
  for name in pairs(headers) do
    if lower(name) == "date" then return true end
  end
  return false
end

local function date_for(context, headers)
  if headers and has_date(headers) then return nil end
  local now = os.time()
  local date = context.date
  if not date or date.at ~= now then
    date = { at = now, text = validators.format_date(now) }
    context.date = date
  end
  return date.text
end

local function queue_head(ws, status, headers, length)
  local _, connection_field = persistence(ws)
  ws.wire:raw(http.response_head(status, headers, length, connection_field, date_for(ws.context, headers)))
end

local function queue_answer(ws, status, headers, text)
  local request = ws.phase.request
  local has_body = status ~= 204 and status ~= 304 and status >= 200
  queue_head(ws, status, headers, has_body and #text or nil)
  if text ~= "" and has_body and not (request and request.method == "HEAD") then ws.wire:raw(text) end
end

-- Why no answer can be given; nil where a request waits for one.
local function unavailable(ws)
  if ws.state == "closed" then return "closed" end
  if ws.state ~= "http" or ws.phase.stage ~= "answer" then return "type" end
end

--- Answers the request that is due, and goes on.
-- @tparam table ws
-- @tparam integer status 200 to 599
-- @tparam ?table headers name -> value or list of values
-- @tparam string text body
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, or `type`: no request waits for an answer
function response.respond(ws, status, headers, text)
  local why = unavailable(ws)
  if why then return -1, why end
  queue_answer(ws, status, headers, text)
  response.done(ws)
  return 0
end

--- Refuses a request and ends the connection.
-- @tparam table ws
-- @tparam integer status
-- @tparam ?table headers
-- @tparam ?string text body, instead of status and reason
function response.refuse(ws, status, headers, text)
  local exchange = ws.phase
  exchange.last, exchange.rest, exchange.position = true, "", 1
  local request = exchange.request
  if request and http.asks_for(request, "websocket") then ws.context.tally:answered("server", status) end
  local plain = http.plain_answer(status)
  for name, value in pairs(headers or {}) do
    if lower(name) == "content-type" then plain.headers["Content-Type"] = nil end
    plain.headers[name] = value
  end
  queue_answer(ws, status, plain.headers, text or plain.body)
  exchange:release(ws)
  lifecycle.finish(ws)
end

--- Refuses a request that may succeed if it is made again soon.
-- @rfc 9110 15.6.4
-- @tparam table ws
function response.refuse_for_now(ws)
  response.refuse(ws, 503, RETRY_SOON)
end

-- Without the query, which may hold secrets.
local function log_unanswered(ws)
  local context, request = ws.context, ws.phase.request
  if context.now < context.unanswered_logged_at + UNANSWERED_LOG_SECONDS then return end
  context.unanswered_logged_at = context.now
  context.agenda:log("warning", ("on_http has not answered %s %s within response_timeout (%g s): the client gets 504")
    :format(request.method, errors.describe(request.uri:match("^[^?]*")), ws.settings.response_timeout))
end

local function expire_answer(ws)
  local exchange = ws.phase
  if exchange.stage == "answer" and not exchange.raw then
    log_unanswered(ws)
    response.refuse(ws, 504)
  else
    lifecycle.abort(ws, "timeout")
  end
end

--- Starts the time that an answer may take.
-- @tparam table ws
function response.await(ws)
  lifecycle.deadline(ws, ws.settings.response_timeout, expire_answer)
end

-- Starts the time that the peer may take for the next byte of an answer.
local function await_progress(ws)
  if ws.phase.stage == "answer" then return response.await(ws) end
  lifecycle.deadline(ws, ws.context.timers:lane("answer", ws.settings.response_timeout), expire)
end

--- Starts the time that the peer may take for the body of its request.
-- @tparam table ws
function response.await_body(ws)
  lifecycle.deadline(ws, ws.context.timers:lane("body", ws.settings.body_timeout), expire)
end

--- Queues the next piece of a file, when the socket has taken the one before.
-- @tparam table ws
function response.pump(ws)
  local exchange, context = ws.phase, ws.context
  if exchange.turn ~= context.turn then exchange.turn, exchange.pieces = context.turn, 0 end
  if exchange.pieces >= PIECES_A_TURN then return context.agenda:again(ws) end
  exchange.pieces = exchange.pieces + 1
  local piece = exchange.file:read(min(PIECE_BYTES, exchange.left))
  -- The file has become shorter than the length that was announced: the answer cannot be completed.
  if not piece then return lifecycle.abort(ws, "error") end
  exchange.left = exchange.left - #piece
  ws.wire:raw(piece)
  if exchange.left <= 0 then response.done(ws) end
end

--- Follows a flush: each byte that the peer takes is progress, an empty queue makes room for more.
-- @tparam table ws
-- @tparam integer pending bytes that still wait
-- @tparam boolean took whether any byte was taken
function response.flushed(ws, pending, took)
  local exchange = ws.phase
  local stage = exchange.stage
  if pending > 0 then
    if took and stage ~= "body" then await_progress(ws) end
    return
  end
  if stage == "file" then
    await_progress(ws)
    return response.pump(ws)
  end
  if exchange.leaving then
    exchange.leaving = false
    if stage == "head" then
      lifecycle.deadline(ws, ws.context.timers:lane("keepalive", ws.settings.keepalive_timeout), expire)
    end
  end
  -- Requests that waited for the answers before them to leave.
  if ws.paused and stage ~= "answer" and stage ~= "handshake" then lifecycle.pause(ws, false) end
end

--- Answers the request that is due with a part of an open file, piece by piece as the socket takes it.
-- @tparam table ws
-- @tparam integer status
-- @tparam table headers
-- @tparam userdata file open for reading, at the first byte to send; closed by this
-- @tparam number length bytes
-- @treturn integer 0
function response.respond_file(ws, status, headers, file, length)
  local exchange = ws.phase
  -- First: whatever comes, the end of the exchange closes it.
  exchange.file = file
  queue_head(ws, status, headers, length)
  if exchange.request.method == "HEAD" or length == 0 then
    response.done(ws)
  else
    exchange.stage, exchange.left = "file", length
    response.pump(ws)
  end
  return 0
end

--- Queues bytes of an answer as they are; the connection ends once they are sent.
-- @tparam table ws
-- @tparam string bytes
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed` or `type`
function response.respond_raw(ws, bytes)
  local why = unavailable(ws)
  if why then return -1, why end
  local exchange = ws.phase
  ws.wire:raw(bytes)
  exchange.raw, exchange.last = true, true
  -- Several writes of one callback are one answer; outside of a callback each stands alone.
  if not exchange.calling then response.done(ws) end
  return 0
end

require("websockets.loading").interpret(has_date, response.refuse)

return response
