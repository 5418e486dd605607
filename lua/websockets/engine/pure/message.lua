--- A message that has not ended yet: its pieces, and what they take of the budget.
-- @module websockets.engine.pure.message

local concat = table.concat

local message = {}
message.__index = message

-- What a retained piece is charged in addition to its bytes: string header, table slot, allocator.
local PIECE_BYTES = 128

-- So much more of a message is progress.
local PROGRESS_BYTES = 65536

-- This many pieces of a level become one of the next: a byte is copied once a level, and there are never many pieces.
local FAN_IN = 64

--- Begins a message.
-- @tparam number opcode 1 text, 2 binary
-- @tparam ?boolean is_packed whether it is compressed
-- @treturn table
function message.open(opcode, is_packed)
  return setmetatable({
    opcode = opcode,
    packed = is_packed or false,
    have = 0,
    fragments = 0,
    utf8_state = opcode == 1 and 0,
    remaining = 0,
    final = false,
    k1 = 0, k2 = 0, k3 = 0, k4 = 0,
    levels = false,
    charged = 0,
    number = 0,
  }, message)
end

--- Begins the next frame of the message.
-- @tparam number length of its payload
-- @tparam boolean final whether the message ends with it
-- @tparam ?number k1 first byte of the masking key
-- @tparam ?number k2 second byte of the masking key
-- @tparam ?number k3 third byte of the masking key
-- @tparam ?number k4 fourth byte of the masking key
function message:begin_frame(length, final, k1, k2, k3, k4)
  self.fragments = self.fragments + 1
  if not self.packed then self.have = self.have + length end
  self.remaining = length
  self.final = final
  self.k1, self.k2, self.k3, self.k4 = k1, k2, k3, k4
end

--- Turns the masking key so that it fits the byte after the given number of bytes.
-- @tparam number count
function message:turn_key(count)
  local turn = count % 4
  if turn == 1 then
    self.k1, self.k2, self.k3, self.k4 = self.k2, self.k3, self.k4, self.k1
  elseif turn == 2 then
    self.k1, self.k2, self.k3, self.k4 = self.k3, self.k4, self.k1, self.k2
  elseif turn == 3 then
    self.k1, self.k2, self.k3, self.k4 = self.k4, self.k1, self.k2, self.k3
  end
end

local function charge(self, budget, bytes)
  budget:charge(bytes)
  self.charged = self.charged + bytes
end

--- Keeps a piece of payload until the message ends.
-- @tparam string piece
-- @tparam ?budget budget shared by many readers, see `websockets.engine.budget`
function message:keep(piece, budget)
  if budget then
    if self.charged == 0 then self.number = budget:number() end
    charge(self, budget, #piece + PIECE_BYTES)
  end
  local levels = self.levels
  if not levels then
    levels = {}
    self.levels = levels
  end
  local level = 1
  while true do
    local list = levels[level]
    if not list then
      levels[level] = { piece }
      return
    end
    list[#list + 1] = piece
    if #list < FAN_IN then return end
    piece = concat(list)
    levels[level] = {}
    if budget then charge(self, budget, -(FAN_IN - 1) * PIECE_BYTES) end
    level = level + 1
  end
end

--- Joins what was kept with the last piece.
-- @tparam string last
-- @treturn string the payload of the message
function message:join(last)
  local levels = self.levels
  if not levels then return last end
  local pieces, count = {}, 0
  for level = #levels, 1, -1 do
    local list = levels[level]
    for index = 1, #list do
      count = count + 1
      pieces[count] = list[index]
    end
  end
  pieces[count + 1] = last
  return concat(pieces)
end

--- Tells how far the message has come, among all messages of the budget.
-- @treturn number that changes only with another message, or 64 KiB more of this one
function message:progress()
  local bytes = self.packed and self.have or self.have - self.remaining
  return self.number * PROGRESS_BYTES + math.floor(bytes / PROGRESS_BYTES)
end

--- Gives back what the message took of the budget.
-- @tparam ?budget budget
function message:refund(budget)
  if budget and self.charged > 0 then charge(self, budget, -self.charged) end
end

return message
