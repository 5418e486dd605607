--- A raw server in a process of its own, which does what a spec says; for clients that block the spec's own process.
-- `spec.support.scripted` starts it.
-- @script scripted_server
--
-- `lua spec/support/scripted_server.lua CODE` writes its port, then runs CODE, Lua source that gets `server`.
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path

local engine = require("websockets.engine.pure")
local peer = require("spec.support.peer")
local socket = require("socket")

local LIMIT_SECONDS = 20
local MAX_MESSAGE_BYTES = 64 * 1024 * 1024

local server = { listener = false, connection = false, head = "", frames = {}, reader = false }

--- Has the next connections begin with TLS.
function server:secure(certificate, key)
  self.tls = { mode = "server", protocol = "any", options = "all", certificate = certificate, key = key }
end

--- Takes the next connection; the ones before stay open.
function server:take()
  self.connection = assert(self.listener:accept())
  self.connection:settimeout(LIMIT_SECONDS)
  self.connection:setoption("tcp-nodelay", true)
  if self.tls then
    self.connection = assert(require("ssl").wrap(self.connection, self.tls))
    self.connection:settimeout(LIMIT_SECONDS)
    assert(self.connection:dohandshake())
  end
  self.taken = self.taken or {}
  self.taken[#self.taken + 1] = self.connection
end

--- Takes a connection and its request.
function server:request()
  self:take()
  local headers = {}
  self.head = ""
  repeat
    local line = assert(self.connection:receive("*l"))
    self.head = self.head .. line .. "\n"
    local name, value = line:match("^([^:]+):%s*(.*)$")
    if name then headers[name:lower()] = value end
  until line == ""
  self.frames = {}
  self.reader = engine.reader({ role = "server", max_message_bytes = MAX_MESSAGE_BYTES, max_fragments = 1e6 })
  return headers
end

--- Takes a connection and opens the WebSocket; bytes may follow the answer at once.
function server:open(bytes, changes)
  self:send(peer.answer(self:request(), changes) .. (bytes or ""))
end

--- Sends bytes.
function server:send(bytes)
  assert(self.connection:send(bytes))
end

--- Encodes a frame as a server does.
function server.frame(opcode, payload, fin)
  return engine.writer({ role = "server" }):encode(opcode, payload or "", fin)
end

--- Sends a frame.
function server:write(opcode, payload, fin)
  self:send(self.frame(opcode, payload, fin))
end

-- What has come; waits for the first byte.
function server:read()
  local byte, why = self.connection:receive(1)
  if not byte then return nil, why end
  self.connection:settimeout(0)
  local bytes, _, part = self.connection:receive(65536)
  self.connection:settimeout(LIMIT_SECONDS)
  return byte .. (bytes or part or "")
end

--- Waits for a frame of the client's: opcode and payload, or nil and why the connection ended.
function server:message()
  local batch, bytes = {}, ""
  while not self.frames[1] do
    local count, again = self.reader:feed(bytes, batch)
    for i = 1, count do self.frames[i] = { batch[2 * i - 1], batch[2 * i] } end
    bytes = ""
    if count == 0 and not again then
      local read, why = self:read()
      if not read then return nil, why end
      bytes = read
    end
  end
  local frame = table.remove(self.frames, 1)
  return frame[1], frame[2]
end

--- Reads and forgets so many bytes, or all until the end.
function server:drain(count)
  local rest = count or math.huge
  while rest > 0 do
    local bytes, why, part = self.connection:receive(math.min(rest, 65536))
    rest = rest - #(bytes or part or "")
    if not bytes then return why end
  end
end

--- Waits for another connection, by which the spec says "go on".
function server:await_signal()
  assert(self.listener:accept()):close()
end

--- Ends the sending direction.
function server:finish()
  self.connection:shutdown("send")
end

--- Ends the connection.
function server:close()
  self.connection:close()
end

--- Ends the connection by a reset.
function server:reset()
  self.connection:setoption("linger", { on = true, timeout = 0 })
  self.connection:close()
end

--- Tells the spec something.
function server.say(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
  print("said " .. table.concat(words, " "))
end

io.stdout:setvbuf("line")
server.listener = assert(socket.bind("127.0.0.1", 0))
server.listener:settimeout(LIMIT_SECONDS)
print("port " .. math.floor(tonumber((select(2, server.listener:getsockname())))))
local is_good, err = pcall(assert((loadstring or load)("local server = ... " .. arg[1])), server)
print(is_good and "done" or "failed " .. tostring(err))
