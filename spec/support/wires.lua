--- Two wires over a transport in memory, and what specs do with them.
-- @module spec.support.wires

local engine = require("websockets.engine.loader").choose()
local memory = require "websockets.transport.memory"
local stream = require "websockets.wire.stream"

local TEXT = 1

local wires = {
  --- Limits that no message of these specs reaches.
  ROOMY = { high_water_bytes = 65536, max_buffered_bytes = 16777216 },
}

--- Let a wire speak WebSocket.
-- @tparam table wire
-- @tparam string role
-- @tparam[opt=""] string leftover bytes that came after the handshake
-- @treturn table the wire
function wires.start(wire, role, leftover)
  wire:start({ role = role, max_message_bytes = 16777216, max_fragments = 1024 }, leftover or "")
  return wire
end

--- Make a server's wire and a client's that are connected.
-- @tparam table hub of the server's
-- @tparam[opt] table script of `websockets.transport.memory`
-- @tparam[opt=ROOMY] table limits of the server's
-- @treturn table the server's wire
-- @treturn table the client's wire
-- @treturn table the server's transport
-- @treturn table the client's transport
function wires.pair(hub, script, limits)
  local one, other = memory.pair(script)
  local server = wires.start(stream.new(hub, one, engine, limits or wires.ROOMY), "server")
  local client = wires.start(stream.new(stream.hub(), other, engine, wires.ROOMY), "client")
  return server, client, one, other
end

--- Flush one wire and read the other until nothing moves any more.
-- @tparam table from
-- @tparam table to
-- @treturn table opcodes and payloads in a row
function wires.carry(from, to)
  local got, batch = {}, {}
  repeat
    local pending, took = from:flush()
    local count, again = to:read(batch)
    for i = 1, 2 * (count or 0) do got[#got + 1] = batch[i] end
  until (pending or 0) == 0 and not took and (not count or (count == 0 and again ~= true))
  return got
end

--- Encode a frame as a server does.
-- @tparam string payload
-- @tparam[opt=1] number opcode
-- @treturn string bytes
function wires.frame(payload, opcode)
  return engine.writer({ role = "server" }):encode(opcode or TEXT, payload)
end

--- Take all bytes that a transport's other end has sent.
-- @tparam table transport
-- @treturn string
function wires.bytes_at(transport)
  local pieces = {}
  for bytes in function() return (transport:receive()) end do pieces[#pieces + 1] = bytes end
  return table.concat(pieces)
end

return wires
