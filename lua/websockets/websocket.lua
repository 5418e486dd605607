--- What the application can do with one connection: the methods of `ws`.
-- @classmod websockets.websocket
local answering = require("websockets.answering")
local connection = require("websockets.connection.connection")
local descriptor = require("websockets.connection.descriptor")
local ending = require("websockets.connection.ending")
local errors = require("websockets.errors")
local turn = require("websockets.turn.turn")
local writing = require("websockets.writing")

local websocket = {}
websocket.__index = websocket

-- What a connection has as long as nobody says otherwise.
websocket.broadcast_mode = 1
websocket.blocked, websocket.fragment, websocket.held, websocket.idle_slot = false, false, false, false

local WRITE_TEXT, WRITE_BINARY = 0, 1

local function function_argument(name, value)
  if type(value) ~= "function" then errors.argument(1, name, "function", value, 4) end
  return value
end

-- What is sent has a room of its own.
websocket.write, websocket.ping = writing.write, writing.ping

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
  data = writing.bytes_argument(1, "broadcast", data)
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
    writing.check_close(self, code, reason, "close", 4)
  end
  turn.within(self.context, close, self, code, reason)
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
