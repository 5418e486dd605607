--- Connections that are opened again when they end, with the option `reconnect`: the same `ws` over one transport after
-- the other. Between two of them it is *away*, and keeps the messages that are written for the next.
-- @module websockets.client.comeback
local backoff = require("websockets.client.backoff")
local connection = require("websockets.connection.connection")
local outbox = require("websockets.connection.outbox")
local session = require("websockets.protocol.session")
local verdict = require("websockets.client.verdict")
local weight = require("websockets.wire.queue").weight

local comeback = {}
comeback.__index = comeback

-- In place of the dial of a connection that was open.
local NO_DIAL = {}

local function fire(self)
  local ws = self.ws
  local context = ws.context
  context.timers:unplan(self)
  self.redial(ws, self.destination)
  context.away[ws] = nil
end

--- Makes what has a connection opened again.
-- @tparam table settings of `websockets.options.reconnect`
-- @tparam table engine
-- @tparam table destination where it is opened, of `websockets.protocol.url`
-- @tparam function redial `redial(ws, destination)` opens it again
-- @treturn comeback `queued_bytes`: what waits for the next connection; `has_opened`
function comeback.new(settings, engine, destination, redial)
  return setmetatable({
    ws = false, settings = settings, backoff = backoff.new(settings, backoff.random(engine)),
    destination = destination, redial = redial, fire = fire, place = false, has_opened = false, opened_at = false,
    queue = {}, first = 1, last = 0, queued_bytes = 0,
  }, comeback)
end

--- Has a connection opened again whenever it ends.
-- @tparam table ws
function comeback:follow(ws)
  self.ws = ws
  ws.comeback = self
end

--- Keeps a message for the next connection.
-- @tparam integer opcode 1 or 2
-- @tparam string payload
-- @tparam ?boolean plain true: do not compress
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `utf8`; `away`: there is no room
function comeback:keep(opcode, payload, plain)
  if not session.may_send(opcode, payload, self.ws.context.engine.valid_utf8) then return -1, "utf8" end
  local bytes, count = self.queued_bytes + #payload, self.last - self.first + 2
  local limit = self.settings.queue_bytes
  if limit == 0 or weight(bytes, count) > limit then return -1, "away" end
  self.queue[self.last + 1] = { opcode, payload, plain or false }
  self.last, self.queued_bytes = self.last + 1, bytes
  return 0
end

local function send_next(self)
  local queue, first = self.queue, self.first
  local message = queue[first]
  queue[first] = nil
  self.first, self.queued_bytes = first + 1, self.queued_bytes - #message[2]
  outbox.send(self.ws, message[1], message[2], true, message[3])
end

--- Takes note that the connection is open: what waits is sent. What breaks in between stays for the next one.
function comeback:opened()
  local ws = self.ws
  self.has_opened, self.opened_at = true, ws.context.now
  while self.first <= self.last and ws.state == "open" do send_next(self) end
  if self.first > self.last then self.first, self.last = 1, 0 end
end

-- How long to wait; nil where this is the end.
local function delay_after(self, outcome)
  local ws = self.ws
  if ws.context.destroying then return nil end
  local dial = ws.phase or NO_DIAL
  local answer = dial.refusal and dial.refusal.read
  if verdict.is_final(outcome, answer, dial.is_denied) then return nil end
  if self.opened_at and ws.context.now - self.opened_at >= self.settings.max then self.backoff:reset() end
  return self.backoff:next(verdict.retry_after(answer, os.time()))
end

--- Takes note that the connection has ended.
-- @treturn[1] table what is left of it, to be closed; `wait` must follow
-- @treturn[2] nil there is no other
function comeback:ended()
  local ws = self.ws
  local outcome = ws.outcome
  self.delay = delay_after(self, outcome)
  self.opened_at = false
  if not self.delay then
    self:stop()
    return nil
  end
  self.outcome = outcome
  return connection.depart(ws)
end

--- Waits until the connection is opened again.
function comeback:wait()
  local ws, outcome = self.ws, self.outcome
  local context = ws.context
  self.outcome = nil
  context.timers:plan(self, context.clock() + self.delay)
  local handler = ws.reconnect_handler
  if handler then context.agenda:call(ws, handler, ws, self.delay, outcome.why, outcome.code, outcome.reason) end
end

--- The connection is not opened again: from here on it is one like others. What waits is lost.
function comeback:stop()
  local ws = self.ws
  ws.context.timers:unplan(self)
  ws.context.away[ws] = nil
  ws.comeback = nil
end

return comeback
