--- What the wires of one context share where there is no accelerator: which of them queued something, how much waits,
-- and reading from many at once.
-- @module websockets.wire.hub
local budget = require("websockets.engine.budget")
local histogram = require("websockets.histogram")
local queue_of = require("websockets.wire.queue")

local TURN_SECONDS = { 0.00025, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5 }

local hub_of = {
  --- Stands for what is no message; no peer can send this opcode.
  OTHER = 3,
  --- By which lengths turns are told apart, in seconds.
  TURN_SECONDS = TURN_SECONDS,
}

local weigh = queue_of.weight

-- A hub of the accelerator has one of these beside it, for connections on other transports.
local NO_STREAMS = { count = 0, reports = {}, is_used = false }

-- Sends what was queued since the last time.
local function flush_hub(hub, reports)
  local count, at = 0, 0
  hub.is_in_turn = false
  while at < hub.count do
    at = at + 1
    local wire = hub[at]
    -- False where an interrupted turn (Ctrl-C) had got so far.
    if wire then
      local is_reported = wire.refused or wire.took or wire.is_new
      local pending, took = wire:flush()
      if is_reported or pending ~= 0 then
        reports[3 * count + 2], reports[3 * count + 3] = pending or false, took
        reports[3 * count + 1] = wire.owner
        count = count + 1
      end
      wire.listed = false
      hub[at] = false
    end
  end
  hub.count = 0
  return count
end

--- Turns the pairs that a wire read into entries of three arrays; takes the payloads out of the batch.
-- @tparam table batch opcode, payload pairs
-- @tparam integer count of pairs
-- @param owner what they belong to
-- @tparam table takers filled from its beginning, as the next two
-- @tparam table opcodes
-- @tparam table payloads
function hub_of.spread(batch, count, owner, takers, opcodes, payloads)
  for i = 1, count do
    local at = 2 * i
    opcodes[i], payloads[i] = batch[at - 1], batch[at]
    takers[i] = owner
    batch[at] = false
  end
end

local spread = hub_of.spread

-- Adds why a read has brought nothing more, where the owner has to know, and gives the new count.
local function put_other(owner, wire, again, count, takers, opcodes, payloads)
  if again == "timeout" then
    -- A transport that waits for room to send is the connection's to follow.
    if not wire.transport.is_stalled then return count end
    again = false
  end
  opcodes[count + 1], payloads[count + 1] = hub_of.OTHER, again
  takers[count + 1] = owner
  return count + 1
end

-- One token a call, which is an owner here.
local function read_hub(hub, readable, place, _, _, takers, opcodes, payloads)
  local owner, batch, count, again = readable[place], hub.batch, 0, false
  hub.is_in_turn = true
  -- False where an error came after it was read.
  if not owner then return 0, place + 1 end
  local wire = hub.direct[owner]
  if wire then count, again = wire:read(batch) end
  if count == 1 then
    -- As nearly always.
    opcodes[1], payloads[1] = batch[1], batch[2]
    takers[1] = owner
    batch[2] = false
  elseif count then
    spread(batch, count, owner, takers, opcodes, payloads)
  end
  if again or not wire then
    count = put_other(owner, wire, again, count or 0, takers, opcodes, payloads)
  end
  -- An error before this has the connection ended: nobody can tell how far it was read.
  readable[place] = false
  return count, place + 1
end

--- Makes what the wires of one context share: which of them queued something, and how much waits in all.
--
-- `hub.flush(hub.source, reports, owners)` sends what was queued. It fills `reports` with triples, and returns how
-- many there are: the owner of a wire; bytes that wait, or false where it broke; whether any was taken, or why it
-- broke. It reports only wires that broke, that wait for their peer or have ceased to, of which bytes were taken
-- between two flushes, or that have not been started. `owners` has owners by descriptor, for the accelerator.
--
-- `hub.read(hub.source, readable, first, last, owners, takers, opcodes, payloads)` reads once from the first in a part
-- of what the poller found ready, at least one, and leaves false in their places; after an error not in that of the one
-- that it has read in part. It fills the last three arrays with
-- the owner, opcode and payload of each message, and with the opcode 3 for what is none: its payload is true where more
-- of an owner may be here already, 0 where its wire has something to be told by `unfinished`, why nothing more can
-- come, or false for an owner without a wire that is `direct`.
-- Returns how many; the place of the next. From then on `stream.write` queues, until the flush.
--
-- `hub.streams` is the hub of wires on other transports, which is flushed by itself while its `count` is above 0;
-- `is_used` tells whether there have been any.
--
-- `hub.turns` counts turns by their length; false where the accelerator does so.
-- @treturn table hub: `buffered` bytes and `pieces` that wait in all; what `traffic` tells
function hub_of.new()
  local hub = {
    count = 0, buffered = 0, pieces = 0, batch = {}, reports = {}, direct = {}, is_in_turn = false,
    streams = NO_STREAMS, flush = flush_hub, read = read_hub, turns = histogram.new(TURN_SECONDS),
    received_messages = 0, received_bytes = 0, sent_messages = 0, sent_bytes = 0,
  }
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

--- Tells how much waits to be sent.
-- @tparam table hub
-- @treturn number bytes
function hub_of.buffered_total(hub)
  return hub.buffered
end

--- Tells what has come and gone since the hub was made.
-- @tparam table hub
-- @treturn number whole text and binary messages that have come
-- @treturn number bytes that sockets gave
-- @treturn number messages that were queued
-- @treturn number bytes that sockets took
function hub_of.traffic(hub)
  return hub.received_messages, hub.received_bytes, hub.sent_messages, hub.sent_bytes
end

--- Tells how long turns took.
-- @tparam table hub
-- @treturn histogram
function hub_of.durations(hub)
  return hub.turns
end

--- Makes the account of what unfinished messages hold.
-- @tparam table _ hub
-- @tparam number limit bytes
-- @treturn budget
function hub_of.budget(_, limit)
  return budget.new(limit)
end

return hub_of
