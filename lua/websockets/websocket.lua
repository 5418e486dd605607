--- What the application can do with one connection: the methods of `ws`.
-- @classmod websockets.websocket
local answering = require("websockets.answering")
local connection = require("websockets.connection")
local descriptor = require("websockets.descriptor")
local ending = require("websockets.ending")
local errors = require("websockets.errors")
local response = require("websockets.response")
local session = require("websockets.session")
local turn = require("websockets.turn")

local websocket = {}
websocket.__index = websocket

-- What a connection has as long as nobody says otherwise.
websocket.broadcast_mode = 1
websocket.blocked, websocket.fragment, websocket.held, websocket.idle_slot = false, false, false, false

local WRITE_TEXT, WRITE_BINARY, WRITE_CONTINUATION, WRITE_HTTP = 0, 1, 2, 3
local WRITE_CLOSE, WRITE_PING, WRITE_PONG = 4, 5, 6
local NO_FIN, IGNORE_MASK, NO_COMPRESSION = 0x40, 0x80, 0x100
local MAX_CONTROL_BYTES = 125

local OPCODES = {
  [WRITE_TEXT] = 1, [WRITE_BINARY] = 2, [WRITE_CONTINUATION] = 0, [WRITE_PING] = 9, [WRITE_PONG] = 10,
}

-- Inside a turn everything is sent at its end; outside of one, now.
local function settle(ws)
  if not ws.context.busy then turn.settle(ws.context) end
end

local function bytes_argument(position, name, value)
  if type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  errors.argument(position, name, "string", value, 4)
end

local function function_argument(name, value)
  if type(value) ~= "function" then errors.argument(1, name, "function", value, 4) end
  return value
end

local function send_data(ws, opcode, data, fin, plain)
  local result, why = session.send(ws, opcode, data, fin, plain)
  -- Broadcasts to a connection in the middle of a fragmented message go their own way.
  if ws.state == "open" and ws.slot then ws.list.group:join(ws) end
  settle(ws)
  return result, why
end

-- RFC 6455 7.4.2: the codes that an application may send.
local function check_close(ws, code, reason, name, level)
  local is_known = type(code) == "number" and code % 1 == 0
    and ((code >= 1000 and code <= 1003) or (code >= 1007 and code <= 1014) or (code >= 3000 and code <= 4999))
  if not is_known then errors.argument(1, name, "close code 1000-1003, 1007-1014 or 3000-4999", code, level) end
  if reason ~= nil and (type(reason) ~= "string" or #reason > MAX_CONTROL_BYTES - 2
    or not ws.context.engine.valid_utf8(reason)) then
    errors.argument(2, name, "at most 123 bytes of UTF-8", reason, level)
  end
end

-- Everything but a whole text or binary message.
local function write_other(ws, data, kind)
  local plain = kind >= NO_COMPRESSION
  if plain then kind = kind - NO_COMPRESSION end
  if kind >= IGNORE_MASK then kind = kind - IGNORE_MASK end
  local fin = kind < NO_FIN
  if not fin then kind = kind - NO_FIN end
  local opcode = OPCODES[kind]
  if kind <= WRITE_CONTINUATION and opcode then return send_data(ws, opcode, data, fin, plain) end
  if not fin then return -1, "type" end
  local result, why = -1, "type"
  if kind == WRITE_HTTP then
    result, why = response.respond_raw(ws, data)
  elseif opcode then
    if #data > MAX_CONTROL_BYTES then errors.argument(1, "write", "at most 125 bytes in a control frame", #data, 4) end
    result, why = session.send_control(ws, opcode, data)
  elseif kind == WRITE_CLOSE then
    if ws.state == "http" then return -1, "type" end
    if ws.state ~= "open" then return -1, ws.state == "closed" and "closed" or "closing" end
    local code, reason = data:byte(1), data:sub(3)
    if code then
      code = code * 256 + (data:byte(2) or 0)
      check_close(ws, code, reason, "write", 5)
    end
    connection.close(ws, code, reason)
    result, why = 0, nil
  end
  settle(ws)
  return result, why
end

--- Sends a message. It is queued and leaves at the end of the turn; it never blocks.
-- @tparam string|number data the payload; text must be UTF-8
-- @tparam[opt=WRITE_TEXT] integer kind one of the `WRITE_*` numbers; added to it `WRITE_NO_FIN` for a fragment,
-- `WRITE_NO_COMPRESSION` for a message to be sent as it is
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, `closing`, `full`, `utf8`, `fragment`, `type`, or `entropy` (a client without random
-- bytes for its mask)
-- @raise for a payload that is no string or number, or a control frame of more than 125 bytes
-- @rfc 6455 5.4, 5.6
function websocket:write(data, kind)
  -- Nearly every write is a whole message on a connection without anything special; the rest looks closer.
  local wire = self.plain
  if wire then
    local opcode = (kind == 0 or kind == nil) and 1 or kind == 1 and 2
    local context = self.context
    if opcode and context.push(wire, opcode, data) then
      if not context.busy then turn.settle(context) end
      return 0
    end
  end
  if type(data) ~= "string" then data = bytes_argument(1, "write", data) end
  if kind == nil then
    kind = WRITE_TEXT
  elseif type(kind) ~= "number" then
    errors.argument(2, "write", "WRITE_ number", kind)
  end
  if kind ~= WRITE_TEXT and kind ~= WRITE_BINARY then
    -- No tail call: the level of an error counts this function.
    local result, why = write_other(self, data, kind)
    return result, why
  end
  local result, why = session.send(self, kind + 1, data, true)
  if not self.context.busy then turn.settle(self.context) end
  return result, why
end

--- Sets what is called with each message.
-- @tparam function fn `fn(ws, data, type)`; type is `WRITE_TEXT` or `WRITE_BINARY`
-- @treturn nil
function websocket:on_receive(fn)
  self.receive_handler = function_argument("on_receive", fn)
end

--- Sets what is called once when a connection that this side opened is open.
-- @tparam function fn `fn(ws)`
-- @treturn nil
function websocket:on_open(fn)
  self.open_handler = function_argument("on_open", fn)
end

--- Sets what is called once when the connection has ended, however it did.
-- @tparam function fn `fn(ws, code, reason, clean, why)`: 1005 where the peer gave no code, 1006 where the connection
-- broke; `clean` tells whether both close frames were exchanged; `why` is a word of `websockets.errors`
-- @treturn nil
-- @rfc 6455 7.1.5
function websocket:on_closed(fn)
  self.closed_handler = function_argument("on_closed", fn)
end

--- Sets what a broadcast does here.
-- @tparam function|integer mode `fn(ws, data)`, or `WRITE_TEXT` (the default) or `WRITE_BINARY` to have it sent
-- @treturn nil
-- @raise `websocket on_broadcast value not supported`
function websocket:on_broadcast(mode)
  if mode == WRITE_TEXT or mode == WRITE_BINARY then
    mode = mode + 1
  elseif type(mode) ~= "function" then
    error("websocket on_broadcast value not supported", 2)
  end
  self.broadcast_mode = mode
  if self.slot then self.list.group:join(self) end
end

--- Sets what is called when a queue that the socket could not take is empty again.
-- @tparam function fn `fn(ws)`
-- @treturn nil
function websocket:on_drain(fn)
  self.drain_handler = function_argument("on_drain", fn)
end

--- The name that `on_drain` had in 2012.
-- @function websocket:on_server_writeable
-- @tparam function fn `fn(ws)`
-- @treturn nil
websocket.on_server_writeable = websocket.on_drain

--- Sets what is called with each pong.
-- @tparam function fn `fn(ws, data)`
-- @treturn nil
-- @rfc 6455 5.5.3
function websocket:on_pong(fn)
  self.pong_handler = function_argument("on_pong", fn)
end

--- Broadcasts to all open connections of this one's subprotocol, itself included.
-- @tparam string|number data
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `utf8`, or `type` in the HTTP phase
function websocket:broadcast(data)
  data = bytes_argument(1, "broadcast", data)
  local list = self.list
  if not list then return -1, "type" end
  return turn.within(self.context, list.group.broadcast, list.group, data)
end

local function close(ws, code, reason)
  if code == 0 then
    -- What was written before was accepted: it leaves as far as the socket takes it.
    if ws.state ~= "closed" then ws.wire:flush() end
    ending.abort(ws, "closed")
  elseif ws.state == "http" then
    ending.finish(ws)
  else
    connection.close(ws, code, reason)
  end
end

--- Ends the connection.
-- @tparam[opt] integer code none: a close frame without code; 0: at once, without a frame; else 1000-1003, 1007-1014
-- or 3000-4999
-- @tparam[opt] string reason at most 123 bytes of UTF-8
-- @treturn nil
-- @rfc 6455 7.1.2, 7.4
function websocket:close(code, reason)
  if code == nil then
    if reason ~= nil then errors.argument(1, "close", "close code before a reason", code) end
  elseif code ~= 0 then
    check_close(self, code, reason, "close", 4)
  end
  turn.within(self.context, close, self, code, reason)
end

--- Sends a ping; the answer comes to `on_pong`.
-- @tparam[opt=""] string data at most 125 bytes
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, `closing`, `full` or `type`
-- @rfc 6455 5.5.2
function websocket:ping(data)
  data = data == nil and "" or bytes_argument(1, "ping", data)
  if #data > MAX_CONTROL_BYTES then errors.argument(1, "ping", "at most 125 bytes", #data) end
  local result, why = write_other(self, data, WRITE_PING)
  return result, why
end

-- HTTP has a room of its own.
websocket.request, websocket.respond = answering.request, answering.respond
websocket.serve_http_file = answering.serve_http_file

--- Names the descriptor.
-- @treturn integer -1 once it is closed
function websocket:get_socket_fd()
  return self.fd
end

--- Names the peer, without asking DNS.
-- @treturn string name: the IP address
-- @treturn string IP address, "" where it is not known any more
function websocket:get_peer_addresses()
  local ip, wire = self.peer_ip, self.wire
  if not ip then
    ip = (wire.transport or wire):peer()
    -- The address that is tried may not be the last one.
    if not self.dialing then self.peer_ip = ip end
  end
  return ip, ip
end

--- Stops or goes on reading from the peer.
-- @tparam boolean|integer on true or 1: read; false or 0: stop. Messages that are here already wait
-- @treturn integer 0, or 1 when the connection is not open
function websocket:rx_flow_control(on)
  if on ~= true and on ~= false and on ~= 1 and on ~= 0 then
    errors.argument(1, "rx_flow_control", "boolean, 0 or 1", on)
  end
  if self.state ~= "open" then return 1 end
  turn.within(self.context, descriptor.pause, self, on == false or on == 0)
  return 0
end

--- Tells how much of the current message is still to come: nothing, for whole messages are delivered.
-- @treturn integer 0
function websocket.remaining_packet_payload()
  return 0
end

--- Tells how much waits to be sent.
-- @treturn integer bytes
function websocket:buffered()
  local fragment = self.fragment
  return self.wire:buffered() + (fragment and fragment.held_bytes or 0)
end

--- Names the subprotocol.
-- @treturn ?string nil without one
function websocket:get_protocol()
  local list = self.list
  if list then return list.group.name end
  return self.subprotocol
end

function websocket:__tostring()
  return "websocket " .. turn.address(self)
end

return websocket
