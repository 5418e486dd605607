--- An honest client beside the attackers: its echo must come soon, whatever they do.
-- @module fuzz.live.honest

local plain_client = require "spec.support.plain_client"
local socket = require "socket"

local honest = {}
honest.__index = honest

local PONG = "\138\128\0\0\0\0"
local PING = 9

--- Connect as a WebSocket.
-- @tparam number port
-- @tparam function cpu tells the seconds of processor time that the server has taken
-- @treturn honest `worst`: seconds of the slowest echo, `worst_cpu`: the most processor time that the server took until
-- it answered, `count` of echoes
function honest.open(port, cpu)
  local client = plain_client.connect(port)
  client:upgrade("echo")
  return setmetatable({ client = client, cpu = cpu, worst = 0, worst_cpu = 0, count = 0, sent = nil }, honest)
end

-- Reads what is here; a frame of these few bytes comes whole.
local function read(self)
  local client = self.client
  client.deadline = socket.gettime() + 45
  local payload, opcode = client:read_message()
  if opcode == PING then return client:send(PONG) end
  assert(opcode == 1 and payload == self.text, "another answer than what was sent")
  self.worst = math.max(self.worst, socket.gettime() - self.sent)
  self.worst_cpu = math.max(self.worst_cpu, self.cpu() - self.cpu_before)
  self.count, self.sent = self.count + 1, nil
end

--- Answer pings, and see whether an echo is here.
function honest:poll()
  local piece, why, part = self.client.connection:receive(65536)
  assert(piece or why == "timeout", why)
  self.client.buffer = self.client.buffer .. (piece or part)
  while #self.client.buffer >= 2 do read(self) end
end

--- Send the next message, or see whether the answer is here.
function honest:step()
  if self.sent then return self:poll() end
  self.text, self.sent = "echo " .. self.count, socket.gettime()
  self.cpu_before = self.cpu()
  self.client:write(self.text)
end

--- Wait for the answer.
function honest:settle()
  while self.sent do
    socket.select({ self.client.connection }, nil, 1)
    assert(socket.gettime() - self.sent < 45, "no echo")
    self:step()
  end
end

--- Get a resource, over a connection of its own.
-- @tparam number port
-- @tparam string target
-- @treturn string body
function honest.get(port, target)
  local client = plain_client.connect(port)
  local status, _, body = client:get(target)
  client:close()
  assert(status == 200, status)
  return body
end

return honest
