--- The HTTP phase of a connection: requests in, one answer each, until it ends or becomes a WebSocket.
-- @module websockets.server.exchange
local agenda = require("websockets.connection.agenda")
local body_reader = require("websockets.http.body")
local descriptor = require("websockets.connection.descriptor")
local ending = require("websockets.connection.ending")
local handshake = require("websockets.protocol.handshake")
local http = require("websockets.http.head")
local response = require("websockets.server.response")
local upgrade = require("websockets.server.upgrade")
local uri = require("websockets.http.uri")

-- What a request may need stands here until it does: each connection begins with a request.
local exchange = {
  body = false, file = false, left = 0, pieces = 0, turn = 0, last = false, leaving = false, raw = false,
  calling = false, shown = false,
}
exchange.__index = exchange

local sub = string.sub

local REQUESTS_A_TURN = 64

--- Makes the HTTP phase of a new connection.
-- @treturn exchange
function exchange.new()
  return setmetatable({
    phase = "head", scanner = false, rest = "", position = 1, request = false, head = false, stepping = false,
    offered = false, deflate = false, extensions = false,
  }, exchange)
end

--- Gives back what is held: an open file.
-- @function exchange:release
exchange.release = response.release

--- Takes note of what left.
-- @function exchange:flushed
exchange.flushed = response.flushed

local function call_on_http(self, ws, text)
  local context, request = ws.context, self.request
  local handler = ws.settings.on_http
  if not handler then
    return response.respond(ws, 404, { ["Content-Type"] = "text/plain; charset=utf-8" }, "404 Not Found\n")
  end
  self.calling = true
  local is_good = agenda.call(context, ws, handler, ws, request.uri, request.method, request.headers, text)
  self.calling = false
  if ws.state ~= "http" or self.request ~= request then return end
  if self.raw then
    response.done(self, ws)
  elseif not is_good then
    if self.phase == "answer" then response.refuse(self, ws, 500) else ending.abort(ws, "error") end
  end
end

local function run(self, ws, text)
  self.phase = "answer"
  if self.raw then self.raw = false end
  if handshake.is_upgrade(self.request) then return upgrade.run(self, ws) end
  response.await(ws)
  call_on_http(self, ws, text)
end

-- From here to its answer a request is served by what its route says.
local function find_route(ws, request)
  local router = ws.context.settings.router
  if not router then return true end
  local match = router:match((uri.split(request.uri)))
  if match == false then return false end
  if match then ws.settings = match.settings end
  return true
end

local function begin_request(self, ws, head)
  local request, status = http.parse(head)
  if not request then return response.refuse(self, ws, status) end
  self.request, self.head = request, head
  if not find_route(ws, request) then return response.refuse(self, ws, 400) end
  local settings = ws.settings
  if request.length == 0 and not request.chunked then return run(self, ws, "") end
  self.body, status = body_reader.new(request, settings.max_body_bytes)
  if not self.body then return response.refuse(self, ws, status) end
  self.phase = "body"
  response.await_body(ws)
  local expect = request.headers.expect
  if expect and request.minor == 1 then
    -- RFC 9110 10.1.1
    if expect:lower() ~= "100-continue" then return response.refuse(self, ws, 417) end
    if self.position > #self.rest then ws.wire:raw(http.response_head(100, nil, nil, "")) end
  end
end

local phases = {}

-- Nearly all heads come in one piece: what is kept between two pieces is made for those that do not.
local spare = http.scanner()

function phases.head(self, ws)
  local scanner = self.scanner or spare
  local head, next_position = http.scan(scanner, self.rest, self.position, ws.context.settings)
  if not head and scanner == spare then
    self.scanner, spare = spare, http.scanner()
  end
  if head == false then return response.refuse(self, ws, next_position) end
  if not head then
    self.position = #self.rest + 1
    return
  end
  self.position = next_position
  begin_request(self, ws, head)
end

function phases.body(self, ws)
  local text, next_position = self.body:feed(self.rest, self.position)
  if text == false then return response.refuse(self, ws, next_position) end
  if not text then
    self.position = #self.rest + 1
    return
  end
  self.position = next_position
  run(self, ws, text)
end

local function step_on(self, ws)
  local rounds = 0
  while ws.state == "http" do
    local phase = phases[self.phase]
    if not phase then
      -- One request at a time; who sends more than that waits.
      if self.position <= #self.rest then descriptor.pause(ws, true) end
      return
    end
    if self.position > #self.rest then
      self.rest, self.position = "", 1
      return
    end
    -- Answers that pile up, and a long row of small requests, leave the rest for later.
    if ws.wire:buffered() > ws.settings.high_water_bytes then return descriptor.pause(ws, true) end
    rounds = rounds + 1
    if rounds > 2 * REQUESTS_A_TURN then return agenda.again(ws.context, ws) end
    phase(self, ws)
  end
end

local function step(self, ws)
  if self.stepping then return end
  self.stepping = true
  step_on(self, ws)
  self.stepping = false
end

--- Takes bytes of the peer's, and goes on with what is there.
-- @tparam table ws
-- @tparam string bytes may be empty
function exchange:feed(ws, bytes)
  if bytes ~= "" then
    if self.position > #self.rest then
      self.rest, self.position = bytes, 1
    else
      self.rest, self.position = sub(self.rest, self.position) .. bytes, 1
    end
  end
  if self.phase == "file" and ws.wire:buffered() == 0 then response.pump(self, ws) end
  step(self, ws)
end

--- Takes note that the peer sends nothing more: it may still wait for answers to what it sent.
-- @tparam table ws
function exchange:ended(ws)
  self:feed(ws, "")
  if ws.state ~= "http" or ws.paused or ws.context.is_again[ws] then return end
  if self.phase == "handshake" then
    -- Who has ended its sending direction will never be a WebSocket.
    ending.abort(ws, "closed")
  elseif phases[self.phase] == nil then
    descriptor.pause(ws, true)
  elseif ws.wire:buffered() > 0 then
    ending.finish(ws)
  else
    ending.abort(ws, "closed")
  end
end

return exchange
