--- One connection: the methods of `ws`.
-- @classmod websockets.websocket
local connection = require("websockets.connection.connection")
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local fields = require("websockets.http.fields")
local files = require("websockets.server.files")
local kinds = require("websockets.protocol.kinds")
local lifecycle = require("websockets.connection.lifecycle")
local load = require("websockets.loading").load
local outbox = require("websockets.connection.outbox")
local set_handler = require("websockets.waiting.receiver").set_handler
local request = require("websockets.request")
local response = require("websockets.server.response")
local topics = require("websockets.topics")
local waiting = require("websockets.waiting.methods")
local writing = require("websockets.writing")

local websocket = {}
websocket.__index = websocket

-- What a connection has until something else is set.
websocket.broadcast_mode = 1
websocket.blocked, websocket.fragment, websocket.held, websocket.idle_slot = false, false, false, false
websocket.answer, websocket.comeback, websocket.forwarded, websocket.hears_on = false, false, false, false
websocket.receiver = false

local TEXT, BINARY, OPCODES = kinds.TEXT, kinds.BINARY, kinds.OPCODES
local MAX_CONTROL_BYTES = 125

-- Nearly every call comes from a callback: then a turn is going on.
local function within(context, work, ...)
  if context.busy then return work(...) end
  return entry.within(context, work, ...)
end

local function bytes_argument(self, name, value)
  if type(value) == "string" or type(value) == "number" then return tostring(value) end
  errors.check_object(self, "state", "websocket:" .. name, 4)
  errors.argument(1, name, "string or number", value, 4)
end

--- Sends a message. It is queued and leaves at the end of the turn; it never blocks.
-- @tparam string|number data the payload; text must be UTF-8
-- @tparam[opt=WRITE_TEXT] integer kind one of the `WRITE_*` numbers; added to it `WRITE_NO_FIN` for a fragment,
-- `WRITE_NO_COMPRESSION` for a message to be sent as it is
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `away` (no connection at the moment, and no room to wait), `closed`, `closing`, `full`, `utf8`,
-- `fragment`, `type`, or `entropy` (no random bytes for a mask)
-- @raise for a payload that is no string or number, or a control frame of more than 125 bytes
-- @rfc 6455 5.4, 5.6
function websocket:write(data, kind)
  -- Nearly every write is a whole message inside a turn, on a connection with nothing special.
  local wire = self.fast
  if wire then
    local context = self.context
    if context.write_fast(wire, data, kind) then return 0 end
    local write = context.busy and context.write_other
    if write and write(wire, data, kind) then return 0 end
  end
  if type(data) ~= "string" then data = bytes_argument(self, "write", data) end
  if kind ~= nil and type(kind) ~= "number" then errors.argument(2, "write", "WRITE_ number", kind) end
  local result, why
  entry.begin(self.context)
  if kind == nil or kind == TEXT or kind == BINARY then
    result, why = outbox.send(self, OPCODES[kind or TEXT], data, true)
  else
    result, why = writing.other(self, data, kind)
  end
  entry.settle(self.context)
  return result, why
end

--- Sends a ping; the answer comes to `on_pong`.
-- @tparam[opt=""] string data at most 125 bytes
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `away`, `closed`, `closing`, `entropy`, `full` or `type`, as for `write`
-- @raise for more than 125 bytes
-- @rfc 6455 5.5.2
function websocket:ping(data)
  errors.check_object(self, "state", "websocket:ping")
  data = data == nil and "" or bytes_argument(self, "ping", data)
  if #data > MAX_CONTROL_BYTES then errors.argument(1, "ping", "at most 125 bytes", data, 3, #data .. " bytes") end
  entry.begin(self.context)
  local result, why = outbox.send_control(self, OPCODES[kinds.PING], data)
  entry.settle(self.context)
  return result, why
end

--- Broadcasts to all open connections of this one's subprotocol, itself included.
-- @tparam string|number data
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `utf8`, or `type` in the HTTP phase and for a connection that this side opened
function websocket:broadcast(data)
  data = bytes_argument(self, "broadcast", data)
  local list = self.list
  if not list then return -1, "type" end
  return within(self.context, list.group.broadcast, list.group, data)
end

-- What they do is told in `websockets.topics`.
websocket.subscribe, websocket.unsubscribe, websocket.topics = topics.subscribe, topics.unsubscribe, topics.topics
websocket.publish = topics.publish_others

--- Sets the function that is called with each message.
-- @tparam function fn `fn(ws, data, type)`; type is `WRITE_TEXT` or `WRITE_BINARY`
-- @treturn nil
function websocket:on_receive(fn)
  set_handler(self, "on_receive", "receive_handler", fn)
end

--- Sets the function that is called when a connection that this side opened is open.
-- @tparam function fn `fn(ws, again)`: `again` is true where it has been open before, with the option `reconnect`
-- @treturn nil
function websocket:on_open(fn)
  set_handler(self, "on_open", "open_handler", fn)
end

--- Sets the function that is called each time when a connection has ended and is opened again, before the wait.
-- @tparam function fn `fn(ws, delay, why, code, reason)`: seconds until the next try; the rest as for `on_closed`
-- @treturn nil
function websocket:on_reconnect(fn)
  set_handler(self, "on_reconnect", "reconnect_handler", fn)
end

--- Sets the function that is called once when the connection has ended, whatever the reason.
-- @tparam function fn `fn(ws, code, reason, clean, why)`: 1005 where the peer gave no code, 1006 where the connection
-- broke; `clean` tells whether both close frames were exchanged; `why` is a word of `websockets.errors`
-- @treturn nil
-- @rfc 6455 7.1.5
function websocket:on_closed(fn)
  set_handler(self, "on_closed", "closed_handler", fn)
end

--- Sets what a broadcast does with this connection.
-- @tparam function|integer mode `fn(ws, data)`, or `WRITE_TEXT` (the default) or `WRITE_BINARY` to have it sent
-- @treturn nil
-- @raise `websocket on_broadcast value not supported: ` and what was given
function websocket:on_broadcast(mode)
  if mode == TEXT or mode == BINARY then
    mode = OPCODES[mode]
  elseif type(mode) ~= "function" then
    errors.check_object(self, "state", "websocket:on_broadcast")
    error("websocket on_broadcast value not supported: " .. errors.describe(mode), 2)
  end
  self.broadcast_mode = mode
  lifecycle.refresh(self)
end

--- Sets the function that is called when a queue that the socket could not take is empty again.
-- @tparam function fn `fn(ws)`
-- @treturn nil
function websocket:on_drain(fn)
  set_handler(self, "on_drain", "drain_handler", fn)
end

--- The name that `on_drain` had in 2012.
-- @function websocket:on_server_writeable
-- @tparam function fn
websocket.on_server_writeable = websocket.on_drain

--- Sets the function that is called with each pong.
-- @tparam function fn `fn(ws, data)`
-- @treturn nil
-- @rfc 6455 5.5.3
function websocket:on_pong(fn)
  set_handler(self, "on_pong", "pong_handler", fn)
end

--- Ends the connection.
-- @tparam[opt] integer code 1000-1003, 1007-1014 or 3000-4999; none: a frame without code; 0: at once, without a frame
-- @tparam[opt] string reason at most 123 bytes of UTF-8
-- @treturn nil
-- @raise for a code that may not be sent, or a reason that is not UTF-8 or too long
-- @rfc 6455 7.1.2, 7.4
function websocket:close(code, reason)
  errors.check_object(self, "state", "websocket:close")
  if code == nil then
    if reason ~= nil then errors.argument(1, "close", "close code before a reason", code) end
  elseif code ~= 0 then
    writing.check_close(self, code, reason, "close", 4)
  end
  within(self.context, connection.close, self, code, reason)
end

--- Gives the request that is to be answered, or the one that opened the WebSocket. It is read when first asked for.
-- @treturn ?request nil between two requests
function websocket:request() return request.of(self) end

--- Gives what the server answered to the opening handshake of a connection that this side opens: its 101, or its
-- refusal.
-- @treturn[1] integer status
-- @treturn[1] table headers: lower-case name -> value, repeated ones joined
-- @treturn[1] string body of a refusal, at most its first 64 KiB
-- @treturn[1] {{string,string},...} all headers as pairs of lower-case name and value, in their order
-- @treturn[2] nil no answer has come, or this is a connection to this server
function websocket:response()
  errors.check_object(self, "state", "websocket:response")
  return load("websockets.client.response").of(self)
end

--- Answers an HTTP request with a file, in pieces as the socket takes them. Only inside `on_http`.
-- @tparam string path of the file, as for `io.open`
-- @tparam[opt] string content_type for Content-Type; guessed by the name when left out
-- @treturn[1] integer 0: the file, a part of it, or that it has not changed
-- @treturn[2] integer -1: a 404, 405, 412, 416 or 503 has been sent, or this is not inside `on_http`
-- @treturn[2] string why
function websocket:serve_http_file(path, content_type)
  if type(path) ~= "string" then errors.argument(1, "serve_http_file", "path", path) end
  if content_type ~= nil and (type(content_type) ~= "string" or not fields.is_value(content_type)) then
    errors.argument(2, "serve_http_file", "content type without control characters", content_type)
  end
  return within(self.context, files.serve, self, path, content_type)
end

--- Answers an HTTP request, in `on_http` or later.
-- @tparam integer status 200 to 599
-- @tparam[opt] table headers name -> value or list of values
-- @tparam[opt=""] string body
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, or `type`: no request waits for an answer
-- @raise for a status, header or body that cannot be sent
function websocket:respond(status, headers, body)
  if type(status) ~= "number" or status % 1 ~= 0 or status < 200 or status > 599 then
    errors.argument(1, "respond", "status 200 to 599", status)
  end
  fields.check(headers, "respond", 2)
  if type(body) == "number" then body = tostring(body) end
  if body ~= nil and type(body) ~= "string" then errors.argument(3, "respond", "string or number", body) end
  return within(self.context, response.respond, self, status, headers, body or "")
end

--- Names the descriptor.
-- @treturn integer -1 once it is closed
function websocket:get_socket_fd() return self.fd end

--- Names the peer, without asking DNS.
-- @treturn string name: the IP address
-- @treturn string IP address; both are "unix" for a unix socket, and "" where the peer is not known (any more)
function websocket:get_peer_addresses()
  local ip = connection.client(self)
  return ip, ip
end

--- Tells about the TLS of this connection.
-- @treturn ?table `protocol`, `cipher`, `bits`, `server_name`, `alpn`, `certificate` (the peer's), `verified`; see
-- `websockets.transport.tls_facts`. nil without TLS, before its handshake is done, and once the descriptor is closed
function websocket:tls()
  errors.check_object(self, "state", "websocket:tls")
  local transport = self.wire.transport
  local facts = transport and transport.facts
  return facts and facts(transport) or nil
end

--- Stops or goes on reading from the peer.
-- @tparam boolean|integer on true or 1: read; false or 0: stop. Messages that are here already wait
-- @treturn integer 0, or 1 when the connection is not open
function websocket:rx_flow_control(on)
  if on ~= true and on ~= false and on ~= 1 and on ~= 0 then
    errors.argument(1, "rx_flow_control", "boolean, 0 or 1", on)
  end
  if self.state ~= "open" then return 1 end
  within(self.context, lifecycle.pause, self, on == false or on == 0)
  return 0
end

--- Tells how much of the current message is still to come: nothing, for whole messages are delivered.
-- @treturn integer 0
function websocket.remaining_packet_payload() return 0 end

--- Tells how much waits to be sent.
-- @treturn integer bytes
function websocket:buffered()
  local fragment, subscriptions = self.fragment, self.context.subscriptions
  return self.wire:buffered() + (fragment and fragment.held_bytes or 0)
    + (self.comeback and self.comeback.queued_bytes or 0) + (subscriptions and subscriptions.backlog:size(self) or 0)
end

--- Names the subprotocol.
-- @treturn ?string nil without one
function websocket:get_protocol()
  local list = self.list
  if list then return list.group.name end
  return self.subprotocol
end

-- What they do is told in `websockets.waiting.methods`.
websocket.receive, websocket.messages, websocket.wait_open = waiting.receive, waiting.messages, waiting.wait_open

function websocket:__tostring()
  return "websocket " .. errors.address(self)
end

return websocket
