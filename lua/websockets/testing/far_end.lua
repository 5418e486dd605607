--- The other end of a connection of a context: it reads what comes, answers what has to be answered, and keeps the
-- rest. `websockets.testing.peer` has what users call.
-- @module websockets.testing.far_end
local kinds = require("websockets.protocol.kinds")
local session = require("websockets.protocol.session")
local stream = require("websockets.wire.stream")

local far_end = {}

local HUGE = math.huge
local LIMITS = { high_water_bytes = HUGE, max_buffered_bytes = HUGE }
local CLOSE, PING, PONG = 8, 9, 10
local NO_CLOSE_FRAME = 1006

--- Makes an end, which takes part in the network from now on.
-- @tparam table class of the object
-- @tparam network net
-- @tparam memory transport its end
-- @tparam table phase what takes its bytes until the WebSocket is open: `feed(peer, bytes)`, `ended(peer)`
-- @tparam string role "client" or "server"
-- @tparam table engine
-- @treturn far_end
function far_end.new(class, net, transport, phase, role, engine)
  local self = setmetatable({
    network = net, transport = transport, phase = phase, role = role, engine = engine,
    wire = stream.new(stream.hub(), transport, engine, LIMITS), state = "http",
    inbox = {}, bytes = {}, pings = {}, pongs = {}, batch = {}, answers_pings = true,
    -- Half of a frame has left: what is sent now is taken for the rest of it.
    is_amid = false,
    is_paused = false, is_gone = false, code = NO_CLOSE_FRAME, reason = "", has_opened = false, has_closed = false,
  }, class)
  net.peers[#net.peers + 1] = self
  return self
end

local function leave(self)
  for place, one in ipairs(self.network.peers) do
    if one == self then return table.remove(self.network.peers, place) end
  end
end

--- Ends the connection.
-- @tparam ?number linger 0 resets it
function far_end:finish(linger)
  if self.state == "closed" then return end
  self.state = "closed"
  self.transport:close(linger)
  leave(self)
end

local function flush(self)
  if self.wire:buffered() == 0 then return false end
  local _, took = self.wire:flush()
  return took == true
end

--- Begins to speak WebSocket.
-- @tparam string leftover bytes that came after the handshake
function far_end:open(leftover)
  self.state, self.has_opened = "open", true
  self.wire:start({ role = self.role, max_message_bytes = HUGE, max_fragments = HUGE, limits = LIMITS }, leftover)
end

local function take_close(self, payload)
  self.code, self.reason = session.read_close(payload)
  self.has_closed = true
  if not (self.wire.said_close or self.is_amid) then self.wire:push(CLOSE, payload:sub(1, 2)) end
  flush(self)
  -- RFC 6455 7.1.1: the server ends the TCP connection.
  if self.role == "server" then self:finish() end
end

local function take(self, opcode, payload)
  if opcode == CLOSE then
    take_close(self, payload)
  elseif opcode == PING then
    self.pings[#self.pings + 1] = payload
    if self.answers_pings and not (self.wire.said_close or self.is_amid) then self.wire:push(PONG, payload) end
  elseif opcode == PONG then
    self.pongs[#self.pongs + 1] = payload
  elseif opcode > PONG then
    -- What the context sent breaks RFC 6455.
    self.code, self.reason = opcode, payload
    self:finish()
  else
    self.inbox[#self.inbox + 1] = { payload, kinds.OF_OPCODES[opcode] }
  end
end

local function end_of(self, why)
  if why == "timeout" then return false end
  if self.state == "http" then self.phase:ended(self) end
  self:finish()
  return true
end

-- Both read once, and tell whether anything came.
local function read_messages(self)
  local batch = self.batch
  local count, again = self.wire:read(batch)
  if not count then return end_of(self, again) end
  for i = 1, count do
    if self.state == "open" then take(self, batch[2 * i - 1], batch[2 * i]) end
  end
  return count > 0 or again == true
end

local function read_bytes(self)
  local bytes, why = self.wire:receive()
  if not bytes then return end_of(self, why) end
  self.phase:feed(self, bytes)
  return true
end

--- Does what can be done now.
-- @treturn boolean whether that was anything
function far_end:work()
  if self.is_gone or self.state == "closed" then return false end
  local has_done = flush(self)
  local has_read = not self.is_paused
  while has_read and self.state ~= "closed" do
    has_read = (self.state == "open" and read_messages or read_bytes)(self)
    has_done = has_done or has_read
  end
  return flush(self) or has_done
end

--- Sends what a method of the wire queues, and has everybody follow it.
-- @tparam function queue
-- @param ... its arguments
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `closed`
function far_end:say(queue, ...)
  if self.state == "closed" then return nil, "closed" end
  self.is_amid = false
  queue(self.wire, ...)
  if not self.is_gone then flush(self) end
  self.network:settle()
  return true
end

return far_end
