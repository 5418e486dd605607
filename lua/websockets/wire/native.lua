--- The messages of connections on sockets of the accelerator. A connection on any other transport has a
-- `websockets.wire.stream`.
-- @module websockets.wire.native
local core = require("websockets_native")
local engine = require("websockets.engine.native")
local histogram = require("websockets.histogram")
local hub_of = require("websockets.wire.hub")
local new_budget = require("websockets.engine.budget").new
local stream = require("websockets.wire.stream")

-- A larger payload is sent from where it is, by `wire:push`.
local SMALL_BYTES = 4096

local methods = core.websockets_wire

-- Filled for each connection that starts: a table of its own would be garbage at once, and many connections start.
local start_settings = {}

-- LuaJIT leaves its compiled code at every call of a C function, except for functions that its ffi knows.
local function compile_write()
  local ffi = require("ffi")
  ffi.cdef("bool websockets_write(void *wire, int opcode, const char *payload, size_t size);")
  local compiled = ffi.load((package.searchpath("websockets_native", package.cpath))).websockets_write
  return function(wire, payload, kind)
    local opcode = (kind == 0 or kind == nil) and 1 or kind == 1 and 2
    return opcode and type(wire) == "userdata" and type(payload) == "string" and #payload < SMALL_BYTES
      and compiled(wire, opcode, payload, #payload)
  end
end

local function choose_write()
  if not rawget(_G, "jit") then return core.write end
  -- A LuaJIT may lack ffi, and a program may find its modules in other ways than by package.cpath.
  local is_compiled, compiled = pcall(compile_write)
  return is_compiled and compiled or core.write
end

local native = {
  --- Queues one message on many wires; see `websockets.wire.stream`.
  fanout = core.fanout,
  --- Queues a small whole message within a turn: the fast path of `ws:write`; see `websockets.wire.stream`.
  write = choose_write(),
}

--- Queues a whole message on a wire that is not the accelerator's; only within a turn, which sends it at its end.
-- @tparam table|userdata wire
-- @tparam string payload
-- @tparam ?integer kind `WRITE_TEXT` or `WRITE_BINARY`; nil is text
-- @treturn ?boolean whether it was queued; what is not needs a closer look
function native.write_other(wire, payload, kind)
  if type(wire) ~= "table" then return false end
  local opcode = (kind == 0 or kind == nil) and 1 or kind == 1 and 2
  return opcode and wire:push(opcode, payload)
end

--- From now on the connection speaks WebSocket.
-- @tparam table settings `role`, `max_message_bytes`, `max_fragments`, `limits`, `deflate`
-- @tparam string leftover bytes after the handshake
function methods:start(settings, leftover)
  local limits, inflate = settings.limits, settings.deflate and settings.deflate.inflate or {}
  local start = start_settings
  start.is_server = settings.role == "server"
  start.max_message_bytes, start.max_fragments = settings.max_message_bytes, settings.max_fragments
  start.window_bits, start.no_context_takeover = inflate.window_bits, inflate.no_context_takeover
  start.high_water_bytes, start.max_buffered_bytes = limits.high_water_bytes, limits.max_buffered_bytes
  start.leftover, start.codec = leftover, engine.writer(settings).codec
  self:begin(start)
  start.leftover, start.codec = nil, nil
end

-- A wire for others that take its descriptor over. It belongs to the wire until then: an error may come at any time.
local bare = {}
bare.__index = bare

function bare:getfd() return self.wire:getfd() end

function bare:setfd(fd)
  if fd < 0 then self.wire:take_fd() end
end

--- Gives the socket, for another transport. A caller that takes its descriptor says so by `setfd(-1)`; the wire is
-- closed then.
-- @treturn table with `getfd()`, `setfd(-1)`, as a LuaSocket object
function methods:detach()
  return setmetatable({ wire = self }, bare)
end

--- Makes what the wires of one context share.
-- @tparam table settings `high_water_bytes`, `max_buffered_bytes`, `max_unfinished_total_bytes`
-- @treturn[1] table hub: `source` is the accelerator's; `hub.flush` and `hub.read` are as in `websockets.wire.hub`, but
-- find owners by descriptor. `streams` is what the connections on other transports share
-- @treturn[2] nil
-- @treturn[2] string what the system lacks
function native.hub(settings)
  local own = core.websockets_hub
  local source, why = core.hub(settings)
  if not source then return nil, why end
  source:time_turns(hub_of.TURN_SECONDS, #hub_of.TURN_SECONDS)
  return { source = source, read = own.read, flush = own.flush, streams = stream.hub(), turns = false }
end

--- Tells how much waits to be sent, over wires of both kinds.
-- @tparam table hub
-- @treturn number bytes
function native.buffered_total(hub)
  return hub.source:totals() + stream.buffered_total(hub.streams)
end

--- Tells how far all that waits is past a limit.
-- @tparam table hub
-- @tparam number limit bytes
-- @treturn number bytes too much, 0 or less when there is room
function native.excess(hub, limit)
  return hub.source:totals() + stream.excess(hub.streams, limit)
end

--- Tells what has come and gone, over wires of both kinds; see `websockets.wire.hub`.
-- @tparam table hub
-- @treturn number messages that have come
-- @treturn number bytes that have come
-- @treturn number messages that were queued
-- @treturn number bytes that have gone
function native.traffic(hub)
  local received_messages, received_bytes, sent_messages, sent_bytes = hub.source:traffic()
  local streams = hub.streams
  return received_messages + streams.received_messages, received_bytes + streams.received_bytes,
    sent_messages + streams.sent_messages, sent_bytes + streams.sent_bytes
end

--- Tells how long turns took.
-- @tparam table hub
-- @treturn histogram
function native.durations(hub)
  local counts = {}
  local seconds = hub.source:turns(counts)
  return histogram.new(hub_of.TURN_SECONDS, counts, seconds)
end

--- Makes the budget of what unfinished messages hold, over wires of both kinds.
-- @tparam table hub
-- @tparam number limit bytes
-- @treturn budget see `websockets.engine.budget`
function native.budget(hub, limit)
  local source = hub.source
  return new_budget(limit, {
    held = function() return (select(2, source:totals())) end,
    charge = function(bytes) source:charge(bytes) end,
  })
end

--- Makes the wire of a connection.
-- @tparam table hub
-- @tparam table|userdata transport, or a wire of the hub's, which is what it is
-- @tparam table chosen engine
-- @tparam table limits
-- @param owner
-- @treturn table|userdata
function native.new(hub, transport, chosen, limits, owner)
  if type(transport) == "userdata" then return transport end
  hub.streams.is_used = true
  return stream.new(hub.streams, transport, chosen, limits, owner)
end

--- Tells whether `fanout` can serve a wire.
-- @tparam table|userdata wire
-- @treturn boolean
function native.is_own(wire)
  return type(wire) == "userdata"
end

-- Takes what LuaSocket has read ahead: at most 8 KiB. A larger pattern would read from the network as well, where a
-- peer may send faster than this reads.
local function read_ahead(socket)
  local bytes = {}
  while socket:dirty() do bytes[#bytes + 1] = socket:receive(1) end
  return table.concat(bytes)
end

-- The LuaSocket object gives up the descriptor.
local function take_over(hub, socket)
  socket:settimeout(0)
  local fd = socket:getfd()
  if fd < 0 then return nil end
  local bytes = read_ahead(socket)
  socket:setfd(-1)
  local is_good, wire = pcall(hub.source.wire, hub.source, fd, bytes)
  if is_good then return wire end
  socket:setfd(fd)
  error(wire, 0)
end

--- Accepts connections of a listening socket.
-- @tparam table hub
-- @tparam integer fd
-- @tparam table wires filled with those that were accepted
-- @tparam boolean is_foreign whether the listening socket may have Nagle's delay
-- @tparam integer most how many at most
-- @treturn integer how many
-- @treturn ?string why there are no more now: `timeout` where none is pending
function native.accept(hub, fd, wires, is_foreign, most)
  local count = 0
  for _ = 1, most do
    local wire, why = hub.source:accept(fd, is_foreign)
    if wire then
      count = count + 1
      wires[count] = wire
    elseif why ~= "closed" then
      return count, why
    end
  end
  return count, count == 0 and "no connection could be accepted" or nil
end

--- Begins to connect. Not in `websockets.wire.stream`.
-- @tparam table hub
-- @tparam table address `{ kind, address }`, see `websockets.client.resolver`
-- @tparam ?integer port nil for a unix socket
-- @treturn[1] userdata wire with `connected()`, see `websockets.transport.luasocket`
-- @treturn[1] ?string why it failed, where that is known at once
-- @treturn[2] nil
-- @treturn[2] string why there is no socket
function native.connect(hub, address, port)
  local kind, host = address[1], address[2]
  if kind == "unix" then return hub.source:connect(host, true) end
  return hub.source:connect((kind == "tcp6" and "[%s]:%d" or "%s:%d"):format(host, port), false)
end

--- Listens at a path, where no file may be. Not in `websockets.wire.stream`.
-- @tparam table hub
-- @tparam string path
-- @tparam ?integer mode permissions of the file; nil: the system decides
-- @treturn[1] userdata with `getfd()`, `close()`; connections come by `accept`
-- @treturn[2] nil
-- @treturn[2] string why not
function native.listen(hub, path, mode)
  return hub.source:listen(path, mode)
end

--- Looks up a host name in a thread, while the loop goes on. Not in `websockets.wire.stream`.
-- @tparam table hub
-- @tparam string name
-- @treturn[1] userdata wire that gives the answer, see `websockets.client.resolver`, and ends
-- @treturn[2] nil there are no descriptors or threads left
function native.look_up(hub, name)
  local fd = core.look_up(name)
  return fd and hub.source:wire(fd)
end

--- Makes a wire out of a connected LuaSocket object, where that can be done.
-- @tparam table hub
-- @tparam userdata|table socket
-- @treturn[1] userdata wire; the object has no descriptor any more
-- @treturn[2] nil the object is as it was
function native.adopt(hub, socket)
  local name = tostring(socket)
  if type(socket) ~= "userdata" or not (name:find("^tcp{client}") or name:find("^unix")) or not socket.setfd then
    return nil
  end
  return take_over(hub, socket)
end

return native
