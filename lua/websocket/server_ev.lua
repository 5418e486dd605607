--- The server of the API of 2.x under lua-ev: `websocket.server.ev.listen`.
-- @module websocket.server_ev
local accepting = require("websocket.accepting")
local eventful = require("websocket.eventful")
local socket_of = require("websocket.socket")

local server_ev = {}

-- When the process has no descriptor left.
local REST_SECONDS = 1

local connection = setmetatable({}, { __index = eventful })
connection.__index = connection
connection.post, connection.leave = eventful.send, eventful.close

--- Sends to all open connections of the same protocol, the sender last.
-- @tparam string message
-- @tparam[opt=TEXT] integer opcode
function connection:broadcast(message, opcode)
  self.server:broadcast(self.protocol, self, message, opcode)
end

--- Does nothing: 2.x begins to read by this.
function connection.start() end

local function opened(base, ws, arrival, protocol, handler)
  local self = eventful.init(setmetatable({}, connection))
  self.server, self.context, self.protocol, self.sock = base, base.context, protocol, socket_of.new(ws, arrival)
  base:add(protocol, self)
  ws:on_closed(function(_, ...)
    base:remove(protocol, self)
    eventful.ended(self, ...)
  end)
  eventful.listen(self, ws)
  handler(self)
end

-- Accepts until nobody waits. Where accepting itself fails, listening rests.
local function accept(base, ev, loop, watcher)
  local sock, why = base.listener:accept()
  while sock do
    base:take(sock)
    if base.is_closed then return end
    sock, why = base.listener:accept()
  end
  if why == "timeout" then return end
  watcher:stop(loop)
  local timer = ev.Timer.new(function(_, timer)
    timer:stop(loop)
    if not base.is_closed then watcher:start(loop) end
  end, REST_SECONDS)
  timer:start(loop)
end

local function new_server(base, watcher, loop)
  local server = {}

  -- Sets the function that hears of opening handshakes that failed: `fn(server, err)`.
  function server.on_error(_, fn) base.tell = fn end

  -- Gives the listening LuaSocket object.
  function server.sock() return base.listener end

  -- Ends listening, and closes the connections unless they are to be kept.
  function server.close(first, keeps_clients)
    if first ~= server then keeps_clients = first end
    if not base.is_closed then watcher:stop(loop) end
    base:close(keeps_clients)
  end

  return server
end

--- Listens.
-- @tparam table options `port` (80), `interface` (`"*"`), `protocols` (name -> `fn(ws)`), `default` (`fn(ws)` for other
-- clients), `loop` (lua-ev's default loop)
-- @treturn table server: `on_error(fn)`, `sock()`, `close(keep_clients)`
-- @raise without handlers; where the port cannot be had
function server_ev.listen(options)
  local ev = require("ev")
  local server
  local base = accepting.listen(options, opened, function(base, message)
    if base.tell then return base.tell(server, message) end
    print(message)
  end)
  local loop = options.loop or ev.Loop.default
  require("websockets.loop.ev").attach(base.context, loop)
  local watcher = ev.IO.new(function(_, watcher) accept(base, ev, loop, watcher) end, base.listener:getfd(), ev.READ)
  watcher:start(loop)
  server = new_server(base, watcher, loop)
  return server
end

return server_ev
