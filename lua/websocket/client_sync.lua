--- The client of the API of 2.x that waits: `websocket.client.sync` and `websocket.client.new`.
-- @module websocket.client_sync
local blocking = require("websocket.blocking")
local dialling = require("websocket.dialling")
local sync = require("websocket.sync")
local websockets = require("websockets")

-- For programs that set `sock` and `state` by themselves.
local function sock_connect(self, host, port)
  local sock, why = require("socket").connect(host, port)
  if not sock then return nil, why end
  sock:settimeout(self.timeout)
  self.sock = sock
end

local function sock_send(self, ...) return self.sock:send(...) end

local function sock_receive(self, ...) return self.sock:receive(...) end

local function sock_close(self)
  if self.sock then self.sock:close() end
end

local function connect(self, url, protocols, params)
  if self.state ~= "CLOSED" then return nil, "wrong state" end
  local scheme, why, port = dialling.place(url)
  if not scheme then return nil, why end
  local is_good, ws, message, code, _, headers = pcall(websockets.connect, url, {
    protocols = dialling.protocols(protocols), tls = dialling.tls(params), timeout = dialling.timeout(self.timeout),
  })
  if not is_good then error(ws, 2) end
  if not ws then return nil, dialling.message(message, code), headers end
  local link = blocking.new(ws, self.timeout, port)
  self.sock = link.sock
  sync.open(self, link)
  _, headers = ws:response()
  return true, ws:get_protocol(), headers
end

--- Makes a client.
-- @tparam[opt] table options `timeout`: seconds that `connect` and `receive` wait
-- @treturn table client: `connect(url, protocols, params)`, `send(message, opcode)`, `receive()`, `close(code, reason)`
-- and the fields `state`, `sock`
return function(options)
  local client = sync.extend({
    sock_connect = sock_connect, sock_send = sock_send, sock_receive = sock_receive, sock_close = sock_close,
    timeout = options and options.timeout,
  })
  client.connect = connect
  return client
end
