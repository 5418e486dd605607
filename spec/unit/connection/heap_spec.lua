--- Entries in the order of their times: against a sorted list, and what an interruption leaves.
-- @module spec.unit.connection.heap_spec

local heap = require "websockets.connection.heap"
local interrupts = require "spec.support.interrupts"
local random = require("spec.support.engine").random

-- Takes all entries out; their numbers, in the order of the heap.
local function drain(set)
  local list = {}
  local entry = set:first()
  while entry do
    list[#list + 1] = entry.number
    set:remove(entry)
    entry = set:first()
  end
  return list
end

local function sorted(entries)
  local list = {}
  for _, entry in pairs(entries) do list[#list + 1] = entry end
  table.sort(list, function(one, other)
    return one.due < other.due or (one.due == other.due and one.order < other.order)
  end)
  local numbers = {}
  for i, entry in ipairs(list) do numbers[i] = entry.number end
  return numbers
end

describe("websockets.connection.heap", function()
  it("gives entries by time, and those of one time in the order in which they came", function()
    local set = heap.new()
    assert.is_nil(set:first())
    for number, due in ipairs({ 5, 1, 5, 3, 1, 5 }) do set:put({ number = number }, due) end
    assert.equal(6, set.count)
    assert.same({ 2, 5, 4, 1, 3, 6 }, drain(set))
    assert.equal(0, set.count)
  end)

  it("does what a sorted list does, whatever is added, moved and removed", function()
    local next_random = random(7)
    for _ = 1, 30 do
      local set, entries = heap.new(), {}
      for number = 1, 200 do
        local what, other = next_random(4), entries[next_random(number)]
        if what == 1 and other then
          set:remove(other)
          entries[other.number] = nil
          assert.is_false(other.place)
        elseif what == 2 and other then
          set:put(other, next_random(50))
        else
          entries[number] = { number = number }
          set:put(entries[number], next_random(50))
        end
        local first = set:first()
        assert.equal(sorted(entries)[1], first and first.number)
      end
      assert.same(sorted(entries), drain(set))
    end
  end)

  it("leaves alone what is not there", function()
    local set, entry = heap.new(), { number = 1 }
    set:remove(entry)
    set:put(entry, 1)
    set:remove(entry)
    set:remove(entry)
    assert.equal(0, set.count)
  end)

  it("works in as many steps as the logarithm of its number", function()
    local set, steps, comparisons = heap.new(), 0, 0
    local Entry = { __index = function(self, key)
      if key == "due" then comparisons = comparisons + 1 end
      return rawget(self, "times_" .. key)
    end, __newindex = function(self, key, value) rawset(self, "times_" .. key, value) end }
    for i = 1, 4096 do
      set:put(setmetatable({}, Entry), (i * 1237) % 4096)
      if i % 64 == 0 then
        comparisons = 0
        local entry = set:first()
        set:remove(entry)
        set:put(entry, 2048)
        steps = math.max(steps, comparisons)
      end
    end
    assert.is_true(steps > 10 and steps < 150, steps)
  end)

  it("has each entry once after an interruption at any step", function()
    local function act(set, entries, arm)
      arm()
      set:remove(entries[3])
      set:put(entries[20], 2)
      set:put(entries[31], 9)
      set:remove(entries[1])
    end
    local count = interrupts.sweep(1, function(steps)
      local set, entries = heap.new(), {}
      for number = 1, 31 do
        entries[number] = { number = number }
        if number < 31 then set:put(entries[number], number) end
      end
      pcall(act, set, entries, function() interrupts.arm(steps, act) end)
      debug.sethook()
      local there = {}
      for number, entry in ipairs(entries) do there[number] = entry.place and entry or nil end
      -- Whether each of the four was done is not known; all the others are there.
      for number, entry in ipairs(entries) do
        assert.is_true(entry.place and true or number == 1 or number == 3 or number == 31)
      end
      assert.same(sorted(there), drain(set))
    end)
    assert.is_true(count > 50, count .. " interrupts")
  end)
end)
