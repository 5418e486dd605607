--- Messages out of bytes, cut anywhere: whole messages and control frames in the order of the wire.
-- @module websockets.engine.pure.reader

local header = require "websockets.engine.pure.header"
local mask = require "websockets.engine.pure.mask"
local deflate = require "websockets.engine.pure.deflate"
local message = require "websockets.engine.pure.message"
local utf8 = require "websockets.engine.pure.utf8"

local byte, sub = string.byte, string.sub
local unmask, valid_utf8, next_utf8 = mask.range, utf8.valid, utf8.next
local read_header, check_close, open_message = header.read, header.check_close, message.open

local BATCH_MESSAGES = 256
local BATCH_BYTES = 1048576
-- What a fragment, and a byte that is inflated, count of that: both are work that the messages do not show.
local FRAGMENT_BYTES = BATCH_BYTES / BATCH_MESSAGES
local INFLATED_WEIGHT = 16
-- How many inflated bytes fill a batch, and how much of what is to be inflated is taken at a time.
local INFLATED_BYTES = BATCH_BYTES / INFLATED_WEIGHT
local PACKED_BYTES = 8192
local TEXT_FRAME, BINARY_FRAME = 0x81, 0x82
local CLOSE = 8
local FIRST_CLOSE_CODE = 1000
local NOT_UTF8 = 1007

-- More than is held without a word; see `feed`.
local UNFINISHED = 0

local Reader = {}
Reader.__index = Reader

-- After a close frame, a breach or `release`.
local Ended = {}
Ended.__index = Ended

function Ended.feed() return 0, false end

function Ended.unfinished() return 0, 0 end

function Ended.release() end

--- Makes a reader.
-- @tparam table options kept, not copied: readers may share one. `role` (ours, `"server"` or `"client"`),
-- `max_message_bytes`, `max_fragments`, `budget` (nil or a `websockets.engine.budget`, shared by many readers),
-- `deflate` (nil or false, or a table with `inflate`: how compressed messages are to be inflated)
-- @treturn table
local function new_reader(options)
  -- Eight fields at most: Lua then gives the table 248 bytes, one more and it is 440.
  return setmetatable({
    options = options,
    mask_bit = options.role == "server" and 128 or 0,
    small = math.min(options.max_message_bytes, 125),
    rest = false,
    position = 1,
    message = false,
    -- The level of what the last call of `unfinished` has told.
    noted = 0,
    inflater = false,
  }, Reader)
end

local function finish(self)
  if self.message then self.message:refund(self.options.budget) end
  if self.inflater then self.inflater:release() end
  self.message, self.rest, self.inflater = false, false, false
  setmetatable(self, Ended)
end

-- Whether there is something to be told of the message that is not whole.
local function news(self)
  local budget, charged = self.options.budget, self.message.charged
  local is_new = budget and charged > 0 and (budget:level(charged) > self.noted or budget:room() < 0)
  return is_new and UNFINISHED or false
end

-- What a piece of a compressed message inflates to, and how much of the piece was taken. Like a step: nil, close code
-- and what is wrong.
local function inflate(self, current, piece, is_last)
  local inflater = self.inflater or deflate.inflater(self.options.deflate.inflate)
  self.inflater = inflater
  local room = self.options.max_message_bytes - current.have
  local bytes, taken, why = inflater:inflate(piece, is_last, room, INFLATED_BYTES)
  if not bytes then return nil, taken, why end
  -- What keeps no context is nothing between messages.
  if is_last and taken == #piece and inflater.forgets then self.inflater = false end
  current.have = current.have + #bytes
  return bytes, taken
end

-- The payload that stands between two positions, unmasked where the peer masks.
local function cut(self, chunk, first, last, k1, k2, k3, k4)
  if self.mask_bit == 128 then return unmask(chunk, first, last, k1, k2, k3, k4) end
  return sub(chunk, first, last)
end

-- Takes what has come of the current frame's payload. Like all steps it returns the next position, and
-- where there is something for the batch, an opcode and a payload or a close code and what is wrong; then how many
-- bytes were inflated.
local function take_payload(self, current, chunk, position, size)
  local last = position + current.remaining - 1
  if last > size then last = size end
  if current.packed and last - position >= PACKED_BYTES then last = position + PACKED_BYTES - 1 end
  local count = last - position + 1
  local piece = cut(self, chunk, position, last, current.k1, current.k2, current.k3, current.k4)
  local is_last = current.final and current.remaining == count
  local inflated
  if current.packed then
    local taken, why
    piece, taken, why = inflate(self, current, piece, is_last)
    if not piece then return last + 1, taken, why end
    inflated = #piece
    if taken < count then count, last, is_last = taken, position + taken - 1, false end
  end
  current.remaining = current.remaining - count
  if current.utf8_state then
    current.utf8_state = next_utf8(current.utf8_state, piece, 1, #piece)
    -- 8.1, as soon as the bad byte is here: the rest of the frame need not come.
    if not current.utf8_state then return last + 1, NOT_UTF8, "a text that is not UTF-8" end
  end
  local budget = self.options.budget
  if not is_last then
    current:turn_key(count)
    if piece ~= "" then current:keep(piece, budget) end
    return last + 1, nil, nil, inflated
  end
  if current.utf8_state and current.utf8_state ~= 0 then
    return last + 1, NOT_UTF8, "a text that ends inside a character"
  end
  current:refund(budget)
  self.message = false
  return last + 1, current.opcode, current:join(piece), inflated
end

-- Control frames are small: one that has not come whole is read again from its header.
local function take_control(self, opcode, chunk, from, start, stop, k1, k2, k3, k4)
  if stop > #chunk then return from end
  local payload = cut(self, chunk, start, stop, k1, k2, k3, k4)
  if opcode == CLOSE then
    local code, why = check_close(payload)
    if code then return stop + 1, code, why end
  end
  return stop + 1, opcode, payload
end

-- A message of one frame that is here whole needs nothing kept; nil where it is not that, or not UTF-8:
-- the way of the pieces then says what is wrong.
local function take_whole(self, first, chunk, start, stop, k1, k2, k3, k4)
  if first < 128 or stop > #chunk then return nil end
  local payload = cut(self, chunk, start, stop, k1, k2, k3, k4)
  if first == TEXT_FRAME and not valid_utf8(payload) then return nil end
  return payload
end

-- One frame, or what has come of it. A position that did not move: the header needs more bytes.
local function step(self, chunk, position, size)
  local current = self.message
  if current and current.remaining > 0 then return take_payload(self, current, chunk, position, size) end
  local first, length, start, is_packed = read_header(self, chunk, position)
  if not first then return position, length, start end
  local k1, k2, k3, k4
  if self.mask_bit == 128 then
    k1, k2, k3, k4 = byte(chunk, start, start + 3)
    if not k4 then return position end
    start = start + 4
  end
  local opcode = first % 16
  if opcode >= CLOSE then
    return take_control(self, opcode, chunk, position, start, start + length - 1, k1, k2, k3, k4)
  end
  if not current then
    local payload = not is_packed and take_whole(self, first, chunk, start, start + length - 1, k1, k2, k3, k4)
    if payload then return start + length, opcode, payload end
    current = open_message(opcode, is_packed)
    self.message = current
  end
  current:begin_frame(length, first >= 128, k1, k2, k3, k4)
  return take_payload(self, current, chunk, start, size)
end

local function is_full(count, total)
  return count >= BATCH_MESSAGES or total >= BATCH_BYTES
end

local function keep_rest(self, chunk, position, count)
  self.rest, self.position = chunk, position
  return count, true
end

-- Nearly every message is one small whole frame: those are taken here. Anything else, and whatever is wrong
-- with a small one, is found by `step`.
local function read_frames(self, chunk, position, batch)
  local size, mask_bit, small = #chunk, self.mask_bit, self.small
  local head_bytes = mask_bit == 128 and 6 or 2
  local count, total = 0, 0
  while position <= size do
    local first, second, k1, k2, k3, k4 = byte(chunk, position, position + 5)
    local start, length = position + head_bytes, (second or 0) - mask_bit
    local after = start + length
    local opcode, payload
    if (first == TEXT_FRAME or first == BINARY_FRAME) and length >= 0 and length <= small
      and after <= size + 1 and not self.message then
      payload = mask_bit == 128 and unmask(chunk, start, after - 1, k1, k2, k3, k4)
        or sub(chunk, start, after - 1)
      if first == BINARY_FRAME or valid_utf8(payload) then opcode = first - 128 end
    end
    if not opcode then
      local inflated
      after, opcode, payload, inflated = step(self, chunk, position, size)
      if inflated then total = total + INFLATED_WEIGHT * inflated end
    end
    if opcode then
      count = count + 1
      batch[2 * count - 1], batch[2 * count] = opcode, payload
      if opcode >= CLOSE and (opcode == CLOSE or opcode >= FIRST_CLOSE_CODE) then
        finish(self)
        return count, false
      end
      total = total + #payload
      if after <= size and is_full(count, total) then return keep_rest(self, chunk, after, count) end
    elseif after == position then
      self.rest, self.position = sub(chunk, position), 1
      break
    else
      total = total + FRAGMENT_BYTES
      if after <= size and is_full(count, total) then return keep_rest(self, chunk, after, count) end
    end
    position = after
  end
  return count, self.message and news(self)
end

--- Reads bytes.
-- @tparam string bytes as they came, cut anywhere; `""` to go on after `again`
-- @tparam table batch gets the pairs `batch[2 * i - 1]`, `batch[2 * i]`: opcode (1, 2, 8, 9, 10) and payload of a
-- whole message or control frame; the last pair may be a close code (1002, 1007, 1009) and what the peer did wrong
-- @treturn number how many pairs; 0 for ever after a close frame, a breach or `release`
-- @treturn[1] boolean whether unread bytes are here: go on with `feed("", batch)` before more are received
-- @treturn[2] number 0: none are here, and a message that is not whole holds more than `unfinished` has told, or the
-- budget is passed
function Reader:feed(bytes, batch)
  local rest, position = self.rest, self.position
  if not rest then return read_frames(self, bytes, 1, batch) end
  self.rest = false
  if bytes == "" then return read_frames(self, rest, position, batch) end
  return read_frames(self, sub(rest, position) .. bytes, 1, batch)
end

--- Tells of the message that is not whole. What a level of the budget is reached by is told by `feed` once.
-- @treturn number bytes of the budget that it holds; 0 where there is none
-- @treturn number how far it has come: changes with another message, or 64 KiB more of this one
function Reader:unfinished()
  local current, budget = self.message, self.options.budget
  local charged = current and current.charged or 0
  if budget then self.noted = budget:level(charged) end
  return charged, charged > 0 and current:progress() or 0
end

--- Ends the reader and gives back to the budget what it holds; it reads nothing more.
function Reader:release()
  finish(self)
end

return new_reader
