--- A raw server for specs of the client: a listening LuaSocket that answers what the spec says, byte by byte.
-- @module spec.support.peer
local engine = require("websockets.engine.pure")
local socket = require("socket")

local peer = {}
peer.__index = peer

local MAX_MESSAGE_BYTES = 64 * 1024 * 1024

-- TLS 1.2 and 1.3, with a certificate.
local function server_context(tls)
  local all = { mode = "server", protocol = "any", options = { "all", "no_sslv3", "no_tlsv1", "no_tlsv1_1" } }
  for name, value in pairs(tls) do all[name] = value end
  return assert(require("ssl").newcontext(all))
end

--- Listen on a port that the system chooses; closed with the server that pumps it.
-- @tparam table server of `spec.support.server`
-- @tparam[opt="127.0.0.1"] string address
-- @tparam[opt] table tls fields of LuaSec's `newcontext`: the server speaks TLS
-- @treturn ?peer nil where the system has no such address
function peer.listen(server, address, tls)
  local listener = address == "::1" and socket.tcp6() or socket.tcp4()
  if not listener or not listener:bind(address or "127.0.0.1", 0) then return nil end
  listener:listen(16)
  listener:settimeout(0)
  local self = setmetatable({
    server = server, listener = listener, port = math.floor(tonumber((select(2, listener:getsockname())))),
    connection = false, buffer = "", ended = false, tls = tls and server_context(tls), is_shaking = tls ~= nil,
  }, peer)
  server.clients[#server.clients + 1] = self
  return self
end

--- Connect to this server by the context that is pumped.
-- @tparam[opt] table options of `context:connect`
-- @tparam[opt="/"] string target
-- @treturn table ws
-- @treturn table log: `open`, `messages`, `closed`
function peer:connect(options, target)
  return peer.watch(self.server.context:connect(("%s://127.0.0.1:%d%s"):format(self.tls and "wss" or "ws", self.port,
    target or "/"), options))
end

--- Note what becomes of a client's connection.
-- @tparam table ws
-- @treturn table ws
-- @treturn table log: `open` (how often), `messages` ({data, type}), `closed` ({code, reason, clean, why})
function peer.watch(ws)
  local log = { open = 0, messages = {}, closed = {} }
  ws:on_open(function() log.open = log.open + 1 end)
  ws:on_receive(function(_, ...) log.messages[#log.messages + 1] = { ... } end)
  ws:on_closed(function(_, ...) log.closed[#log.closed + 1] = { ... } end)
  return ws, log
end

local function accept(self)
  local connection = self.listener:accept()
  if not connection then return false end
  connection:settimeout(0)
  connection:setoption("tcp-nodelay", true)
  if self.tls then
    connection = assert(require("ssl").wrap(connection, self.tls))
    connection:settimeout(0)
  end
  return connection
end

--- Speak TLS from here on.
-- @tparam table tls fields of LuaSec's `newcontext`
function peer:begin_tls(tls)
  self.tls, self.is_shaking = server_context(tls), true
  self.connection = assert(require("ssl").wrap(self.connection, self.tls))
  self.connection:settimeout(0)
end

local function goes_on(why)
  return why == "timeout" or why == "wantread" or why == "wantwrite"
end

-- Whether the TLS handshake is done.
local function shake(self)
  local is_done, why = self.connection:dohandshake()
  self.is_shaking = not is_done
  if not is_done and not goes_on(why) then self.ended = why or "closed" end
  return is_done
end

--- Wait for the end of a client's connection that never was open.
-- @tparam table server of `spec.support.server`
-- @tparam table log of `watch`
-- @treturn table {code, reason, clean, why}
function peer.await_refusal(server, log)
  server:pump(function() return log.closed[1] end, "on_closed")
  assert(#log.closed == 1, "it ended more than once")
  assert(log.open == 0, "it was open")
  return log.closed[1]
end

--- Take another connection than the one before.
function peer:take_next()
  self.connection, self.buffer, self.ended = false, "", false
end

--- Take what has come, without waiting.
function peer:poll()
  self.connection = self.connection or accept(self)
  -- LuaSec spins when it is asked for more after an error.
  if not self.connection or (self.tls and self.ended) or (self.is_shaking and not shake(self)) then return end
  local whole, why, part = self.connection:receive(65536)
  self.buffer = self.buffer .. (whole or part or "")
  if not whole and not goes_on(why) then self.ended = why or "closed" end
end

--- Wait for the request.
-- @treturn string the head as it came
-- @treturn table header name in lower case -> value
function peer:read_request()
  local stop
  self.server:pump(function()
    self:poll()
    stop = select(2, self.buffer:find("\r\n\r\n", 1, true))
    return stop
  end, "a request")
  local head, headers = self.buffer:sub(1, stop), {}
  self.buffer = self.buffer:sub(stop + 1)
  for name, value in head:gmatch("\n([^:\r\n]+):[ \t]*([^\r\n]*)") do headers[name:lower()] = value end
  return head, headers
end

--- Send bytes; they fit the socket's buffer.
-- @tparam string bytes
function peer:send(bytes)
  local from = 1
  self.server:pump(function()
    local last, _, partial = self.connection:send(bytes, from)
    from = (last or partial or from - 1) + 1
    return from > #bytes
  end, "bytes to be taken")
end

--- Write the answer that a server must give.
-- @tparam table headers of the request
-- @tparam[opt] table changes header name -> value; false leaves it out
-- @tparam[opt] string status_line in place of the right one
-- @treturn string bytes
function peer.answer(headers, changes, status_line)
  local all = {
    Upgrade = "websocket", Connection = "Upgrade",
    ["Sec-WebSocket-Accept"] = engine.accept_key(headers["sec-websocket-key"]),
  }
  for name, value in pairs(changes or {}) do all[name] = value end
  local lines = { status_line or "HTTP/1.1 101 Switching Protocols" }
  for name, value in pairs(all) do
    if value then lines[#lines + 1] = name .. ": " .. value end
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

--- Take the request and answer it as a server must.
-- @tparam[opt] table changes as for `answer`
-- @tparam[opt=""] string leftover bytes sent with the answer
-- @treturn table headers of the request
function peer:accept(changes, leftover)
  local _, headers = self:read_request()
  self.reader = engine.reader({ role = "server", max_message_bytes = MAX_MESSAGE_BYTES, max_fragments = 1e6 })
  self:send(peer.answer(headers, changes) .. (leftover or ""))
  return headers
end

--- Wait for a frame of the client's.
-- @treturn number opcode, or the close code of a breach; nil when the connection ended
-- @treturn string payload
function peer:message()
  local batch, opcode, payload = {}, nil, nil
  self.server:pump(function()
    self:poll()
    local count = self.reader:feed(self.buffer, batch)
    self.buffer = ""
    if count > 0 then opcode, payload = batch[1], batch[2] end
    assert(count < 2, "more than one frame at once")
    return opcode or self.ended
  end, "a frame")
  return opcode, payload
end

--- Send a frame as a server does.
-- @tparam number opcode
-- @tparam[opt=""] string payload
function peer:write(opcode, payload)
  self:send(engine.writer({ role = "server" }):encode(opcode, payload or ""))
end

--- Wait for the client's end of the connection.
-- @treturn string `closed`, or what the system says of a reset
function peer:await_end()
  self.server:pump(function()
    self:poll()
    return self.ended
  end, "the end of the connection")
  return self.ended
end

--- End the connection, so that the next one can be taken.
function peer:drop()
  if self.connection then self.connection:close() end
  self:take_next()
  self.is_shaking = self.tls and true or false
end

--- End the connection, and listening too.
function peer:close()
  if self.connection then self.connection:close() end
  self.listener:close()
end

return peer
