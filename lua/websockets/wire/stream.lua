--- The messages of one connection over any transport: a reader, a writer and a queue of what is still to be sent.
-- @module websockets.wire.stream
local stream = {}
stream.__index = stream

local concat = table.concat

-- Small frames that wait together leave in one send of at most about this size.
local JOIN_BYTES = 65536

-- Control frames that wait are joined up to this size: a peer that sends pings and reads nothing must not make us keep
-- a string for each pong.
local JOIN_FIXED_BYTES = 512

local TEXT, CLOSE = 1, 8

-- Sends what was queued since the last time.
local function flush_hub(hub, reports)
  local count, at = 0, 0
  while at < hub.count do
    at = at + 1
    local wire = hub[at]
    hub[at] = false
    -- False where an interrupted turn (Ctrl-C) had got so far.
    if wire then
      wire.listed = false
      local pending, took = wire:flush()
      reports[3 * count + 1], reports[3 * count + 2], reports[3 * count + 3] = wire.owner, pending or false, took
      count = count + 1
    end
  end
  hub.count = 0
  return count
end

--- Makes what the wires of one context share: which of them queued something, and how much waits in all.
-- @treturn table hub; `hub:flush(reports)` sends what was queued and fills the table with triples for which it returns
-- the count: the wire's owner; bytes that wait, or false where it broke; whether any was taken, or why it broke
function stream.hub()
  return { count = 0, buffered = 0, flush = flush_hub }
end

--- Makes the account of what unfinished messages hold.
-- @tparam table _ hub
-- @tparam number limit bytes
-- @treturn table `used`, `limit`
function stream.budget(_, limit)
  return { used = 0, limit = limit }
end

--- Makes the wire of a connection.
-- @tparam table hub shared by the wires of a context; `hub[1..count]` are those that queued since they were flushed
-- @tparam table transport
-- @tparam table engine
-- @tparam table limits `high_water_bytes`, `max_buffered_bytes`
-- @param owner whom the reports of `hub:flush` name
-- @treturn stream
function stream.new(hub, transport, engine, limits, owner)
  return setmetatable({
    hub = hub, transport = transport, engine = engine, limits = limits,
    reader = false, writer = false, leftover = false,
    queue = false, fixed = false, first = 1, last = 0,
    pending = 0, sending = false, sent = 0, took = false, listed = false, owner = owner or false,
    shares = false, said_close = false,
  }, stream)
end

--- Tells whether `fanout` can serve a wire.
-- @tparam stream wire
-- @treturn boolean
function stream.is_own(wire)
  return wire ~= nil
end

--- Takes bytes as they are (the HTTP phase, or what is to be thrown away).
-- @treturn[1] string bytes
-- @treturn[1] boolean whether more may be here already
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed`, `reset`
function stream:receive()
  return self.transport:receive()
end

--- From here on the connection speaks WebSocket.
-- @tparam table settings `role`, `max_message_bytes`, `max_fragments`, `budget`, and `leftover`: bytes behind the
-- handshake
function stream:start(settings)
  self.reader = self.engine.reader(settings)
  self.writer = self.engine.writer(settings)
  -- A client masks each frame with a key of its own.
  self.shares = settings.role == "server"
  local leftover = settings.leftover
  self.leftover = leftover and leftover ~= "" and leftover or false
end

--- Reads once and takes every whole message.
-- @tparam table batch filled with opcode, payload pairs; a breach is a last pair of close code and message
-- @treturn[1] integer count of pairs
-- @treturn[1] boolean whether more is here already
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed`, `reset`
function stream:read(batch)
  local reader, leftover = self.reader, self.leftover
  if leftover then
    self.leftover = false
    local count, again = reader:feed(leftover, batch)
    self.leftover = again and "" or false
    return count, again or self.transport:pending()
  end
  local bytes, more = self.transport:receive()
  if not bytes then return nil, more end
  local count, again = reader:feed(bytes, batch)
  if again then self.leftover = "" end
  return count, again or more
end

local function append(self, bytes, is_fixed)
  local queue, fixed, last = self.queue, self.fixed, self.last
  if not queue then
    queue = {}
    self.queue = queue
  end
  if is_fixed then
    if last >= self.first and fixed and fixed[last] and #queue[last] + #bytes <= JOIN_FIXED_BYTES then
      queue[last] = queue[last] .. bytes
      return
    end
    fixed = fixed or {}
    self.fixed = fixed
    fixed[last + 1] = true
  end
  queue[last + 1] = bytes
  self.last = last + 1
end

--- Has the next `hub:flush` report this wire, whatever is queued.
function stream:attend()
  if self.listed then return end
  local hub = self.hub
  self.listed = true
  hub.count = hub.count + 1
  hub[hub.count] = self
end

local function queue_bytes(self, bytes, is_fixed)
  append(self, bytes, is_fixed)
  local size, hub = #bytes, self.hub
  self.pending = self.pending + size
  hub.buffered = hub.buffered + size
  if not self.listed then self:attend() end
end

-- Judges what remains after a flush. A socket that refused bytes is asked again only when the answer decides.
local function is_full(self, size)
  local limits, pending = self.limits, self.pending
  if pending + size <= limits.high_water_bytes and pending <= limits.max_buffered_bytes then return false end
  if pending > 0 and (not self.sending or pending > limits.max_buffered_bytes) then
    local _, took = self:flush()
    -- The flush at the end of the turn tells of it: bytes taken are a sign of life.
    self.took = took == true
  end
  return self.pending > limits.max_buffered_bytes
end

--- Queues bytes as they are.
-- @tparam string bytes
function stream:raw(bytes)
  queue_bytes(self, bytes, true)
end

--- Queues a frame; sends only where `high_water_bytes` is passed.
-- @tparam integer opcode
-- @tparam string payload
-- @tparam[opt=true] boolean fin
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `full`: more than `max_buffered_bytes` wait already, nothing was queued; `utf8`: a whole text that
-- is not; `type`: no string; or `entropy`: a client that can get no random bytes
function stream:push(opcode, payload, fin)
  if type(payload) ~= "string" then return nil, "type" end
  if opcode == TEXT and fin ~= false and not self.engine.valid_utf8(payload) then return nil, "utf8" end
  local bytes = self.writer:encode(opcode, payload, fin)
  if not bytes then return nil, "entropy" end
  -- Parts of a fragmented message and control frames cannot be dropped without breaking the stream.
  local is_fixed = opcode >= 8 or opcode == 0 or fin == false
  -- A close frame always finds room: it is the last.
  if opcode == CLOSE then
    self.said_close = true
  elseif is_full(self, #bytes) then
    return nil, "full"
  end
  queue_bytes(self, bytes, is_fixed)
  return true
end

--- Queues one message on many wires, encoded once; those that have sent a close frame are passed over.
-- @rfc 6455 5.5.1
-- @tparam {stream,...} wires
-- @tparam integer count how many of them
-- @tparam integer opcode
-- @tparam string payload
-- @tparam table troubled filled with the positions of those that were full
-- @treturn integer how many were full
function stream.fanout(wires, count, opcode, payload, troubled)
  local full, shared = 0, nil
  for i = 1, count do
    local wire = wires[i]
    local bytes = wire.shares and shared or wire.writer:encode(opcode, payload, true)
    if wire.shares then shared = bytes end
    if bytes and not wire.said_close then
      if is_full(wire, #bytes) then
        full = full + 1
        troubled[full] = i
      else
        queue_bytes(wire, bytes, false)
      end
    end
  end
  return full
end

-- The next string to offer: what was offered once stays the same string until all of it is taken.
local function next_to_send(self)
  local queue, first, last = self.queue, self.first, self.last
  if first > last then return nil end
  local bytes, upto = queue[first], first
  if first < last and #bytes < JOIN_BYTES then
    local size = #bytes
    while upto < last and size + #queue[upto + 1] <= JOIN_BYTES do
      upto = upto + 1
      size = size + #queue[upto]
    end
    if upto > first then bytes = concat(queue, "", first, upto) end
  end
  local fixed = self.fixed
  for i = first, upto do
    queue[i] = nil
    if fixed then fixed[i] = nil end
  end
  if upto == last then
    self.first, self.last = 1, 0
  else
    self.first = upto + 1
  end
  return bytes
end

--- Sends what is queued, as far as the socket takes it.
-- @treturn[1] integer bytes that still wait
-- @treturn[1] boolean whether any byte was taken
-- @treturn[2] nil
-- @treturn[2] string `closed`, `reset`
function stream:flush()
  local transport, hub, took = self.transport, self.hub, self.took
  self.took = false
  local bytes = self.sending or next_to_send(self)
  while bytes do
    local from = self.sent
    local done, why, upto = transport:send(bytes, from + 1)
    local sent = (done or upto) - 1
    local taken = sent - from
    if taken > 0 then
      took = true
      self.pending = self.pending - taken
      hub.buffered = hub.buffered - taken
    end
    if not done then
      self.sending, self.sent = bytes, sent
      if why ~= "timeout" then return nil, why end
      return self.pending, took
    end
    self.sending, self.sent = false, 0
    bytes = next_to_send(self)
  end
  return 0, took
end

--- Drops messages that have not begun to leave, the oldest first; control frames and fragments stay.
-- @tparam number enough stop once so many bytes are dropped
-- @treturn integer bytes dropped
function stream:drop(enough)
  local queue, fixed, dropped, kept = self.queue, self.fixed, 0, 0
  if not queue then return 0 end
  local kept_queue, kept_fixed = {}, false
  for i = self.first, self.last do
    local is_fixed = fixed and fixed[i]
    if not is_fixed and dropped < enough then
      dropped = dropped + #queue[i]
    else
      kept = kept + 1
      kept_queue[kept] = queue[i]
      if is_fixed then
        kept_fixed = kept_fixed or {}
        kept_fixed[kept] = true
      end
    end
  end
  self.queue, self.fixed, self.first, self.last = kept_queue, kept_fixed, 1, kept
  self.pending = self.pending - dropped
  self.hub.buffered = self.hub.buffered - dropped
  return dropped
end

--- Tells how much waits to be sent.
-- @treturn integer bytes
function stream:buffered()
  return self.pending
end

--- Ends the sending direction.
function stream:shutdown()
  self.transport:shutdown()
end

--- Ends everything and gives back what was held.
function stream:close()
  self.hub.buffered = self.hub.buffered - self.pending
  self.pending, self.sending, self.queue, self.fixed, self.first, self.last = 0, false, false, false, 1, 0
  if self.reader then self.reader:release() end
  self.transport:close()
end

return stream
