--- What the wires of one context share where there is no accelerator: who queued something, how much waits, and reading
-- from many at once.
-- @module websockets.wire.hub
local queue_of = require("websockets.wire.queue")

local hub_of = {
  --- Stands for what is no message; no peer can send this opcode.
  OTHER = 3,
}

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
      local is_told = wire.refused or wire.took or wire.attends
      wire.listed = false
      local pending, took = wire:flush()
      if is_told or pending ~= 0 then
        reports[3 * count + 1], reports[3 * count + 2], reports[3 * count + 3] = wire.owner, pending or false, took
        count = count + 1
      end
    end
  end
  hub.count = 0
  return count
end

-- One owner a call: an error in the midst of it costs nobody else a message.
local function read_hub(hub, readable, place, _, owners, opcodes, payloads)
  local owner, batch, count, again = readable[place], hub.batch, 0, false
  readable[place] = false
  -- False where an error has come behind it.
  if not owner then return 0, place + 1 end
  local wire = owner.plain
  if wire then count, again = wire:read(batch) end
  count = count or 0
  for i = 1, count do
    owners[i], opcodes[i], payloads[i] = owner, batch[2 * i - 1], batch[2 * i]
    batch[2 * i] = false
  end
  if not wire or (again and again ~= "timeout") then
    count = count + 1
    owners[count], opcodes[count], payloads[count] = owner, hub_of.OTHER, again
  end
  return count, place + 1
end

--- Makes what the wires of one context share: which of them queued something, and how much waits in all.
--
-- `hub.flush(hub.source, reports, owners)` sends what was queued and fills `reports` with triples for which it returns
-- the count: the owner of a wire; bytes that wait, or false where it broke; whether any was taken, or why it broke. It
-- tells only of wires that broke, that wait for their peer or have ceased to, of which bytes were taken between two
-- flushes, or that asked by `attend`. Where owners are found by descriptor, `owners` has them so; and the function may
-- be another one the next time.
--
-- `hub.read(hub.source, readable, first, last, owners, opcodes, payloads)` reads once from the first owners in a part
-- of an array, at least one, and leaves false in their places. It fills the other three with messages, and with the
-- opcode 3 for what is none: its payload is true where more of an owner may be here already, why there is nothing any
-- more, or false for an owner without a wire in `plain`. Returns how many; the place of the next owner.
-- @treturn table hub: `buffered` bytes and `pieces` that wait in all
function hub_of.new()
  local hub = { count = 0, buffered = 0, pieces = 0, batch = {}, flush = flush_hub, read = read_hub }
  hub.source = hub
  return hub
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
