--- A connection of `websockets` under the methods of `websocket.sync`, each of which suspends its thread of copas and
-- nothing else.
-- @module websocket.threaded
local sending = require("websocket.sending")
local waiting = require("websocket.waiting")

local threaded = {}
threaded.__index = threaded

local ABNORMAL = 1006
-- Where so much waits to be received, nothing more is read until half of it has been.
local MAX_MESSAGES, MAX_BYTES = 4096, 4 * 1024 * 1024
-- A sender waits while more than this waits to be sent.
local HIGH_WATER_BYTES = 65536
local CLOSE_SECONDS = 10

local function has_news(self) return self.first <= self.last or self.outcome ~= nil end

local function put(self, message, kind)
  local last = self.last + 1
  self[last], self.last, self.bytes = { message, sending.opcode(kind) }, last, self.bytes + #message
  if not self.is_full and (self.bytes > MAX_BYTES or last - self.first >= MAX_MESSAGES) then
    self.is_full = true
    self.ws:rx_flow_control(false)
  end
end

local function take(self)
  local one = self[self.first]
  self[self.first], self.first, self.bytes = nil, self.first + 1, self.bytes - #one[1]
  if self.first > self.last then self.first, self.last = 1, 0 end
  if self.is_full and self.bytes < MAX_BYTES / 2 and self.last - self.first < MAX_MESSAGES / 2 then
    self.is_full = false
    self.ws:rx_flow_control(true)
  end
  return one[1], one[2]
end

--- Makes a link.
-- @tparam table context attached to copas
-- @tparam table ws
-- @tparam ?number timeout seconds that `receive` waits
-- @tparam ?function closed called when the connection has ended
-- @treturn threaded
function threaded.new(context, ws, timeout, closed)
  local self = setmetatable({
    context = context, ws = ws, timeout = timeout, first = 1, last = 0, bytes = 0, is_full = false, outcome = nil,
  }, threaded)
  ws:on_receive(function(_, message, kind) put(self, message, kind) end)
  ws:on_closed(function(_, code, reason, is_clean, why)
    self.outcome = { is_clean, code, not is_clean and reason == "" and why or reason, why }
    if closed then closed(self) end
  end)
  return self
end

--- Waits until it is open.
-- @treturn boolean false where it has ended
function threaded:await_open()
  local is_open = false
  self.ws:on_open(function() is_open = true end)
  waiting.wait(self.context, function() return is_open or self.outcome ~= nil end)
  return is_open
end

--- As `receive` of `websocket.raw`.
function threaded:receive()
  waiting.wait(self.context, function() return has_news(self) end, self.timeout)
  if self.first <= self.last then return take(self) end
  local outcome = self.outcome
  if outcome then return nil, true, outcome[1], outcome[2], outcome[3] end
  return nil, false, false, ABNORMAL, "timeout"
end

--- As `send` of `websocket.raw`, without waiting.
function threaded:post(data, opcode) return sending.send(self.ws, data, opcode) end

--- As `send` of `websocket.raw`; waits while the peer is slow.
function threaded:send(data, opcode)
  local is_sent, is_over, why = self:post(data, opcode)
  if not is_sent or not waiting.can_wait() then return is_sent, is_over, why end
  local ws = self.ws
  waiting.wait(self.context, function() return self.outcome ~= nil or ws:buffered() <= HIGH_WATER_BYTES end)
  return true
end

--- As `close` of `websocket.raw`. Outside of a thread it does not wait.
function threaded:close(code, reason)
  self.ws:close(code, reason)
  if not self.outcome and waiting.can_wait() then
    waiting.wait(self.context, function() return self.outcome ~= nil end, CLOSE_SECONDS)
  end
  local outcome = self.outcome
  if outcome then return outcome[1], outcome[2], outcome[1] and outcome[3] or outcome[4] end
  return false, ABNORMAL, "closing"
end

return threaded
