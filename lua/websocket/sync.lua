--- The methods of connections in the API of 2.x that wait for their result. `extend` adds them to an object that has
-- functions to send and receive bytes.
-- `websocket.client_sync`, `websocket.client_copas` and `websocket.server_copas` are made of the same methods.
-- @module websocket.sync
local codec = require("websockets.codec")
local dialling = require("websocket.dialling")
local handshake = require("websocket.handshake")
local raw = require("websocket.raw")

local sync = {}

local TEXT, NORMAL, ABNORMAL, NOT_UTF8 = codec.TEXT, 1000, 1006, 1007
local WRONG_STATE = "wrong state"
local MAX_HEAD_LINES = 256

-- What carries the messages of an open connection. A program may set `sock`, `state` and `is_server` by itself.
local function link_of(self)
  local link = rawget(self, "link") or raw.new(self)
  self.link = link
  return link
end

-- The connection has ended. Its results follow.
local function ended(self, ...)
  if self.state ~= "CLOSED" then
    self.state, self.is_closing, self.link = "CLOSED", nil, nil
    if self.on_close then self:on_close() end
  end
  return ...
end

local function receive(self)
  if self.state ~= "OPEN" then return nil, nil, false, ABNORMAL, WRONG_STATE end
  local data, second, clean, code, reason = link_of(self):receive()
  if data then return data, second end
  if second then ended(self) end
  return nil, nil, clean, code, reason ~= "" and reason or "closed"
end

local function send(self, data, opcode)
  if self.state ~= "OPEN" then return nil, false, ABNORMAL, WRONG_STATE end
  if type(data) ~= "string" and type(data) ~= "number" then
    error(("bad argument #1 to 'send' (string expected, got %s)"):format(type(data)), 2)
  end
  local is_sent, is_over, why = link_of(self):send(tostring(data), opcode or TEXT)
  if is_sent then return true end
  if is_over then ended(self) end
  return nil, false, why == "utf8" and NOT_UTF8 or ABNORMAL, why
end

--- Chooses what a close frame carries: what may not be sent is left out.
-- @tparam ?integer code 1000 for none
-- @tparam ?string reason
-- @treturn ?integer
-- @treturn ?string
function sync.close_arguments(code, reason)
  code = code or NORMAL
  if not codec.may_close(code) then return nil end
  return code, reason ~= nil and codec.may_close(code, tostring(reason)) and tostring(reason) or nil
end

local function close(self, code, reason)
  if self.state ~= "OPEN" or self.is_closing then return false, ABNORMAL, WRONG_STATE end
  self.is_closing = true
  local link = link_of(self)
  return ended(self, link:close(sync.close_arguments(code, reason)))
end

-- LuaSec over the socket of an object. How much is verified is for the parameters to say.
local function secure(self, host, params)
  if type(params) ~= "table" then return nil, "wss needs the parameters of LuaSec" end
  local found, ssl = pcall(require, "ssl")
  if not found then return nil, "wss needs LuaSec (luarocks install luasec)" end
  local wrapped, why = ssl.wrap(self.sock, params)
  if not wrapped then return nil, why end
  if not host:find("^%[") and not host:find("^[%d.]+$") then wrapped:sni(host) end
  local is_done
  is_done, why = wrapped:dohandshake()
  if not is_done then return nil, why end
  self.sock = wrapped
  return true
end

-- Reads the head of the answer line by line, as the functions of an object can.
local function read_head(self)
  local lines = {}
  repeat
    local line, why = self:sock_receive("*l")
    if not line then return nil, why or "closed" end
    lines[#lines + 1] = line
  until line == "" or #lines > MAX_HEAD_LINES
  return table.concat(lines, "\r\n") .. "\r\n"
end

local function shake_hands(self, request)
  local bytes = handshake.upgrade_request(request)
  local count, why = self:sock_send(bytes)
  if count ~= #bytes then return nil, why or "closed" end
  local head
  head, why = read_head(self)
  if not head then return nil, why end
  local headers, message, _, refused = codec.check_answer(head, request.key, request.protocols)
  if not headers then return nil, message, refused end
  self.state = "OPEN"
  return true, headers["sec-websocket-protocol"], headers
end

local function connect(self, url, protocols, params)
  if self.state ~= "CLOSED" then return nil, WRONG_STATE end
  local scheme, host, port, target = dialling.place(url)
  if not scheme then return nil, host end
  local key, why = codec.key()
  if not key then return nil, why end
  why = select(2, self:sock_connect(host:match("^%[(.*)%]$") or host, port))
  if why then return nil, why end
  local is_secure = true
  if scheme == "wss" then
    is_secure, why = secure(self, host, params)
    port = port ~= 443 and port or nil
  end
  local is_open, name, headers = is_secure, why, nil
  if is_secure then
    is_open, name, headers = shake_hands(self, {
      key = key, host = host, port = port, uri = target, protocols = dialling.protocols(protocols),
    })
  end
  if not is_open then self:sock_close() end
  return is_open, name, headers
end

local METHODS = { receive = receive, send = send, close = close, connect = connect }
local NEEDED = { "sock_send", "sock_receive", "sock_close" }

--- Gives an object the methods `receive`, `send`, `close` and `connect`.
-- @tparam table object `sock_send(self, bytes)` returns how many bytes were sent, or nil and why;
-- `sock_receive(self, count)` exactly so many bytes, or nil, why and what has come; `sock_close(self)`; for clients
-- `sock_connect(self, host, port)`, and nil and why where that fails. `sock_receive(self, "*l")` reads a line.
-- `is_server` and `state` may be set
-- @treturn table the object
-- @raise where one of the functions is missing, or a method is there already
function sync.extend(object)
  for _, name in ipairs(NEEDED) do
    if not object[name] then error("websocket.sync.extend: the object has no " .. name, 2) end
  end
  if not object.is_server and not object.sock_connect then
    error("websocket.sync.extend: the object of a client has no sock_connect", 2)
  end
  for name, method in pairs(METHODS) do
    if object[name] ~= nil then error(("websocket.sync.extend: the object has '%s' already"):format(name), 2) end
    object[name] = method
  end
  object.state = object.state or "CLOSED"
  return object
end

--- Makes an open connection of an object, over a link of another module.
-- @tparam table object
-- @tparam table link `receive`, `send`, `close` as those of `websocket.raw`
function sync.open(object, link)
  object.link, object.state = link, "OPEN"
end

require("websockets.loading").interpret(sync.extend)

return sync
