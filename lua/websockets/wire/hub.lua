--- What the wires of one context share where there is no accelerator: who queued something, how much waits, and reading
-- from many at once.
-- @module websockets.wire.hub
local queue_of = require("websockets.wire.queue")

local hub_of = {}

-- How much is read before anybody takes it, and what a message counts beside its payload.
local READ_BYTES, MESSAGE_BYTES = 65536, 512
-- Stands for what is no message; no peer can send this opcode.
local OTHER = 3

local weigh = queue_of.weight

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

-- What one owner has to read goes behind the first `count` of the arrays. Returns how many there are then, and what the
-- new ones weigh.
local function read_one(hub, owner, count, owners, opcodes, payloads)
  local wire, batch, messages, again, weight = owner.plain, hub.batch, 0, false, 0
  if wire then messages, again = wire:read(batch) end
  for i = 1, messages or 0 do
    local at = count + i
    owners[at], opcodes[at], payloads[at] = owner, batch[2 * i - 1], batch[2 * i]
    weight = weight + MESSAGE_BYTES + #batch[2 * i]
    batch[2 * i] = false
  end
  count = count + (messages or 0)
  if not wire or (again and again ~= "timeout") then
    count = count + 1
    owners[count], opcodes[count], payloads[count] = owner, OTHER, again
  end
  return count, weight
end

local function read_hub(hub, readable, place, last, owners, opcodes, payloads)
  local count, room = 0, READ_BYTES
  while place <= last and room > 0 do
    local owner, weight = readable[place]
    readable[place] = false
    place = place + 1
    count, weight = read_one(hub, owner, count, owners, opcodes, payloads)
    room = room - weight
  end
  return count, place
end

--- Makes what the wires of one context share: which of them queued something, and how much waits in all.
--
-- `hub:flush(reports)` sends what was queued and fills the table with triples for which it returns the count: the owner
-- of a wire; bytes that wait, or false where it broke; whether any was taken, or why it broke.
--
-- `hub:read(readable, first, last, owners, opcodes, payloads)` reads once from each owner in a part of an array, but no
-- further when enough has come, and leaves false in its place. It fills the other three with messages, and with the
-- opcode 3 for what is none: its payload is true where more of an owner may be here already, why there is nothing any
-- more, or false for an owner without a wire in `plain`. Returns how many; the place of the next owner.
-- @treturn table hub: `buffered` bytes and `pieces` that wait in all
function hub_of.new()
  return { count = 0, buffered = 0, pieces = 0, batch = {}, flush = flush_hub, read = read_hub }
end

--- Tells how far all that waits is past a limit.
-- @tparam table hub
-- @tparam number limit bytes
-- @treturn number bytes too much, 0 or less when there is room
function hub_of.excess(hub, limit)
  return weigh(hub.buffered, hub.pieces) - limit
end

--- Makes the account of what unfinished messages hold.
-- @tparam table _ hub
-- @tparam number limit bytes
-- @treturn table `used`, `limit`
function hub_of.budget(_, limit)
  return { used = 0, limit = limit }
end

return hub_of
