--- A client made of nothing but a LuaSocket connection: it shares no code with the library.
-- @module spec.support.plain_client

local socket = require "socket"

local plain_client = {}
plain_client.__index = plain_client

local DEADLINE_SECONDS = 45
local PIECE_BYTES = 65536

-- The example of RFC 6455, section 1.3.
local KEY = "dGhlIHNhbXBsZSBub25jZQ=="
local ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

local function wait_for_input(connection)
  socket.select({ connection }, nil, 1)
end

--- Connect to a port of this machine.
-- @tparam number port
-- @tparam[opt] function pause called while nothing has come; without it the client waits in `select`
-- @treturn table the client, which raises when it has waited for 45 seconds
function plain_client.connect(port, pause)
  local connection = socket.tcp()
  connection:settimeout(20)
  assert(connection:connect("127.0.0.1", port))
  connection:settimeout(0)
  return setmetatable({
    connection = connection,
    pause = pause or wait_for_input,
    buffer = "",
    port = port,
    deadline = socket.gettime() + DEADLINE_SECONDS,
  }, plain_client)
end

--- Take what has come into the buffer, waiting for it.
-- @treturn boolean false once the peer has closed
function plain_client:fill()
  while true do
    local whole, why, part = self.connection:receive(PIECE_BYTES)
    local piece = whole or part
    if #piece > 0 then
      self.buffer = self.buffer .. piece
      return true
    end
    if why == "closed" then
      return false
    end
    assert(socket.gettime() < self.deadline, "nothing came for too long")
    self.pause(self.connection)
  end
end

--- Send bytes.
-- @tparam string bytes
function plain_client:send(bytes)
  local from = 1
  while from <= #bytes do
    local last, why, partial = self.connection:send(bytes, from)
    assert(last or why == "timeout", why)
    from = (last or partial) + 1
    if from <= #bytes then
      assert(socket.gettime() < self.deadline, "nothing was taken for too long")
      self.pause(self.connection)
    end
  end
end

--- Read exactly so many bytes.
-- @tparam number count
-- @treturn string
function plain_client:read(count)
  while #self.buffer < count do
    assert(self:fill(), "closed by the server")
  end
  local bytes = self.buffer:sub(1, count)
  self.buffer = self.buffer:sub(count + 1)
  return bytes
end

--- Read the head of a response.
-- @treturn string with its empty line
function plain_client:read_head()
  while true do
    local _, stop = self.buffer:find("\r\n\r\n", 1, true)
    if stop then
      return self:read(stop)
    end
    assert(self:fill(), "closed by the server")
  end
end

--- Send a GET request.
-- @tparam string target
-- @tparam[opt=""] string headers more header lines
function plain_client:request(target, headers)
  self:send(("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n"):format(target, self.port, headers or ""))
end

--- Get a resource.
-- @tparam string target
-- @treturn number status
-- @treturn string the head in lower case
-- @treturn string body
function plain_client:get(target)
  self:request(target)
  local head = self:read_head():lower()
  return tonumber(head:match("^http/1%.1 (%d+)")), head, self:read(tonumber(head:match("content%-length: (%d+)")))
end

--- Turn the connection into a WebSocket.
-- @tparam[opt] string subprotocol
-- @treturn string the head of the response in lower case
function plain_client:upgrade(subprotocol)
  self:request("/", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    .. "Sec-WebSocket-Key: " .. KEY .. "\r\n"
    .. (subprotocol and "Sec-WebSocket-Protocol: " .. subprotocol .. "\r\n" or ""))
  local head = self:read_head()
  assert(head:find("^HTTP/1%.1 101 "), head)
  assert(head:find(ACCEPT, 1, true), head)
  return head:lower()
end

--- Send a text message of at most 125 bytes, masked with four zeros.
-- @tparam string text
function plain_client:write(text)
  assert(#text <= 125)
  self:send("\129" .. string.char(128 + #text) .. "\0\0\0\0" .. text)
end

--- Read a frame.
-- @treturn string payload
-- @treturn number opcode
function plain_client:read_message()
  local first, length = self:read(2):byte(1, 2)
  if length >= 126 then
    local digits = self:read(length == 126 and 2 or 8)
    length = 0
    for i = 1, #digits do
      length = length * 256 + digits:byte(i)
    end
  end
  return self:read(length), first % 16
end

--- Close the connection.
function plain_client:close()
  self.connection:close()
end

return plain_client
