--- The answer to the HTTP request that is due: whole, from a file piece by piece, or raw.
-- @module websockets.server.response
local agenda = require("websockets.connection.agenda")
local descriptor = require("websockets.connection.descriptor")
local ending = require("websockets.connection.ending")
local headers_of = require("websockets.http.headers")
local http = require("websockets.http.head")
local validators = require("websockets.http.validators")

local response = {}

local lower, min = string.lower, math.min

local PIECE_BYTES = 65536
local PIECES_A_TURN = 1

local function expire_idle(ws)
  ws.timer_slot = false
  ending.abort(ws, "timeout")
end

--- Goes on to the next request, or to the end, when the answer is queued.
-- @tparam table self the HTTP phase
-- @tparam table ws
function response.done(self, ws)
  local keep_alive = self.request and self.request.keep_alive and not self.last
  response.release(self)
  self.request, self.body, self.phase, self.head, self.shown = false, false, "head", false, false
  -- What a route says ends with its request.
  ws.settings = ws.context.settings
  if not keep_alive then return ending.finish(ws) end
  self.leaving = true
  ending.deadline(ws, ws.settings.response_timeout, expire_idle)
  if ws.paused then descriptor.pause(ws, false) end
  if self.position <= #self.rest and not self.stepping then agenda.again(ws.context, ws) end
end

-- RFC 9110 6.6.1
local function date_for(context, headers)
  for name in pairs(headers or {}) do
    if lower(name) == "date" then return nil end
  end
  local now = os.time()
  local date = context.date
  if not date or date.at ~= now then
    date = { at = now, text = validators.format_date(now) }
    context.date = date
  end
  return date.text
end

local function send_response(self, ws, status, headers, text)
  local request = self.request
  local connection_word = "close"
  if request and request.keep_alive and not self.last then
    connection_word = request.minor == 0 and "keep-alive" or ""
  end
  local no_body = status == 204 or status == 304 or status < 200
  local bytes = http.response_head(status, headers, not no_body and #text or nil, connection_word,
    date_for(ws.context, headers))
  ws.wire:raw(bytes)
  if text ~= "" and not no_body and not (request and request.method == "HEAD") then ws.wire:raw(text) end
end

--- Answers the request that is due and goes on.
-- @tparam table ws
-- @tparam integer status 200 to 599
-- @tparam ?table headers name -> value or list of values
-- @tparam string text body
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, or `type`: no request waits for an answer
function response.respond(ws, status, headers, text)
  local self = ws.exchange
  if ws.state ~= "http" then return -1, ws.state == "closed" and "closed" or "type" end
  if self.phase ~= "answer" then return -1, "type" end
  send_response(self, ws, status, headers, text)
  response.done(self, ws)
  return 0
end

--- Checks response headers that the application gives.
-- @function response.check_headers
-- @see websockets.http.headers
response.check_headers = headers_of.check

--- Refuses a request and ends the connection.
-- @tparam table self the HTTP phase
-- @tparam table ws
-- @tparam integer status
-- @tparam ?table headers
-- @tparam ?string text body, instead of status and reason
function response.refuse(self, ws, status, headers, text)
  if self.request then self.request.keep_alive = false end
  self.last, self.rest, self.position = true, "", 1
  local all, is_typed = {}, false
  for name, value in pairs(headers or {}) do
    all[name] = value
    is_typed = is_typed or lower(name) == "content-type"
  end
  if not is_typed then all["Content-Type"] = "text/plain; charset=utf-8" end
  send_response(self, ws, status, all, text or ("%d %s\n"):format(status, http.REASONS[status] or "Refused"))
  ending.finish(ws)
end

local function expire_answer(ws)
  ws.timer_slot = false
  local self = ws.exchange
  if self.phase == "answer" and not self.raw then
    response.refuse(self, ws, 504)
  else
    ending.abort(ws, "timeout")
  end
end

--- Starts the time that an answer may take.
-- @tparam table ws
function response.await(ws)
  ending.deadline(ws, ws.settings.response_timeout, expire_answer)
end

--- Starts the time that the peer may take for its body.
-- @tparam table ws
function response.await_body(ws)
  ending.deadline(ws, ws.settings.body_timeout, expire_idle)
end

--- Closes the file that is being sent.
-- @tparam table self the HTTP phase
function response.release(self)
  if self.file then
    self.file:close()
    self.file = false
  end
end

--- Queues the next piece of a file, when the socket has taken the one before.
-- @tparam table self the HTTP phase
-- @tparam table ws
function response.pump(self, ws)
  local context = ws.context
  if self.turn ~= context.turn then self.turn, self.pieces = context.turn, 0 end
  if self.pieces >= PIECES_A_TURN then return agenda.again(context, ws) end
  self.pieces = self.pieces + 1
  local piece = self.file:read(min(PIECE_BYTES, self.left))
  -- The file has become shorter than the length that was announced: the answer cannot be completed.
  if not piece then return ending.abort(ws, "error") end
  self.left = self.left - #piece
  ws.wire:raw(piece)
  if self.left <= 0 then response.done(self, ws) end
end

--- Takes note of what left: each byte that the peer takes is progress, an empty queue makes room for more.
-- @tparam table self the HTTP phase
-- @tparam table ws
-- @tparam integer pending bytes that still wait
-- @tparam boolean took whether any byte was taken
function response.flushed(self, ws, pending, took)
  local phase = self.phase
  if pending > 0 then
    if took and phase ~= "body" then response.await(ws) end
    return
  end
  if phase == "file" then
    response.await(ws)
    return response.pump(self, ws)
  end
  if self.leaving then
    self.leaving = false
    if phase == "head" then ending.deadline(ws, ws.settings.keepalive_timeout, expire_idle) end
  end
  -- Requests that waited for the answers before them to leave.
  if ws.paused and phase ~= "answer" and phase ~= "handshake" then descriptor.pause(ws, false) end
end

--- Answers the request that is due with a part of an open file, piece by piece as the socket takes it.
-- @tparam table ws
-- @tparam integer status
-- @tparam table headers
-- @tparam userdata file open for reading, at the first byte to send; closed by this
-- @tparam number length bytes
-- @treturn integer 0
function response.respond_file(ws, status, headers, file, length)
  local self, request = ws.exchange, ws.exchange.request
  local word = request.keep_alive and not self.last and (request.minor == 0 and "keep-alive" or "") or "close"
  ws.wire:raw(http.response_head(status, headers, length, word, date_for(ws.context, headers)))
  self.file = file
  if request.method == "HEAD" or length == 0 then
    response.done(self, ws)
  else
    self.phase, self.left = "file", length
    response.pump(self, ws)
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
  local self = ws.exchange
  if ws.state ~= "http" then return -1, ws.state == "closed" and "closed" or "type" end
  if self.phase ~= "answer" then return -1, "type" end
  ws.wire:raw(bytes)
  self.raw, self.last = true, true
  -- Several writes of one callback are one answer; outside of it each stands alone.
  if not self.calling then response.done(self, ws) end
  return 0
end

return response
