--- Which sockets are ready, by LuaSocket's `select`: everywhere, up to 1,024 descriptors.
-- @module websockets.poller.select
local luasocket = require("websockets.transport.luasocket")

local select_poller = {
  --- What a turn raises where waiting has failed: the words of LuaSocket's `select`.
  fault = "select failed",
}
select_poller.__index = select_poller

-- LuaSocket goes on waiting after a signal, and Lua notices a Ctrl-C only between its waits.
local WAIT_SECONDS = 0.5
local HUGE = math.huge

--- Makes a poller that watches nothing.
-- @treturn select_poller `source` is what its `wait` is called with
function select_poller.new()
  local socket = luasocket.library()
  local poller = setmetatable({
    select = socket.select,
    limit = socket._SETSIZE or 1024,
    reading = {}, writing = {}, read_slot = {}, write_slot = {}, owner = {}, is_interrupted = false,
  }, select_poller)
  poller.source = poller
  return poller
end

--- Tells whether a descriptor can be watched here.
-- @tparam integer fd
-- @treturn boolean
function select_poller:can_watch(fd)
  return fd >= 0 and fd < self.limit
end

local function put(list, slots, socket, wanted)
  local slot, count = slots[socket], #list
  -- An error may have come between the two.
  local is_there = slot and list[slot] == socket
  if wanted and not is_there then
    slots[socket] = count + 1
    list[count + 1] = socket
  elseif slot and not wanted then
    if is_there then
      local last = list[count]
      list[slot] = last
      slots[last] = slot
      list[count] = nil
    end
    slots[socket] = nil
  end
end

--- Sets what is waited for on a transport; neither ends the watch.
-- @tparam table transport with `socket` and `getfd()`
-- @param owner what `wait` reports
-- @tparam boolean read
-- @tparam boolean write
function select_poller:watch(transport, owner, read, write)
  local socket = transport.socket
  if not (read or write or self.owner[socket]) then return end
  -- select raises on a descriptor past its set; an outside loop may still serve it by service_fd.
  if (read or write) and not self:can_watch(transport:getfd()) then return end
  if read or write then self.owner[socket] = owner end
  put(self.reading, self.read_slot, socket, read)
  put(self.writing, self.write_slot, socket, write)
  if not (read or write) then self.owner[socket] = nil end
end

--- Waits until something is ready: `poller.wait(poller.source, seconds, owners, readable, writable)`.
-- @tparam ?number seconds at most, nil without end
-- @tparam table _ descriptor -> owner, for a poller that knows sockets by descriptor
-- @tparam table readable filled with owners
-- @tparam table writable filled with owners
-- @treturn integer how many readable
-- @treturn integer how many writable
function select_poller:wait(seconds, _, readable, writable)
  local rest = seconds or HUGE
  local can_read, can_write
  repeat
    can_read, can_write = self.select(self.reading, self.writing, rest < WAIT_SECONDS and rest or WAIT_SECONDS)
    if can_read[1] or can_write[1] then break end
    rest = rest - WAIT_SECONDS
  until rest <= 0 or self.is_interrupted
  self.is_interrupted = false
  local owner, reads, writes = self.owner, 0, 0
  for i = 1, #can_read do
    reads = reads + 1
    readable[reads] = owner[can_read[i]]
  end
  for i = 1, #can_write do
    writes = writes + 1
    writable[writes] = owner[can_write[i]]
  end
  return reads, writes
end

--- Makes the wait that is going on, or the next one, end within half a second.
function select_poller:interrupt()
  self.is_interrupted = true
end

--- Forgets everything.
function select_poller:close()
  self.reading, self.writing, self.read_slot, self.write_slot, self.owner = {}, {}, {}, {}, {}
end

return select_poller
