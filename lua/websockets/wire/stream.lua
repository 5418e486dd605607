--- The messages of one connection over any transport: a reader, a writer and a queue of what is still to be sent.
-- @module websockets.wire.stream
local hub_of = require("websockets.wire.hub")
local queue_of = require("websockets.wire.queue")

local stream = {}
stream.__index = stream

local append, send, weight = queue_of.append, queue_of.send, queue_of.weight

local TEXT, CLOSE = 1, 8

stream.hub, stream.excess, stream.budget = hub_of.new, hub_of.excess, hub_of.budget
stream.buffered_total, stream.traffic, stream.durations = hub_of.buffered_total, hub_of.traffic, hub_of.durations

--- Makes the wire of a connection.
-- @tparam table hub shared by the wires of a context; `hub[1..count]` are those that queued since they were flushed
-- @tparam table transport
-- @tparam table engine
-- @tparam table limits `high_water_bytes`, `max_buffered_bytes`
-- @param owner what `hub.flush` and `hub.read` call the owner of the wire; never looked into
-- @treturn stream
function stream.new(hub, transport, engine, limits, owner)
  return setmetatable({
    hub = hub, transport = transport, engine = engine, limits = limits,
    reader = false, writer = false, leftover = false,
    queue = false, fixed = false, first = 1, last = 0,
    pending = 0, sending = false, sent = 0, took = false, refused = false, listed = false, owner = owner or false,
    shares = false, said_close = false, has_heard = false, is_new = true,
  }, stream)
end

--- Tells whether `fanout` can serve a wire.
-- @tparam stream wire
-- @treturn boolean
function stream.is_own(wire) return wire ~= nil end

--- Goes on over another transport of the same descriptor; nothing waits to be sent.
-- @tparam table transport
function stream:exchange(transport) self.transport = transport end

--- Takes bytes as they are (the HTTP phase, or what is to be thrown away).
-- @treturn[1] string bytes
-- @treturn[1] boolean whether more may be here already
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed`, `reset`
function stream:receive()
  local bytes, more, message = self.transport:receive()
  if bytes then self.hub.received_bytes = self.hub.received_bytes + #bytes end
  return bytes, more, message
end

--- From here on the connection speaks WebSocket.
-- @tparam table settings kept, not copied: `role`, `max_message_bytes`, `max_fragments`, `budget`, `limits` in place of
-- those of `new`, `deflate` (what was agreed about compression, false for none)
-- @tparam string leftover bytes that came after the handshake
function stream:start(settings, leftover)
  self.reader = self.engine.reader(settings)
  self.writer = self.engine.writer(settings)
  self.limits = settings.limits or self.limits
  local how = settings.deflate and settings.deflate.deflate
  -- A client masks each frame with a key of its own; a context of one's own makes other bytes of the same message.
  self.shares = settings.role == "server" and (not how or how.no_context_takeover)
  self.is_new = false
  self.leftover = leftover ~= "" and leftover
end

-- Counts the messages that a reader has found.
local function count_messages(hub, batch, count)
  for i = 1, 2 * count, 2 do
    if batch[i] < CLOSE then hub.received_messages = hub.received_messages + 1 end
  end
end

--- Reads once and takes every whole message.
-- @tparam table batch filled with opcode, payload pairs; a breach is a last pair of close code and message
-- @treturn[1] integer count of pairs
-- @treturn[1] boolean whether more is here already; or 0: there is something to be told by `unfinished`
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed`, `reset`
function stream:read(batch)
  local hub, leftover = self.hub, self.leftover
  if leftover then
    self.leftover = false
    local count, again = self.reader:feed(leftover, batch)
    count_messages(hub, batch, count)
    self.leftover = again == true and "" or false
    return count, again or self.transport:pending()
  end
  local bytes, more = self.transport:receive()
  if not bytes then return nil, more end
  self.has_heard = true
  hub.received_bytes = hub.received_bytes + #bytes
  local count, again = self.reader:feed(bytes, batch)
  -- One message, as nearly always.
  if count == 1 and batch[1] < CLOSE then
    hub.received_messages = hub.received_messages + 1
  elseif count > 0 then
    count_messages(hub, batch, count)
  end
  if again == true then self.leftover = "" end
  return count, again or more
end

--- Tells of the message that is not whole; see `websockets.engine.pure.reader`.
-- @treturn number bytes of the budget that it holds
-- @treturn number how far it has come
function stream:unfinished() return self.reader:unfinished() end

--- Reads no messages any more, and gives back what the unfinished one holds.
function stream:release() self.reader:release() end

--- Tells whether bytes have come since this was asked last.
-- @treturn boolean
function stream:heard()
  local has_heard = self.has_heard
  self.has_heard = false
  return has_heard
end

-- Has the next `hub.flush` send what this wire has queued.
local function list(self, hub)
  local count = hub.count + 1
  hub[count] = self
  hub.count = count
  self.listed = true
end

local function queue_bytes(self, hub, bytes, is_fixed)
  local size = #bytes
  if not self.listed then list(self, hub) end
  append(self, bytes, is_fixed)
  self.pending = self.pending + size
  hub.buffered = hub.buffered + size
end

local function is_over(self)
  return weight(self.pending, self.last - self.first + 1) > self.limits.max_buffered_bytes
end

-- Judges what remains after a flush, before about so many bytes more. A socket that refused bytes is asked again only
-- when the answer decides.
local function is_full(self, size)
  local limits, pending = self.limits, self.pending
  if pending + size <= limits.high_water_bytes and pending <= limits.max_buffered_bytes then return false end
  local over = is_over(self)
  if pending > 0 and (over or not self.refused) then
    local _, took = self:flush()
    -- The flush at the end of the turn tells of it: bytes taken are a sign of life.
    self.took = took == true
    over = is_over(self)
  end
  return over
end

--- Queues bytes as they are.
-- @tparam string bytes
function stream:raw(bytes)
  queue_bytes(self, self.hub, bytes, true)
end

-- A close frame always finds room: it is the last.
local function push_control(self, opcode, payload)
  if opcode ~= CLOSE and is_full(self, #payload) then return nil, "full" end
  local bytes = self.writer:encode(opcode, payload)
  if not bytes then return nil, "entropy" end
  queue_bytes(self, self.hub, bytes, true)
  if opcode == CLOSE then self.said_close = true end
  return true
end

--- Queues a frame; sends only where `high_water_bytes` is passed.
-- @rfc 6455 5.6
-- @tparam integer opcode
-- @tparam string payload
-- @tparam[opt=true] boolean fin
-- @tparam[opt=false] boolean plain true: do not compress
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `full`: more than `max_buffered_bytes` wait already, nothing was queued; `utf8`: a whole text that
-- is not; `type`: no string; or `entropy`: a client that can get no random bytes
function stream:push(opcode, payload, fin, plain)
  if type(payload) ~= "string" then return nil, "type" end
  if opcode >= CLOSE then return push_control(self, opcode, payload) end
  if opcode == TEXT and fin ~= false and not self.engine.valid_utf8(payload) then return nil, "utf8" end
  -- What is not sent must not become a part of what a compressor remembers.
  if is_full(self, #payload) then return nil, "full" end
  local bytes = self.writer:encode(opcode, payload, fin, plain)
  if not bytes then return nil, "entropy" end
  local hub = self.hub
  -- A part of a fragmented message, as a control frame, cannot be dropped without breaking the stream.
  queue_bytes(self, hub, bytes, fin == false or opcode == 0)
  if fin ~= false then hub.sent_messages = hub.sent_messages + 1 end
  return true
end

--- Queues a whole message within a turn, which sends it at its end: the fast path of `ws:write`.
-- @tparam stream wire
-- @tparam string payload
-- @tparam ?integer kind `WRITE_TEXT` or `WRITE_BINARY`; nil is text
-- @treturn ?boolean whether it was queued; what is not needs a closer look
function stream.write(wire, payload, kind)
  local opcode = (kind == 0 or kind == nil) and 1 or kind == 1 and 2
  return opcode and wire.hub.is_in_turn and wire:push(opcode, payload)
end

--- Has the messages of this wire come through `hub.read`, or through `read` alone.
-- @tparam boolean is_on
function stream:direct(is_on)
  self.hub.direct[self.owner] = is_on and self or nil
end

--- Queues one message on many wires, compressed and encoded once for all that share a writer; those that have sent a
-- close frame are passed over, and so is false in the place of a wire.
-- @rfc 6455 5.5.1
-- @tparam {stream,...} wires
-- @tparam integer count how many of them
-- @tparam integer opcode
-- @tparam string payload
-- @tparam table troubled filled with the positions of those that were full
-- @tparam ?boolean is_careful those whose socket does not take what waits already count as full
-- @tparam ?integer but position that is passed over
-- @treturn integer how many were full
function stream.fanout(wires, count, opcode, payload, troubled, is_careful, but)
  local full, made = 0, {}
  for i = 1, count do
    local wire = wires[i]
    if wire and i ~= but and not wire.said_close then
      if is_careful and wire.refused and wire.pending > 0 or is_full(wire, #payload) then
        full = full + 1
        troubled[full] = i
      else
        local writer, hub = wire.writer, wire.hub
        local bytes = wire.shares and made[writer] or writer:encode(opcode, payload, true)
        if bytes then
          if wire.shares then made[writer] = bytes end
          queue_bytes(wire, hub, bytes, false)
          hub.sent_messages = hub.sent_messages + 1
        end
      end
    end
  end
  return full
end

--- Sends what is queued, as far as the socket takes it.
-- @treturn[1] integer bytes that still wait
-- @treturn[1] boolean whether any byte was taken
-- @treturn[2] nil
-- @treturn[2] string `closed`, `reset`
function stream:flush()
  local hub, took, why = self.hub, self.took, nil
  -- An error came amid a flush: nobody can tell how much the socket has taken.
  if self.refused == nil then return nil, "reset" end
  self.took, self.refused = false, nil
  while self.pending > 0 and not why do
    local taken
    taken, why = send(self)
    self.pending, hub.buffered, hub.sent_bytes = self.pending - taken, hub.buffered - taken, hub.sent_bytes + taken
    took = took or taken > 0
  end
  if not why then
    self.refused = false
    -- An interrupted `push` (Ctrl-C) may have queued what it has not counted.
    if self.pending ~= 0 then hub.buffered, self.pending = hub.buffered - self.pending, 0 end
    return 0, took
  end
  self.refused = why == "timeout"
  if not self.refused then return nil, why end
  if self.sent > 0 then queue_of.trim(self) end
  return self.pending, took
end

--- Drops messages that have not begun to leave, the oldest first; control frames and fragments stay.
-- @function stream:drop
-- @tparam number enough stop once so many bytes are dropped
-- @treturn integer bytes dropped
-- @treturn integer how many messages
stream.drop = queue_of.drop

--- Tells how much waits to be sent.
-- @treturn integer bytes
function stream:buffered() return self.pending end

--- Ends the sending direction.
function stream:shutdown() self.transport:shutdown() end

--- Ends everything and gives back what was held. The next flush tells nothing of it: its owner may have another wire.
-- @tparam ?number linger seconds that the system may keep what the peer does not take; 0 resets the connection
function stream:close(linger)
  self.hub.buffered = self.hub.buffered - self.pending
  self.hub.pieces = self.hub.pieces - (self.last - self.first + 1)
  self.pending, self.sending, self.queue, self.fixed, self.first, self.last = 0, false, false, false, 1, 0
  self.refused, self.took, self.is_new = false, false, false
  if self.reader then self.reader:release() end
  if self.writer and self.writer.release then self.writer:release() end
  self.transport:close(linger)
end

return stream
