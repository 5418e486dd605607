--- TLS handshakes that wait for their turn: a step of one may cost half a millisecond of the processor, so that few are
-- done in a turn and others are served between. A turn serves this as it serves a listener, by `accept`.
-- @module websockets.server.handshakes
local lifecycle = require("websockets.connection.lifecycle")

local handshakes = {}
handshakes.__index = handshakes

-- Where others need a turn for themselves, handshakes get a step more for each millisecond that it has lasted.
local SECONDS_A_STEP, MOST_A_TURN = 0.001, 8

local floor, min = math.floor, math.min

--- Makes an empty queue.
-- @tparam table context
-- @treturn handshakes
function handshakes.new(context)
  return setmetatable({
    context = context, waiting = {}, first = 1, last = 0,
    -- The steps that were granted in this turn; to which transports, as long as they have not taken them.
    turn = 0, granted = 0, is_admitted = setmetatable({}, { __mode = "k" }),
    -- The transport that was refused a step.
    refused = false,
  }, handshakes)
end

local function begin_turn(self)
  if self.turn ~= self.context.turn then self.turn, self.granted = self.context.turn, 0 end
end

--- Decides whether a step may be done now.
-- @tparam table transport
-- @treturn boolean
function handshakes:may_begin(transport)
  if self.is_admitted[transport] then
    self.is_admitted[transport] = nil
    return true
  end
  begin_turn(self)
  if self.first > self.last and self.granted == 0 then
    self.granted = 1
    return true
  end
  self.refused = transport
  return false
end

--- Has a connection wait if it was refused a step: it is not read until it is its turn.
-- @tparam table ws
function handshakes:follow(ws)
  if self.refused ~= ws.wire.transport then return end
  self.refused = false
  local last = self.last + 1
  self.waiting[last] = ws
  self.last = last
  lifecycle.pause(ws, true)
  self.context.agenda:again(self)
end

-- The next connection that still waits.
local function take(self)
  while self.first <= self.last do
    local ws = self.waiting[self.first]
    self.waiting[self.first] = nil
    self.first = self.first + 1
    if ws and ws.state == "http" and ws.phase.queue == self then return ws end
  end
end

--- Lets the next ones go on.
function handshakes:accept()
  local context = self.context
  begin_turn(self)
  local most = min(1 + floor((context.clock() - context.now) / SECONDS_A_STEP), MOST_A_TURN)
  while self.granted < most do
    local ws = take(self)
    if not ws then break end
    self.granted = self.granted + 1
    self.is_admitted[ws.wire.transport] = true
    lifecycle.pause(ws, false)
  end
  if self.first <= self.last then context.agenda:again(self) end
end

return handshakes
