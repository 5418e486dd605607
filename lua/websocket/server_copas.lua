--- The server of the API of 2.x under copas: `websocket.server.copas.listen`.
-- @module websocket.server_copas
local accepting = require("websocket.accepting")
local socket_of = require("websocket.socket")
local sync = require("websocket.sync")
local threaded = require("websocket.threaded")
local waiting = require("websocket.waiting")

local server_copas = {}

local TEXT = 1
local CALLBACK_FAILED = 1011
-- When the process has no descriptor left.
local REST_SECONDS = 1
local CLOSE_SECONDS = 10

-- What copas has of a connection. It closes it when the thread ends; the connection goes on.
local visitor = { settimeout = function() return 1 end, close = function() return 1 end }
visitor.__index = visitor
function visitor.__tostring() return "tcp{client}: websocket" end

local connection = {}

--- Sends to all open connections of the same protocol, the sender last.
-- @tparam string message
-- @tparam[opt=TEXT] integer opcode
function connection:broadcast(message, opcode)
  self.server:broadcast(self.protocol, self, message, opcode)
end

--- Sends without waiting, for the broadcast of another connection.
-- @tparam string message
-- @tparam[opt=TEXT] integer opcode
function connection:post(message, opcode)
  if self.link then self.link:post(tostring(message), opcode or TEXT) end
end

--- Takes note that nobody receives any more, and that the connection has ended.
function connection:finish()
  while self:receive() do end
end

--- Begins to close, for a server that ends.
function connection:leave()
  if self.link then self.link.ws:close(sync.close_arguments()) end
end

local function not_for_servers() error("websocket: this connection is open already", 2) end

local function sock_close(self) self.sock:close() end

local function opened(base, ws, arrival, protocol, handler)
  local self = sync.extend({
    is_server = true, sock = socket_of.new(ws, arrival), server = base, protocol = protocol,
    sock_send = not_for_servers, sock_receive = not_for_servers, sock_close = sock_close,
  })
  self.connect = nil
  for name, method in pairs(connection) do self[name] = method end
  sync.open(self, threaded.new(base.context, ws, nil, function()
    base:remove(protocol, self)
    if self.is_left then self:finish() end
  end))
  base:add(protocol, self)
  arrival.connection, arrival.handler = self, handler
end

-- Errors of a handler go where copas sends those of its threads; the connection is closed.
local function watch_errors(copas, self)
  local set = copas.seterrorhandler or copas.setErrorHandler
  local before = copas.geterrorhandler and copas.geterrorhandler()
  set(function(err, thread, ...)
    if self.link then self.link.ws:close(CALLBACK_FAILED) end
    if before then return before(err, thread, ...) end
    print(debug.traceback(thread, tostring(err)))
  end)
end

-- The thread of a connection, from accepting it.
local function serve(copas, base, guest)
  local ws, arrival = base:take(guest.sock)
  if not ws then return end
  waiting.wait(base.context, function() return arrival.connection ~= nil or ws:get_socket_fd() < 0 end)
  local self = arrival.connection
  if not self then return end
  watch_errors(copas, self)
  arrival.handler(self)
  self.is_left = true
  if self.link and self.link.outcome then self:finish() end
end

-- What copas has of the listener: programs ask it for its name, and `select` for its descriptor.
local function new_port(base)
  local listener, is_resting = base.listener, false
  -- Now: when it is needed there may be none left.
  waiting.spare_fd()
  local port = {}
  function port.getfd() return (is_resting or base.is_closed) and waiting.spare_fd() or listener:getfd() end
  function port.dirty() return false end
  function port.settimeout() return 1 end
  function port.close()
    listener:close()
    return 1
  end
  function port.getsockname() return listener:getsockname() end
  function port.accept()
    if base.is_closed then return nil, "closed" end
    local sock, why = listener:accept()
    if sock then return setmetatable({ sock = sock }, visitor) end
    if why ~= "timeout" then
      is_resting = true
      base.context:after(REST_SECONDS, function() is_resting = false end)
    end
    return nil, why
  end
  return setmetatable(port, { __tostring = function() return (tostring(listener):gsub("tcp{%a+}", "tcp{server}")) end })
end

local function close(base, copas, port, keeps_clients)
  if base.is_closed then return end
  base:close(keeps_clients)
  if copas.removeserver then copas.removeserver(port) end
  if keeps_clients or not waiting.can_wait() then return end
  waiting.wait(base.context, function() return base.count == 0 end, base.count > 0 and CLOSE_SECONDS or nil)
end

--- Listens. Handlers are called in threads of copas.
-- @tparam table options `port` (80), `interface` (`"*"`), `protocols` (name -> `fn(ws)`), `default` (`fn(ws)` for other
-- clients), `on_error` (`fn(err)`: an opening handshake has failed)
-- @treturn table server: `close(keep_clients)`
-- @raise without handlers; where the port cannot be had
function server_copas.listen(options)
  local copas = require("copas")
  local base = accepting.listen(options, opened, function(_, message)
    local on_error = options.on_error or print
    on_error(message)
  end)
  require("websockets.loop.copas").attach(base.context)
  local port = new_port(base)
  copas.addserver(port, function(guest) serve(copas, base, guest) end)
  local server = {}

  -- Ends listening, and closes the connections unless they are to be kept.
  function server.close(first, keeps_clients)
    if first ~= server then keeps_clients = first end
    close(base, copas, port, keeps_clients)
  end

  return server
end

require("websockets.loading").interpret(opened)

return server_copas
