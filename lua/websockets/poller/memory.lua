--- Which ends of connections in memory are ready. While none is, it lets others do something, or time pass.
-- @module websockets.poller.memory
local memory_poller = {
  --- What a turn raises where waiting has failed, which it never does.
  fault = "waiting failed",
}
memory_poller.__index = memory_poller

local remove = table.remove

--- Makes a poller that watches nothing.
-- @tparam function pass `pass(poller, seconds)` has others do something, or lets at most so many seconds pass (nil:
-- without end); gives the seconds that have passed, nil where nothing can happen any more
-- @treturn memory_poller
function memory_poller.new(pass)
  -- What is watched, in the order in which that began.
  local poller = setmetatable({ pass = pass, entries = {}, is_interrupted = false }, memory_poller)
  poller.source = poller
  return poller
end

--- Tells whether a descriptor can be watched here.
-- @treturn boolean true
function memory_poller.can_watch()
  return true
end

local function place_of(self, source)
  for place, entry in ipairs(self.entries) do
    if entry.source == source then return place end
  end
end

--- Sets what is waited for; neither ends the watch.
-- @tparam table transport with `is_readable()` and `is_writable()`, or with a `socket` that has them
-- @param owner what `wait` reports
-- @tparam boolean read
-- @tparam boolean write
function memory_poller:watch(transport, owner, read, write)
  local source = transport.socket or transport
  local place = place_of(self, source)
  if read or write then
    self.entries[place or #self.entries + 1] = { source = source, owner = owner, read = read, write = write }
  elseif place then
    remove(self.entries, place)
  end
end

local function collect(self, readable, writable)
  local reads, writes = 0, 0
  for _, entry in ipairs(self.entries) do
    if entry.read and entry.source:is_readable() then
      reads = reads + 1
      readable[reads] = entry.owner
    end
    if entry.write and entry.source:is_writable() then
      writes = writes + 1
      writable[writes] = entry.owner
    end
  end
  return reads, writes
end

--- Tells whether a wait would find something.
-- @treturn boolean
function memory_poller:is_ready()
  local reads, writes = collect(self, {}, {})
  return reads + writes > 0
end

--- Waits until something is ready: `poller.wait(poller.source, seconds, owners, readable, writable)`.
-- @tparam ?number seconds at most, nil without end
-- @tparam table _ descriptor -> owner, for a poller that knows sockets by descriptor
-- @tparam table readable filled with owners
-- @tparam table writable filled with owners
-- @treturn integer how many readable
-- @treturn integer how many writable
function memory_poller:wait(seconds, _, readable, writable)
  local reads, writes = collect(self, readable, writable)
  while reads + writes == 0 and seconds ~= 0 and not self.is_interrupted do
    local passed = self:pass(seconds)
    if not passed then break end
    seconds = seconds and math.max(0, seconds - passed)
    reads, writes = collect(self, readable, writable)
  end
  self.is_interrupted = false
  return reads, writes
end

--- Has nothing that could wake another loop.
function memory_poller.set_alarm() end

--- Makes the wait that is going on, or the next one, end at once.
function memory_poller:interrupt()
  self.is_interrupted = true
end

--- Forgets everything.
function memory_poller:close()
  self.entries = {}
end

return memory_poller
