--- A server and its clients for `spec.support.faults`: each client marks its bytes, and knows its own mark again.
-- @module spec.support.fault_world

local black_hole = require("spec.support.black_hole")
local engine = require("websockets.engine.pure")
local inside = require("spec.support.inside")
local socket = require("socket")
local websockets = require("websockets")

-- They are loaded when they are used: an interpreter that finds no memory may lose the file.
require("websockets.options.connect")
require("websockets.client.comeback")
require("websockets.client.dial")
require("websockets.waiting.handler")
require("websockets.waiting.methods")

local world = {}
world.__index = world

local PATIENCE_SECONDS = 0.5
local FILE = "spec/fixtures/faults.c"
local KEY = "dGhlIHNhbXBsZSBub25jZQ=="
local MUCH = ("much "):rep(1000000)

local client = {}
client.__index = client

local marks = 0

local function new_client(connection)
  marks = marks + 1
  connection:settimeout(0)
  return setmetatable({ connection = connection, mark = ("<m%d>"):format(marks), bytes = "", ended = false }, client)
end

--- Gives the request for a WebSocket.
function client:request()
  return ("GET /%s HTTP/1.1\r\nHost: x\r\nX-Mark: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    .. "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n")
    :format(self.mark, self.mark, KEY, self.protocol or "p")
end

--- Encodes a frame.
function client.frame(_, opcode, payload, has_more)
  return (engine.writer({ role = "client" }):encode(opcode, payload, not has_more))
end

--- Sends bytes, which fit the socket's buffer.
function client:send(bytes)
  self.connection:send(bytes)
end

--- Sends a message that comes back.
function client:say()
  self.said = self.mark .. " said"
  self:send(self:frame(1, self.said))
end

--- Takes what has come.
function client:take()
  local whole, why, part = self.connection:receive(1048576)
  if not whole and why ~= "timeout" then self.ended = true end
  local bytes = whole or part or ""
  self.bytes = self.bytes .. bytes
  return self.ended
end

--- Tells whether something has come.
function client:has(text)
  self:take()
  return self.bytes:find(text, 1, true) ~= nil
end

--- Ends the connection.
function client:close()
  self.connection:close()
end

-- What a server may not send: bytes of another connection, and frames that are none.
local function find_wrong(self)
  for mark in self.bytes:gmatch("<m%d+>") do
    if mark ~= self.mark then return "FOREIGN " .. mark .. " in " .. self.mark end
  end
  local from = self.bytes:find("^HTTP/1.1 101") and select(2, self.bytes:find("\r\n\r\n", 1, true))
  if not from then
    return self.bytes ~= "" and not self.bytes:find("^HTTP/1") and not self.is_peer and "NOHTTP" or nil
  end
  local batch = {}
  local reader = engine.reader({ role = "client", max_message_bytes = 2 ^ 30, max_fragments = 1e6 })
  local count = reader:feed(self.bytes:sub(from + 1), batch)
  for i = 1, count do
    if batch[2 * i - 1] > 1000 then return "BADFRAME " .. batch[2 * i] end
    local payload = batch[2 * i]
    local is_ours = payload == "" or payload:find("^much ") or payload:find("^ALL")
    if batch[2 * i - 1] <= 2 and not is_ours and payload:sub(1, #self.mark) ~= self.mark then
      return "PAYLOAD " .. payload
    end
  end
end

client.find_wrong = find_wrong

-- A server for the context's own clients.
local peer = setmetatable({}, { __index = client })
peer.__index = peer

-- Takes what was asked.
local function take_request(self)
  self.connection = self.connection or self.listener:accept()
  self.ended = not self.connection
  if self.ended then return end
  self.connection:settimeout(0)
  self:take()
end

--- Takes a request, if there is one, and sends bytes.
function peer:reply(bytes)
  take_request(self)
  if self.bytes:find("\r\n\r\n", 1, true) then self:send(bytes) end
end

--- Takes the request and answers it.
function peer:answer()
  take_request(self)
  local key = self.bytes:match("Sec%-WebSocket%-Key: (%S+)")
  if not key or self.is_answered then return end
  self.is_answered = true
  self:send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    .. engine.accept_key(key) .. "\r\n\r\n")
end

function peer:send(bytes)
  if self.connection then self.connection:send(bytes) end
end

--- Sends a message that comes back.
function peer:greet()
  self:send(engine.writer({ role = "server" }):encode(1, self.mark .. " greet"))
end

--- Sends a close frame.
function peer:finish()
  self:send(engine.writer({ role = "server" }):encode(8, "\3\232"))
end

function peer:take()
  if not self.connection then self.connection = self.listener:accept() end
  if not self.connection then return false end
  self.connection:settimeout(0)
  return client.take(self)
end

--- Ends the connection, and waits for another.
function peer:drop()
  if self.connection then self.connection:close() end
  self.connection, self.bytes, self.ended, self.is_answered = false, "", false, false
end

function peer:close()
  if self.connection then self.connection:close() end
  if self.hole then self.hole:close() end
  self.listener:close()
end

local commands = {}

function commands.close(ws) ws:close(1000, "bye") end

commands["end"] = function(ws) ws:close(0) end

function commands.all(ws) ws:broadcast("ALL") end

function commands.much(ws)
  ws:write(MUCH)
  ws:write(MUCH)
end

function commands.pause(ws)
  ws:rx_flow_control(false)
  ws:rx_flow_control(true)
end

function commands.fragments(ws, mark)
  ws:write(mark, 0 + websockets.WRITE_NO_FIN)
  ws:write(mark .. " whole")
  ws:write(" fragment", websockets.WRITE_CONTINUATION)
end

local function handler(self)
  return function(ws)
    local mark = ws:request().headers["x-mark"]
    self.is_inside[mark], self.by_mark[mark] = false, ws
    if ws:request().uri ~= "/" .. mark then self.foreign = "FOREIGN request" end
    ws:on_receive(function(_, data, kind)
      -- First: what follows may find no memory.
      self.is_inside[mark] = true
      local found, command = data:match("^(<m%d+>) ?(%a*)")
      if found ~= mark then self.foreign = "FOREIGN message" end
      if commands[command] then commands[command](ws, mark) else ws:write(data, kind) end
      self.is_inside[mark] = false
    end)
    ws:on_closed(function(one) self.closed[one] = (self.closed[one] or 0) + 1 end)
  end
end

-- For a coroutine.
local function echo(ws)
  local data, kind = ws:receive()
  while data do
    ws:write(data, kind)
    websockets.sleep(0)
    data, kind = ws:receive()
  end
end

local function on_http(self)
  return function(ws, uri, _, headers)
    if uri == "/file" then return ws:serve_http_file(FILE, "text/plain; mark=" .. #headers["x-mark"]) end
    if uri ~= "/" .. headers["x-mark"] then self.foreign = "FOREIGN head" end
    ws:respond(200, { ["X-Mark"] = headers["x-mark"] }, uri)
  end
end

-- The sockets of connections have as little room as that of the listener.
local function listen_narrowly(self, options)
  local listener = assert(socket.bind("127.0.0.1", 0))
  assert(listener:setoption("send-buffer-size", options.send_buffer_bytes))
  self.port = tonumber((select(2, listener:getsockname())))
  options.socket, self.listener = listener, listener
  options.port, options.interf, options.send_buffer_bytes = nil, nil, nil
end

--- Makes the world: a context, a client that talks beside each scenario, and one that does not.
-- @tparam ?table options
-- @tparam ?fake_redis redis the server of its back plane
function world.new(options, redis)
  local self = setmetatable({
    foreign = false, is_inside = {}, by_mark = setmetatable({}, { __mode = "v" }), has_advanced = false,
    port = false, listener = false, accepting = 0, closed = setmetatable({}, { __mode = "k" }), later = 0,
    redis = redis or false,
  }, world)
  local all = {
    port = "any", interf = "lo", protocols = { p = handler(self), c = websockets.coroutine(echo) },
    on_http = on_http(self),
  }
  for name, value in pairs(options or {}) do all[name] = value end
  if options and options.send_buffer_bytes then listen_narrowly(self, all) end
  self.plane = all.backplane or false
  self.context = websockets.context(all)
  self.port = self.port or self.context:get_port()
  inside.set_clock(self.context, function(clock)
    return function() return clock() + self.later end
  end)
  inside.watch_accept(self.context, self)
  -- Bound, so that no other program gets the port.
  self.bound = assert(socket.tcp4())
  assert(self.bound:bind("127.0.0.1", 0))
  self.nowhere = { port = tonumber((select(2, self.bound:getsockname()))), mark = "" }
  self.idle, self.beside = self:open(), self:open()
  return self
end

--- Lets time pass.
function world:advance(seconds)
  self.later, self.has_advanced = self.later + seconds, true
end

--- Serves until a condition holds.
-- @treturn boolean whether it did
function world:pump(condition)
  local until_time, rounds = socket.gettime() + PATIENCE_SECONDS, 0
  repeat
    if self.redis then self.redis:step() end
    local is_good, err = pcall(self.context.service, self.context, rounds > 20 and 1 or 0)
    if not is_good then return false, tostring(err) end
    if condition() then return true end
    rounds = rounds + 1
  until rounds > 50 and socket.gettime() > until_time
  return false
end

--- Connects a client, and has it accepted unless that is left for later.
function world:client(is_later)
  local connection = socket.tcp4()
  assert(connection:connect("127.0.0.1", self.port))
  connection:setoption("tcp-nodelay", true)
  local made = new_client(connection)
  local before = inside.connections(self.context)
  if not is_later then self:pump(function() return inside.connections(self.context) > before end) end
  return made
end

--- Opens a client's WebSocket.
function world:open()
  local made = self:client()
  made:send(made:request())
  if not self:pump(function() return made:has("\r\n\r\n") end) then return nil end
  return made
end

local function new_peer(listener)
  listener:settimeout(0)
  marks = marks + 1
  return setmetatable({
    listener = listener, port = math.floor(tonumber((select(2, listener:getsockname())))), host = "127.0.0.1",
    mark = ("<m%d>"):format(marks), bytes = "", ended = false, connection = false, is_peer = true, hole = false,
  }, peer)
end

--- Makes a server for a client of the context.
function world.peer() return new_peer(assert(socket.bind("127.0.0.1", 0))) end

--- Makes a server at the second address of localhost; at the first one everybody waits.
function world.peer_beside_hole()
  local made, hole = black_hole.before({ clients = {} }, function() return new_peer(assert(socket.bind("::1", 0))) end)
  made.hole, made.host = hole, "localhost"
  return made
end

--- Connects to a server.
function world:connect(to, options)
  local ws = self.context:connect(("ws://%s:%d/"):format(to.host or "127.0.0.1", to.port), options)
  if not ws then return end
  ws:on_receive(function(_, data)
    if data:sub(1, #to.mark) ~= to.mark then self.foreign = "FOREIGN to a client" end
    ws:write(data)
  end)
  return ws
end

--- Serves until a connection that is opened again is open, or has ended for good; then ends it.
function world:await_open(ws, to)
  local is_over = self:pump(function()
    if to.ended then to:drop() end
    to:answer()
    local result, why = ws:write("", websockets.WRITE_PONG)
    return result == 0 or why == "closed"
  end)
  if not is_over then self.foreign = "AWAY for ever" end
  ws:close(0)
end

--- Ends everything.
function world:close()
  pcall(self.context.destroy, self.context)
  if self.listener then self.listener:close() end
  if self.redis then self.redis:close() end
  self.bound:close()
  self.idle:close()
  self.beside:close()
end

return world
