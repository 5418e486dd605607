--- A raw client for specs: LuaSocket that never waits, while the server in the same program is pumped.
-- @module spec.support.client
local socket = require("socket")
local engine = require("websockets.engine.loader").choose()

local client = {}
client.__index = client

local PIECE_BYTES = 65536
local KEY = "dGhlIHNhbXBsZSBub25jZQ=="
local ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
local MAX_MESSAGE_BYTES = 1024 * 1024 * 1024

client.KEY, client.ACCEPT = KEY, ACCEPT

--- Connect to a server; it is closed with the server.
-- @tparam table server of `spec.support.server`; `secure(connection)` puts TLS on it
-- @tparam[opt] function prepare called with the LuaSocket object before it connects
-- @treturn client
function client.connect(server, prepare)
  local connection = socket.tcp4()
  if prepare then prepare(connection) end
  -- The backlog takes the connection: connecting needs no turn of the server's.
  connection:settimeout(20)
  assert(connection:connect("127.0.0.1", server.port))
  connection:settimeout(0)
  connection:setoption("tcp-nodelay", true)
  if server.secure then connection = server.secure(connection) end
  local self = setmetatable({
    server = server, connection = connection, pieces = {}, size = 0, ended = false, batch = {}, inbox = {}, taken = 0,
    reader = engine.reader({ role = "client", max_message_bytes = MAX_MESSAGE_BYTES, max_fragments = 1e6 }),
    writer = engine.writer({ role = "client" }),
  }, client)
  server.clients[#server.clients + 1] = self
  return self
end

--- Take what has come, once, without waiting.
-- @treturn boolean whether anything came
function client:poll()
  local whole, why, part = self.connection:receive(PIECE_BYTES)
  local piece = whole or part
  if not whole and why ~= "timeout" then self.ended = why end
  if not piece or piece == "" then return false end
  self.pieces[#self.pieces + 1] = piece
  self.size = self.size + #piece
  return true
end

-- Joined only when the bytes are asked for: pieces of a long answer that are joined one by one cost their square.
local function joined(self)
  if #self.pieces > 1 then self.pieces = { table.concat(self.pieces) } end
  return self.pieces[1] or ""
end

--- Take all that has come and was not read yet.
-- @treturn string
function client:take()
  local bytes = joined(self)
  self.pieces, self.size = {}, 0
  return bytes
end

--- Send bytes, pumping the server while its buffers are full.
-- @tparam string bytes
-- @treturn ?string why not all of them were taken
function client:send(bytes)
  local from, trouble = 1, nil
  self.server:pump(function()
    local last, why, partial = self.connection:send(bytes, from)
    from = (last or partial or from - 1) + 1
    if not last and why ~= "timeout" then trouble = why end
    return trouble or from > #bytes
  end, "bytes to be taken")
  return trouble
end

--- Wait for the server's last byte.
-- @treturn string all that came and was not read yet
function client:drain()
  self.server:pump(function()
    while self:poll() do end
    return self.ended
  end, "the end of the connection")
  return self:take()
end

--- Wait until so many bytes are here.
-- @tparam number count
-- @treturn string exactly those
function client:read(count)
  self.server:pump(function()
    if self.size >= count then return true end
    self:poll()
    assert(self.size >= count or not self.ended, "the server ended the connection")
    return self.size >= count
  end, count .. " bytes")
  local bytes = joined(self)
  self.pieces, self.size = { bytes:sub(count + 1) }, #bytes - count
  return bytes:sub(1, count)
end

--- Read the head of a response.
-- @treturn number status
-- @treturn table header name in lower case -> value
-- @treturn string the head as it came
function client:read_head()
  local stop
  self.server:pump(function()
    self:poll()
    stop = select(2, joined(self):find("\r\n\r\n", 1, true))
    assert(stop or not self.ended, "the server ended the connection")
    return stop
  end, "the head of a response")
  local head = self:read(stop)
  local headers = {}
  for name, value in head:gmatch("\n([^:\r\n]+):[ \t]*([^\r\n]*)") do headers[name:lower()] = value end
  return tonumber(head:match("^HTTP/1%.1 (%d%d%d) ")), headers, head
end

--- Read a whole response with Content-Length.
-- @tparam[opt] string method "HEAD" for one without body
-- @treturn number status
-- @treturn table headers
-- @treturn string body
function client:response(method)
  local status, headers = self:read_head()
  local length = method == "HEAD" and 0 or tonumber(headers["content-length"] or 0)
  return status, headers, self:read(length)
end

--- Write a request, for `send`.
-- @tparam string target
-- @tparam[opt] string headers more lines, each ended by CRLF
-- @tparam[opt="GET"] string method
-- @tparam[opt=""] string body
-- @treturn string bytes
function client.request(target, headers, method, body)
  return ("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n%s"):format(method or "GET", target, headers or "", body or "")
end

--- Write an upgrade request, for `send`.
-- @tparam[opt] table given `protocol`, `target`, `headers` (more lines)
-- @treturn string bytes
function client.upgrade(given)
  given = given or {}
  return client.request(given.target or "/", "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " .. KEY .. "\r\n"
    .. (given.protocol and "Sec-WebSocket-Protocol: " .. given.protocol .. "\r\n" or "") .. (given.headers or ""))
end

--- Make a server's client that is an open WebSocket.
-- @tparam table server
-- @tparam[opt] table|string given as for `upgrade`, or only the subprotocol; `leftover`: bytes after the request
-- @treturn client
function client.open(server, given)
  if type(given) == "string" then given = { protocol = given } end
  local self = client.connect(server, given and given.prepare)
  self:send(client.upgrade(given) .. (given and given.leftover or ""))
  local status, headers = self:read_head()
  assert(status == 101 and headers["sec-websocket-accept"] == ACCEPT, status)
  self.headers = headers
  return self
end

--- Encode a frame.
-- @tparam number opcode
-- @tparam[opt=""] string payload
-- @tparam[opt=true] boolean fin
-- @treturn string masked bytes
function client:frame(opcode, payload, fin)
  return self.writer:encode(opcode, payload or "", fin)
end

--- Send a frame.
-- @tparam number opcode
-- @tparam[opt=""] string payload
-- @tparam[opt=true] boolean fin
-- @treturn ?string why not
function client:write(opcode, payload, fin)
  return self:send(self:frame(opcode, payload, fin))
end

--- Send a text message.
-- @tparam string text
-- @treturn ?string why not
function client:text(text)
  return self:write(1, text)
end

-- Feeds what has come to the reader; whole messages go into the inbox.
local function decode(self)
  if self.size == 0 then return end
  local bytes, again = self:take(), true
  while again do
    local count
    count, again = self.reader:feed(bytes, self.batch)
    bytes = ""
    for i = 1, 2 * count do self.inbox[#self.inbox + 1] = self.batch[i] end
  end
end

--- Take a message that is here already.
-- @treturn ?number opcode, or the close code of a breach by the server; nil when none is here
-- @treturn ?string payload
function client:try_message()
  while self.taken >= #self.inbox do
    local came = self:poll()
    decode(self)
    if not came and self.taken >= #self.inbox then return nil end
  end
  local opcode, payload = self.inbox[self.taken + 1], self.inbox[self.taken + 2]
  self.taken = self.taken + 2
  return opcode, payload
end

--- Wait for a message or control frame.
-- @treturn number opcode; nil when the connection ended
-- @treturn string payload
function client:message()
  local opcode, payload
  self.server:pump(function()
    opcode, payload = self:try_message()
    return opcode or self.ended
  end, "a message")
  return opcode, payload
end

--- Wait for a close frame; other frames before it are thrown away.
-- @treturn ?number close code, 1005 for none; nil when the connection ended without one
-- @treturn ?string reason
function client:close_code()
  local opcode, payload
  repeat
    opcode, payload = self:message()
  until not opcode or opcode == 8
  if not opcode then return nil end
  if payload == "" then return 1005, "" end
  return payload:byte(1) * 256 + payload:byte(2), payload:sub(3)
end

--- Send a close frame.
-- @tparam[opt] number code none: an empty close frame
-- @tparam[opt=""] string reason
-- @treturn ?string why not
function client:send_close(code, reason)
  return self:write(8, code and string.char(math.floor(code / 256), code % 256) .. (reason or "") or "")
end

--- Wait until the server has ended the connection.
-- @treturn string `closed`, or what the system says of a reset
function client:await_end()
  self.server:pump(function()
    self:poll()
    return self.ended
  end, "the end of the connection")
  return self.ended
end

--- Close the connection.
function client:close()
  self.connection:close()
end

--- Vanish: the peer sees a reset.
function client:reset()
  self.connection:setoption("linger", { on = true, timeout = 0 })
  self.connection:close()
end

return client
