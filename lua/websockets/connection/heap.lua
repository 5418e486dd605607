--- Entries in the order of their times, whatever those are: adding, moving and removing one costs the logarithm of how
-- many there are, asking for the first costs nothing.
--
-- Entries are tables. The heap writes their fields `due`, `order` (of two that are due at once the one that was added
-- first comes first) and `place`, false outside.
-- @module websockets.connection.heap
local heap = {}
heap.__index = heap

local floor = math.floor

--- Makes an empty heap.
-- @treturn heap `count`; `order`: that of the entry that was added or moved last
function heap.new()
  return setmetatable({ items = {}, count = 0, order = 0, moving = false }, heap)
end

local function is_before(one, other)
  return one.due < other.due or (one.due == other.due and one.order < other.order)
end

-- An error may come at any place, as from a hook (Ctrl-C), and leave an entry in two places of the list, or the one
-- that was moving (`moving`) in none. This collects each entry once and sorts them: a sorted list is a heap.
local function mend(self)
  local found, seen = {}, {}
  local function collect(entry)
    if entry and entry.place and not seen[entry] then
      seen[entry] = true
      found[#found + 1] = entry
    end
  end
  for i = 1, self.count + 1 do collect(self.items[i]) end
  collect(self.moving)
  table.sort(found, is_before)
  for i = 1, #found do found[i].place = i end
  self.items, self.count = found, #found
  self.moving = false
end

local function put(items, place, entry)
  items[place] = entry
  entry.place = place
end

local function rise(items, place, entry)
  while place > 1 do
    local above = floor(place / 2)
    if not is_before(entry, items[above]) then break end
    put(items, place, items[above])
    place = above
  end
  put(items, place, entry)
end

local function sink(items, count, place, entry)
  while 2 * place <= count do
    local below = 2 * place
    if below < count and is_before(items[below + 1], items[below]) then below = below + 1 end
    if not is_before(items[below], entry) then break end
    put(items, place, items[below])
    place = below
  end
  put(items, place, entry)
end

-- Brings an entry from a place to the one where it belongs.
local function settle(self, place, entry)
  if place > 1 and is_before(entry, self.items[floor(place / 2)]) then
    rise(self.items, place, entry)
  else
    sink(self.items, self.count, place, entry)
  end
  self.moving = false
end

--- Adds an entry, or moves one that is there.
-- @tparam table entry
-- @tparam number due
function heap:put(entry, due)
  if self.moving then mend(self) end
  local place = entry.place
  self.order = self.order + 1
  self.moving = entry
  entry.due, entry.order = due, self.order
  if not place then
    place = self.count + 1
    entry.place = place
    self.items[place] = entry
    self.count = place
  end
  settle(self, place, entry)
end

--- Removes an entry; one that is not there is left alone.
-- @tparam table entry
function heap:remove(entry)
  if self.moving then mend(self) end
  local place, items = entry.place, self.items
  if not place then return end
  local last = items[self.count]
  self.moving = last
  entry.place = false
  items[self.count] = nil
  self.count = self.count - 1
  if last == entry then
    self.moving = false
  else
    settle(self, place, last)
  end
end

--- Names the entry that is due first.
-- @treturn ?table nil where there is none
function heap:first()
  if self.moving then mend(self) end
  return self.items[1]
end

return heap
