--- The frames of one wire that still wait to be sent: order, what may be dropped, what they weigh. The fields belong
-- to the wire (`queue`, `fixed`, `first`, `last`, `sending`, `sent`), so that an idle one costs no table of its own.
-- @module websockets.wire.queue
local queue_of = {}

local concat, max, sub = table.concat, math.max, string.sub

-- Small frames that wait together leave in one send of at most about this size, or the transport's `join_bytes`.
local JOIN_BYTES = 65536

-- Control frames that wait are joined up to this size: a peer that sends pings and reads nothing must not make us keep
-- a string for each pong.
local JOIN_FIXED_BYTES = 512

-- What a retained piece of output is taken for at least, where there are more of them than this.
local PIECE_BYTES, MANY_PIECES = 128, 8192

-- From this size on a string is exchanged for a shorter one when most of it has been sent.
local MIN_TRIMMED_BYTES = 4096

--- Tells what waiting frames cost: many tiny ones take far more memory than they have bytes.
-- @tparam number bytes
-- @tparam integer pieces
-- @treturn number bytes
function queue_of.weight(bytes, pieces)
  return pieces > MANY_PIECES and max(bytes, pieces * PIECE_BYTES) or bytes
end

--- Puts a frame at the end of the queue.
-- @tparam stream self
-- @tparam string bytes
-- @tparam boolean is_fixed whether it must never be dropped
function queue_of.append(self, bytes, is_fixed)
  -- A socket never takes what is empty: it would stay for ever.
  if bytes == "" then return end
  local queue, last = self.queue, self.last
  if not queue then
    queue = {}
    self.queue = queue
  end
  if is_fixed then
    local fixed = self.fixed
    if last >= self.first and fixed and fixed[last] and #queue[last] + #bytes <= JOIN_FIXED_BYTES then
      queue[last] = queue[last] .. bytes
      return
    end
    fixed = fixed or {}
    self.fixed = fixed
    -- The frame comes before its mark: both are needed, and either may find no memory.
    queue[last + 1] = bytes
    fixed[last + 1] = true
  end
  queue[last + 1] = bytes
  local hub = self.hub
  self.last, hub.pieces = last + 1, hub.pieces + 1
end

--- Joins frames from the front into what is offered to the socket; they stay queued until they are taken.
-- @tparam stream self
-- @treturn[1] string bytes
-- @treturn[1] integer position of the last frame in it
-- @treturn[2] nil nothing waits
function queue_of.next_offer(self)
  local queue, first, last = self.queue, self.first, self.last
  if first > last then return nil end
  local bytes, upto = queue[first], first
  if first < last then
    local size, most = #bytes, self.transport.join_bytes or JOIN_BYTES
    while upto < last and size + #queue[upto + 1] <= most do
      upto = upto + 1
      size = size + #queue[upto]
    end
    if upto > first then bytes = concat(queue, "", first, upto) end
  end
  return bytes, upto
end

--- Takes frames off the front: those that were sent whole, and one that has begun to leave.
-- @tparam stream self
-- @tparam integer sent bytes of the offer
-- @tparam integer upto position of the last frame in the offer
function queue_of.take_off(self, sent, upto)
  local queue, fixed, at = self.queue, self.fixed, self.first
  while at <= upto and sent > 0 do
    local frame = queue[at]
    queue[at] = nil
    if fixed and fixed[at] then fixed[at] = nil end
    at = at + 1
    sent = sent - #frame
    if sent < 0 then self.sending, self.sent = frame, #frame + sent end
  end
  self.hub.pieces = self.hub.pieces - (at - self.first)
  if at > self.last then
    self.first, self.last = 1, 0
  else
    self.first = at
  end
end

-- Takes note of what a send has taken of frames that had not begun to leave.
local function note_sent(self, offer, upto, done, sent)
  if not done and self.transport.keeps_offer then
    -- TLS wants the same bytes again: all of them have begun to leave.
    queue_of.take_off(self, #offer, upto)
    self.sending, self.sent = offer, sent
  else
    queue_of.take_off(self, sent, upto)
  end
end

-- Offers the rest of what has begun to leave.
local function send_rest(self)
  local offer, from = self.sending, self.sent
  local done, why, next_position = self.transport:send(offer, from + 1)
  local sent = (done or next_position) - 1
  if done then self.sending, self.sent = false, 0 else self.sent = sent end
  return sent - from, why
end

--- Sends once; something waits.
-- @tparam stream self
-- @treturn integer bytes that the socket took
-- @treturn ?string why not all that was offered
function queue_of.send(self)
  if self.sending then return send_rest(self) end
  local queue, upto = self.queue, self.last
  local offer, is_only = queue[upto], self.first == upto
  if not is_only then offer, upto = queue_of.next_offer(self) end
  local done, why, next_position = self.transport:send(offer, 1)
  if done and is_only and self.last == upto and queue[upto] == offer then
    -- As nearly always: nothing was queued meanwhile.
    local fixed, hub = self.fixed, self.hub
    queue[upto] = nil
    if fixed then fixed[upto] = nil end
    self.first, self.last, hub.pieces = 1, 0, hub.pieces - 1
    return done - 1
  end
  local sent = (done or next_position) - 1
  note_sent(self, offer, upto, done, sent)
  return sent, why
end

--- Drops messages that have not begun to leave, the oldest first; control frames and fragments stay.
-- @tparam stream self
-- @tparam number enough stop once so many bytes are dropped
-- @treturn integer bytes dropped
-- @treturn integer how many messages
function queue_of.drop(self, enough)
  local queue, fixed = self.queue, self.fixed
  if not queue then return 0, 0 end
  local at, last, dropped, messages, kept = self.first, self.last, 0, 0, {}
  while at <= last and dropped < enough do
    local frame = queue[at]
    queue[at] = nil
    if fixed and fixed[at] then
      fixed[at] = nil
      kept[#kept + 1] = frame
    else
      dropped, messages = dropped + #frame, messages + 1
      self.hub.pieces = self.hub.pieces - 1
    end
    at = at + 1
  end
  -- What stays moves up to what was not looked at: a long queue is never copied to free a little.
  for i = #kept, 1, -1 do
    at = at - 1
    queue[at], fixed[at] = kept[i], true
  end
  if at > last then
    self.first, self.last = 1, 0
  else
    self.first = at
  end
  self.pending = self.pending - dropped
  self.hub.buffered = self.hub.buffered - dropped
  return dropped, messages
end

--- Gives up the memory of what has been sent: a peer that stops reading must not keep a large string for its end.
-- @tparam stream self
function queue_of.trim(self)
  local sent, size = self.sent, #self.sending
  if size < MIN_TRIMMED_BYTES or sent < size / 2 or self.transport.keeps_offer then return end
  self.sending, self.sent = sub(self.sending, sent + 1), 0
end

return queue_of
