--- The HTTP phase of a connection to us: requests in, one answer each, until it ends or becomes a WebSocket.
-- @module websockets.server.exchange
local body_reader = require("websockets.http.body")
local connection = require("websockets.connection.connection")
local forwarded = require("websockets.protocol.forwarded")
local http = require("websockets.http.head")
local lifecycle = require("websockets.connection.lifecycle")
local response = require("websockets.server.response")
local unfinished = require("websockets.connection.unfinished")
local upgrade = require("websockets.server.upgrade")
local uri = require("websockets.http.uri")

-- What a request may need stands here until it does: each connection begins with a request. `response` writes `file` to
-- `shown`.
local exchange = {
  body = false, calling = false, held = 0, number = 0,
  file = false, left = 0, pieces = 0, turn = 0, last = false, leaving = false, raw = false, shown = false,
}
exchange.__index = exchange

local sub = string.sub

local REQUESTS_A_TURN = 64
-- What bytes that are kept are charged for each piece, beside its bytes.
local PIECE_BYTES = 128
local PROGRESS_BYTES = 65536

--- Makes the HTTP phase of a new connection. Its `stage` is `head` or `body` of a request, then `answer`, `file` or
-- `handshake`.
-- @treturn exchange
function exchange.new()
  return setmetatable({
    stage = "head", scanner = false, rest = "", position = 1, request = false, head = false, stepping = false,
    -- Written by `upgrade`.
    offered = false, deflate = false, extensions = false,
  }, exchange)
end

--- Gives back what is held: an open file, and what of a request has come.
-- @tparam table ws
function exchange:release(ws)
  response.release(self)
  self.rest, self.position, self.body, self.scanner = "", 1, false, false
  self:account(ws)
end

--- Charges what is kept of requests that have not come whole, or that wait.
-- @tparam table ws
function exchange:account(ws)
  local scanner, body = self.scanner, self.body
  local held = self.position <= #self.rest and #self.rest or 0
  if scanner then held = held + scanner.size + PIECE_BYTES * scanner.count end
  if body then held = held + body:held() end
  if held == self.held then return end
  ws.context.budget:charge(held - self.held)
  self.held = held
  if held > 0 then unfinished.note(ws) else ws.context.unfinished:forget(ws) end
end

--- Tells what is kept of requests that have not come whole, or that wait.
-- @treturn number bytes, as they are charged
-- @treturn number how far that has come: changes with another request, or 64 KiB more of a body
function exchange:unfinished()
  local bytes = self.body and self.body.size or 0
  return self.held, self.number * PROGRESS_BYTES + math.floor(bytes / PROGRESS_BYTES)
end

--- Ends the connection for a request that does not come to its end.
-- @tparam table ws
-- @tparam integer status what the peer is told
function exchange:give_up(ws, status)
  if self.stage == "head" or self.stage == "body" then return response.refuse(ws, status) end
  lifecycle.abort(ws, "limit")
end

--- Follows a flush of what was queued.
-- @tparam exchange _
-- @tparam table ws
-- @tparam integer pending bytes that still wait
-- @tparam boolean took whether any byte was taken
function exchange.flushed(_, ws, pending, took)
  response.flushed(ws, pending, took)
end

local function call_on_http(self, ws, text)
  local request, handler = self.request, ws.settings.on_http
  if not handler then
    local plain = http.plain_answer(404)
    return response.respond(ws, plain.status, plain.headers, plain.body)
  end
  self.calling = true
  local is_good = ws.context.agenda:call(ws, handler, ws, request.uri, request.method, request.headers, text)
  self.calling = false
  if ws.state ~= "http" or self.request ~= request then return end
  if self.raw then
    response.done(ws)
  elseif not is_good then
    if self.stage == "answer" then response.refuse(ws, 500) else lifecycle.abort(ws, "error") end
  end
end

local function run(self, ws, text)
  local request = self.request
  self.stage = "answer"
  if self.raw then self.raw = false end
  if http.asks_for(request, "websocket") then return upgrade.run(ws) end
  if request.headers["sec-websocket-key"] then upgrade.log_loss(ws.context, request) end
  response.await(ws)
  call_on_http(self, ws, text)
end

-- From here to its answer a request is served with the settings of its route.
local function find_route(ws, request)
  local router = ws.context.settings.router
  if not router then return true end
  local match = router:match((uri.split(request.uri)))
  if match == false then return false end
  if match then ws.settings = match.settings end
  return true
end

local function begin_request(self, ws, head)
  self.number = self.number + 1
  local request, status = http.parse(head)
  if not request then return response.refuse(ws, status) end
  self.request, self.head = request, head
  local draining = ws.context.draining
  if draining and not draining:admits(self.number == 1) then return response.refuse_for_now(ws) end
  local networks = ws.settings.trusted_proxies
  if networks then ws.forwarded = forwarded.read(networks, connection.peer(ws), request.headers) end
  if not find_route(ws, request) then return response.refuse(ws, 400) end
  local has_body = request.length > 0 or request.chunked
  -- A request for a WebSocket is refused where it has a body.
  if not has_body or http.asks_for(request, "websocket") then return run(self, ws, "") end
  -- Nobody will have the body.
  if not ws.settings.on_http then return response.refuse(ws, 404) end
  self.body, status = body_reader.new(request, ws.settings.max_body_bytes)
  if not self.body then return response.refuse(ws, status) end
  self.stage = "body"
  response.await_body(ws)
  if request.awaits_continue and self.position > #self.rest then ws.wire:raw(http.CONTINUE) end
end

-- What is done with bytes in a stage; in the other stages they wait.
local stages = {}

-- Nearly all heads come in one piece: they share one scanner, which keeps nothing between them. It is nobody's while it
-- scans, so that an error leaves nothing of one connection in what another one uses.
local spare = false

function stages.head(self, ws)
  local own = self.scanner
  local scanner = own or spare or http.scanner()
  if not own then spare = false end
  local head, next_position = http.scan(scanner, self.rest, self.position, ws.context.settings)
  if head == false then return response.refuse(ws, next_position) end
  if not own then
    if head then spare = scanner else self.scanner = scanner end
  end
  if not head then
    self.position = #self.rest + 1
    return
  end
  self.position = next_position
  begin_request(self, ws, head)
end

function stages.body(self, ws)
  local text, next_position = self.body:feed(self.rest, self.position)
  if text == false then return response.refuse(ws, next_position) end
  if not text then
    self.position = #self.rest + 1
    return
  end
  self.position, self.body = next_position, false
  run(self, ws, text)
end

local function step_on(self, ws)
  local rounds = 0
  while ws.state == "http" do
    local step = stages[self.stage]
    if not step then
      -- One request at a time: what was sent after it waits.
      if self.position <= #self.rest then return lifecycle.pause(ws, true) end
      self.rest, self.position = "", 1
      return
    end
    if self.position > #self.rest then
      self.rest, self.position = "", 1
      return
    end
    -- Where answers pile up, or many small requests have come at once, the rest is left for later.
    if ws.wire:buffered() > ws.settings.high_water_bytes then return lifecycle.pause(ws, true) end
    rounds = rounds + 1
    if rounds > 2 * REQUESTS_A_TURN then return ws.context.agenda:again(ws) end
    step(self, ws)
  end
end

--- Takes bytes from the peer, and goes on with what is there.
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
  if self.stage == "file" and ws.wire:buffered() == 0 then response.pump(ws) end
  if self.stepping then return end
  self.stepping = true
  step_on(self, ws)
  self.stepping = false
  if self.body or self.scanner or self.held > 0 or self.rest ~= "" then self:account(ws) end
end

--- Takes note that the connection broke.
-- @tparam table _ the exchange
-- @tparam table ws
-- @tparam string why of the transport
function exchange.failed(_, ws, why)
  lifecycle.abort(ws, why)
end

--- Takes note that the peer sends nothing more: it may still wait for answers to what it sent.
-- @tparam table ws
function exchange:ended(ws)
  self:feed(ws, "")
  if ws.state ~= "http" or ws.paused or ws.context.agenda.is_waiting[ws] then return end
  if stages[self.stage] and ws.wire:buffered() > 0 then
    lifecycle.finish(ws)
  elseif stages[self.stage] or self.stage == "handshake" then
    -- A peer that has ended its sending direction will never be a WebSocket.
    lifecycle.abort(ws, "closed")
  else
    lifecycle.pause(ws, true)
  end
end

return exchange
