--- Deadlines: the order they fire in, stopping, and what a large number of them costs.
-- @module spec.unit.connection.timers_spec

local timers = require "websockets.connection.timers"

describe("websockets.timers", function()
  local set, fired

  local function note(owner, now) fired[#fired + 1] = { owner, now } end

  local function owners()
    local list = {}
    for i, entry in ipairs(fired) do list[i] = entry[1] end
    return list
  end

  before_each(function()
    set, fired = timers.new(), {}
  end)

  it("fires nothing and has nothing due when it is empty", function()
    assert.is_nil(set:next_due())
    assert.equal(0, set:run(1e9))
    assert.same({ 0 }, { set:running(5) })
    assert.same({}, { set:oldest(5) })
  end)

  it("fires at the deadline and not before, with the owner and the time", function()
    set:start(5, 100, "a", note)
    assert.equal(105, set:next_due())
    assert.equal(0, set:run(104.999))
    assert.equal(1, set:run(105))
    assert.same({ { "a", 105 } }, fired)
    assert.equal(0, set:run(1000))
    assert.is_nil(set:next_due())
  end)

  it("fires those of one duration in the order they were started", function()
    for i = 1, 10 do set:start(2, i, i, note) end
    assert.equal(4, set:run(6))
    assert.same({ 1, 2, 3, 4 }, owners())
    assert.equal(6, set:run(100))
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, owners())
  end)

  it("tells the soonest of all durations", function()
    set:start(30, 0, "slow", note)
    set:start(1, 10, "fast", note)
    assert.equal(11, set:next_due())
    set:run(11)
    assert.same({ "fast" }, owners())
    assert.equal(30, set:next_due())
  end)

  it("does not fire what was stopped, first, middle or last", function()
    local slots = {}
    for i = 1, 5 do slots[i] = set:start(1, 0, i, note) end
    set:stop(1, slots[3])
    set:stop(1, slots[1])
    set:stop(1, slots[5])
    assert.same({ 2, 2 }, { set:running(1) })
    assert.same({ 2, 0 }, { set:oldest(1) })
    assert.equal(2, set:run(1))
    assert.same({ 2, 4 }, owners())
  end)

  it("leaves alone what has fired, was stopped, or never was", function()
    local slot = set:start(1, 0, "a", note)
    local other = set:start(1, 0, "b", note)
    set:stop(1, slot)
    set:stop(1, slot)
    set:stop(1, 99)
    set:stop(77, 1)
    assert.same({ 1, "b" }, { set:running(1) })
    set:run(1)
    set:stop(1, other)
    assert.same({ 0 }, { set:running(1) })
    set:start(1, 5, "c", note)
    set:stop(1, slot)
    set:stop(1, other)
    assert.same({ 1, "c" }, { set:running(1) })
  end)

  it("keeps lanes of the same duration apart", function()
    local one, other = { seconds = 3 }, { seconds = 3 }
    local slot = set:start(one, 0, "one", note)
    set:start(other, 0, "other", note)
    set:start(3, 0, "number", note)
    assert.same({ 1, "one" }, { set:running(one) })
    assert.same({ 1, "other" }, { set:running(other) })
    set:stop(one, slot)
    assert.same({ 0 }, { set:running(one) })
    assert.equal(2, set:run(3))
  end)

  it("takes a lane that never ends", function()
    local lane = { seconds = math.huge }
    set:start(lane, 0, "for ever", note)
    assert.is_nil(set:next_due())
    assert.equal(0, set:run(1e15))
    assert.same({ 1, "for ever" }, { set:running(lane) })
  end)

  it("does not fire in the same call what was started while firing", function()
    local lane = { seconds = 0 }
    local function again(owner, now)
      note(owner, now)
      set:start(lane, now, owner .. "'", again)
      set:start(1, now - 1, owner .. "!", note)
    end
    set:start(lane, 5, "a", again)
    set:start(1, 4, "b", again)
    assert.equal(2, set:run(5))
    assert.equal(2, #fired)
    assert.equal(4, set:run(5))
  end)

  it("lets a timer that fires stop another that is due", function()
    local second, third
    set:start(1, 0, "first", function(owner, now)
      note(owner, now)
      set:stop(1, second)
      set:stop({ seconds = 1 }, third)
    end)
    second = set:start(1, 0, "second", note)
    third = set:start(1, 0, "third", note)
    assert.equal(2, set:run(2))
    assert.same({ "first", "third" }, owners())
  end)

  it("loses none when one raises: it names that one, which fires again until it is stopped", function()
    local slot = set:start(1, 0, "bad", function() error("oops", 0) end)
    set:start(1, 0, "good", note)
    for _ = 1, 2 do
      assert.has_error(function() set:run(1) end, "oops")
      assert.equal("bad", set.firing)
      assert.is_true(set:is_running(1, slot))
    end
    set:stop(1, slot)
    assert.is_false(set:is_running(1, slot))
    assert.equal(1, set:run(1))
    assert.is_false(set.firing)
    assert.same({ "good" }, owners())
  end)

  local function plan(name, due, then_due)
    local entry = { name = name, fire = function(self, now)
      if then_due then set:plan(self, then_due) else set:unplan(self) end
      note(self.name, now)
    end }
    set:plan(entry, due)
    return entry
  end

  it("fires what is planned for a time of its own, in the order of these times", function()
    assert.is_false(set:has_plans())
    plan("late", 30)
    plan("early", 10)
    plan("early too", 10)
    assert.is_true(set:has_plans())
    set:start(20, 0, "started", note)
    assert.equal(10, set:next_due())
    assert.equal(0, set:run(9.9))
    assert.equal(2, set:run(10))
    assert.equal(20, set:next_due())
    assert.equal(2, set:run(30))
    assert.same({ "early", "early too", "started", "late" }, owners())
    assert.is_nil(set:next_due())
    assert.is_false(set:has_plans())
  end)

  it("plans anew, sooner or later, and takes back", function()
    local one, other = plan("one", 10), plan("other", 20)
    set:plan(one, 30)
    assert.equal(20, set:next_due())
    set:plan(one, 15)
    assert.equal(15, set:next_due())
    set:unplan(one)
    set:unplan(one)
    assert.equal(20, set:next_due())
    assert.equal(0, set:run(15))
    set:run(20)
    set:unplan(other)
    assert.same({ "other" }, owners())
  end)

  it("fires what is planned while it fires in the next call only", function()
    plan("again", 5, 5)
    assert.equal(1, set:run(5))
    assert.equal(1, set:run(5))
    assert.same({ "again", "again" }, owners())
  end)

  it("fires thousands, each once", function()
    local count, total = 20000, 0
    local function add(owner) total = total + owner end
    local slots = {}
    for i = 1, count do slots[i] = set:start(10, i / 1000, i, add) end
    for i = 1, count, 2 do set:stop(10, slots[i]) end
    assert.same({ count / 2, 2 }, { set:running(10) })
    assert.equal(count / 2, set:run(1000))
    assert.equal(count / 2 * (count / 2 + 1), total)
    assert.is_nil(set:next_due())
  end)

  it("keeps no place for the stopped ones after one that stays", function()
    local lane = { seconds = math.huge }
    set:start(lane, 0, "stays", note)
    for i = 1, 20000 do set:stop(lane, set:start(lane, i, "goes", note)) end
    local queue, places = set.queues[lane], 0
    for _, list in ipairs({ queue.due, queue.owner, queue.fire }) do
      for _ in pairs(list) do places = places + 1 end
    end
    assert.equal(2, places)
    assert.same({ 1, "stays" }, { set:running(lane) })
    set:start(lane, 30000, "next", note)
    set:stop(lane, 1)
    assert.same({ 1, "next" }, { set:running(lane) })
  end)

  it("keeps no queue for each duration that was used once, and none of their slots is another's", function()
    local function count() local found = 0 for _ in pairs(set.queues) do found = found + 1 end return found end
    local first = set:start(1000, 0, "first", note)
    local old = set:start(3, 0, "old", note)
    set:stop(3, old)
    for i = 1, 5000 do
      local seconds = 5 + i / 1000
      set:stop(seconds, set:start(seconds, i / 1000, "short", note))
      local lane = set:lane("a kind", seconds)
      set:stop(lane, set:start(lane, i / 1000, "short", note))
    end
    assert.is_true(count() <= 64 and #set.order <= 64)
    set:start(3, 10, "new", note)
    set:stop(3, old)
    assert.equal(1, set:run(13))
    assert.same({ "new" }, owners())
    assert.is_true(set:is_running(1000, first))
    collectgarbage()
    collectgarbage()
    local lanes = 0
    for _ in pairs(set.lanes["a kind"]) do lanes = lanes + 1 end
    assert.is_true(lanes <= 64)
  end)

  it("fires the queues in the order in which they were begun", function()
    for i = 20, 1, -1 do set:start(i, 0, i, note) end
    set:start(20, 0, "20 again", note)
    assert.equal(21, set:run(20))
    assert.same({ 20, "20 again", 19, 18, 17 }, { owners()[1], owners()[2], owners()[3], owners()[4], owners()[5] })
  end)

  it("loses no timer where memory is refused while its queue is made", function()
    set:start(1, 0, "first", note)
    for _, field in ipairs({ "queues", "order" }) do
      local list, lane = set[field], { seconds = 2 }
      setmetatable(list, { __newindex = function() error("not enough memory", 0) end })
      assert.same({ false, "not enough memory" }, { pcall(set.start, set, lane, 0, "refused", note) })
      setmetatable(list, nil)
      set:start(lane, 0, field, note)
    end
    for i = 1, 200 do set:stop(i + 10, set:start(i + 10, 0, "goes", note)) end
    assert.equal(3, set:run(2))
    assert.same({ "first", "queues", "order" }, owners())
    assert.is_nil(set:next_due())
  end)

  it("keeps the queues of many durations that are in use", function()
    for i = 1, 1000 do set:start(i, 0, i, note) end
    for i = 1001, 1300 do set:stop(i, set:start(i, 0, i, note)) end
    assert.equal(1000, set:run(2000))
  end)
end)
