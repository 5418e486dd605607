--- The client of the API of 2.x under copas: `websocket.client.copas`. Its methods suspend their thread and nothing
-- else.
-- @module websocket.client_copas
local dialling = require("websocket.dialling")
local socket_of = require("websocket.socket")
local sync = require("websocket.sync")
local threaded = require("websocket.threaded")
local websockets = require("websockets")

local function connect(self, url, protocols, params)
  if self.state ~= "CLOSED" then return nil, "wrong state" end
  local scheme, why, port = dialling.place(url)
  if not scheme then return nil, why end
  local context = websockets.context{}
  require("websockets.loop.copas").attach(context)
  local is_good, ws, message, code = pcall(context.connect, context, url, {
    protocols = dialling.protocols(protocols), tls = dialling.tls(params), timeout = dialling.timeout(self.timeout),
  })
  if not is_good or not ws then context:destroy() end
  if not is_good then error(ws, 2) end
  if not ws then return nil, dialling.message(message, code) end
  local link = threaded.new(context, ws, self.timeout, function() context:destroy() end)
  local is_open = link:await_open()
  local _, headers = ws:response()
  if not is_open then return nil, dialling.message(link.outcome[3], link.outcome[4]), headers end
  self.sock = socket_of.new(ws, { port = port })
  sync.open(self, link)
  return true, ws:get_protocol(), headers
end

-- For programs that set `sock` and `state` by themselves.
local function sock_connect(self, host, port)
  self.sock = require("socket").tcp()
  local is_connected, why = require("copas").connect(self.sock, host, port)
  if not is_connected then return nil, why end
end

local function sock_send(self, ...) return require("copas").send(self.sock, ...) end

local function sock_receive(self, ...) return require("copas").receive(self.sock, ...) end

local function sock_close(self)
  if self.sock then self.sock:close() end
end

--- Makes a client.
-- @tparam[opt] table options `timeout`: seconds that `connect` and `receive` wait
-- @treturn table client: as `websocket.client_sync`
return function(options)
  local client = sync.extend({
    sock_connect = sock_connect, sock_send = sock_send, sock_receive = sock_receive, sock_close = sock_close,
    timeout = options and options.timeout,
  })
  client.connect = connect
  return client
end
