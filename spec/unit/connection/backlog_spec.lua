--- What waits beside a full queue, topic by topic: order, replacing, dropping, and when it goes on.
-- @module spec.unit.connection.backlog_spec
local fakes = require("spec.support.fakes")
local subscriptions = require("websockets.connection.subscriptions")

local TEXT, BINARY = 1, 2
local MESSAGE_BYTES = 128

local function start(given)
  local context = fakes.context(given)
  local ws, wire = fakes.connection(context)
  context.subscriptions = subscriptions.new({})
  local waiting = context.subscriptions.backlog
  return waiting, ws, wire
end

-- What the wire got, payloads only.
local function pushed(wire)
  local list = {}
  for i, frame in ipairs(wire.pushed) do list[i] = frame[2] end
  return table.concat(list, " ")
end

local function add(waiting, ws, name, ...)
  for _, data in ipairs({ ... }) do waiting:add(ws, name, nil, TEXT, data) end
end

describe("the backlog", function()
  it("of a connection for which nothing waits is nothing", function()
    local waiting, ws = start()
    assert.same({ false, 0, 0 }, { waiting:has(ws), waiting:size(ws), waiting:drop(ws, 10) })
    assert.is_false(waiting:feed(ws))
    waiting:release(ws)
    waiting:forget(ws)
    assert.same({ {}, 0 }, { waiting.lists, waiting.bytes })
  end)

  it("counts bytes, and more for each message", function()
    local waiting, ws = start()
    add(waiting, ws, "t", "12345", "")
    assert.same({ true, 5 + 2 * MESSAGE_BYTES }, { waiting:has(ws), waiting:size(ws) })
    assert.equal(waiting.bytes, waiting:size(ws))
    waiting:forget(ws)
    assert.same({ false, 0, 0 }, { waiting:has(ws), waiting:size(ws), waiting.bytes })
  end)

  it("goes on in the order of each topic, the topics in turn, as text and binary; then it is gone", function()
    local waiting, ws, wire = start()
    add(waiting, ws, "a", "a1", "a2", "a3")
    waiting:add(ws, "b", nil, BINARY, "b1")
    assert.is_true(waiting:feed(ws))
    assert.equal("a1 b1 a2 a3", pushed(wire))
    assert.same({ BINARY, "b1", true }, { wire.pushed[2][1], wire.pushed[2][2], wire.pushed[2][3] })
    -- What comes now still has to wait: what was queued has not left.
    assert.is_true(waiting:has(ws))
    assert.is_false(waiting:feed(ws))
    assert.same({ false, 0 }, { waiting:has(ws), waiting.bytes })
  end)

  it("has the connection flushed when something begins to wait, and after each part", function()
    local waiting, ws = start()
    local agenda = ws.context.agenda
    add(waiting, ws, "t", "x", "y")
    assert.equal(1, agenda.touched_count)
    waiting:feed(ws)
    assert.equal(2, agenda.touched_count)
    waiting:feed(ws)
    assert.equal(2, agenda.touched_count)
  end)

  it("goes on in parts of high_water_bytes, and where the wire refuses stays as it is", function()
    local waiting, ws, wire = start({ high_water_bytes = 10 })
    add(waiting, ws, "t", "1", "2", "3")
    wire.refusals = 1
    wire.why = "full"
    assert.is_true(waiting:feed(ws))
    assert.equal("", pushed(wire))
    wire.pending = 11
    assert.is_true(waiting:feed(ws))
    assert.equal("", pushed(wire))
    wire.pending = 10
    assert.is_true(waiting:feed(ws))
    assert.equal("1 2 3", pushed(wire))
  end)

  it("loses what the wire can never take", function()
    local waiting, ws, wire = start()
    add(waiting, ws, "t", "1", "2")
    wire.refusals, wire.why = 1, "entropy"
    waiting:feed(ws)
    assert.equal("2", pushed(wire))
    assert.equal(0, waiting:size(ws))
  end)

  it("waits for the end of a message in fragments", function()
    local waiting, ws, wire = start()
    add(waiting, ws, "t", "x")
    ws.fragment = { held = {}, held_bytes = 0 }
    assert.is_true(waiting:feed(ws))
    assert.equal("", pushed(wire))
    ws.fragment = false
    waiting:feed(ws)
    assert.equal("x", pushed(wire))
  end)

  it("a message takes the place of the one with its key that waits, in that topic alone", function()
    local waiting, ws, wire = start()
    assert.is_false(waiting:add(ws, "t", "k", TEXT, "old"))
    assert.is_false(waiting:add(ws, "t", "other", TEXT, "o"))
    assert.is_false(waiting:add(ws, "u", "k", TEXT, "u"))
    assert.is_true(waiting:add(ws, "t", "k", BINARY, "newer"))
    assert.equal(5 + 1 + 1 + 3 * MESSAGE_BYTES, waiting:size(ws))
    waiting:feed(ws)
    assert.equal("newer u o", pushed(wire))
    assert.equal(BINARY, wire.pushed[1][1])
    -- It has left: the next one replaces nothing.
    assert.is_false(waiting:add(ws, "t", "k", TEXT, "next"))
  end)

  it("drops the oldest of the topic of which most waits, and notes it", function()
    local waiting, ws, wire = start()
    add(waiting, ws, "small", "s")
    add(waiting, ws, "large", "l1", "l2", "l3")
    local drops = ws.context.agenda.drops
    assert.equal(MESSAGE_BYTES + 2, waiting:drop(ws, 1))
    assert.equal(MESSAGE_BYTES + 2, waiting:drop(ws, MESSAGE_BYTES + 2))
    assert.equal(2, drops.total)
    waiting:feed(ws)
    assert.equal("s l3", pushed(wire))
    add(waiting, ws, "t", "x")
    assert.equal(MESSAGE_BYTES + 1, waiting:drop(ws, math.huge))
    assert.equal(3, drops.total)
    assert.equal(0, waiting.bytes)
  end)

  it("a key that was dropped replaces nothing", function()
    local waiting, ws, wire = start()
    waiting:add(ws, "t", "k", TEXT, "old")
    waiting:drop(ws, 1)
    assert.is_false(waiting:add(ws, "t", "k", TEXT, "new"))
    waiting:feed(ws)
    assert.equal("new", pushed(wire))
  end)

  it("leaves at once before a close frame, as far as the wire takes it; the rest is noted", function()
    local waiting, ws, wire = start({ high_water_bytes = 1 })
    add(waiting, ws, "t", "1", "2")
    wire.pending = 5
    waiting:release(ws)
    assert.equal("1 2", pushed(wire))
    add(waiting, ws, "t", "3")
    wire.refusals, wire.why = 1, "full"
    waiting:release(ws)
    assert.same({ "1 2", 1, false, 0 }, { pushed(wire), ws.context.agenda.drops.total, waiting:has(ws), waiting.bytes })
  end)

  it("holds what was added and has not been taken, whatever is done in whatever order", function()
    local seed = 11
    local function random(most)
      seed = (seed * 16807) % 2147483647
      return seed % most + 1
    end
    local waiting, ws, wire = start({ high_water_bytes = 1000 })
    local topics = { "a", "b", "c" }
    local number, drops = 0, ws.context.agenda.drops
    local seen, added = 0, 0
    for _ = 1, 4000 do
      local what = random(10)
      if what <= 7 then
        number = number + 1
        local name = topics[random(3)]
        if not waiting:add(ws, name, name == "c" and tostring(random(4)) or nil, TEXT, name .. number) then
          added = added + 1
        end
      elseif what == 8 then
        waiting:drop(ws, random(400))
      else
        wire.refusals, wire.why = random(4) - 1, "full"
        waiting:feed(ws)
      end
      assert.equal(waiting.bytes, waiting:size(ws))
    end
    wire.refusals = 0
    while waiting:feed(ws) do end
    local last = { a = 0, b = 0 }
    for _, frame in ipairs(wire.pushed) do
      local name, at = frame[2]:match("^(%a)(%d+)$")
      seen = seen + 1
      if last[name] then
        assert.is_true(tonumber(at) > last[name])
        last[name] = tonumber(at)
      end
    end
    assert.equal(added, seen + drops.total)
    assert.same({ {}, 0 }, { waiting.lists, waiting.bytes })
  end)

  -- A table that raises once when a new key is set, as for want of memory.
  local function raising(real)
    return setmetatable({}, {
      __index = real, __len = function() return #real end,
      __newindex = function() error("not enough memory", 0) end,
    })
  end

  it("is whole after a message that found no memory, whichever step that met, and goes on with the next", function()
    for _, step in ipairs({ "touch", "lists", "queues", "order", "queue", "keys" }) do
      local waiting, ws, wire = start()
      local agenda, undo = ws.context.agenda
      if step == "touch" then
        local touch = agenda.touch
        function agenda.touch() error("not enough memory", 0) end
        function undo() agenda.touch = touch end
      elseif step == "lists" then
        local lists = waiting.lists
        waiting.lists = raising(lists)
        function undo() waiting.lists = lists end
      else
        waiting:add(ws, "t", "k0", TEXT, "first")
        local list = waiting.lists[ws]
        local owner = ({ queues = list, order = list, queue = list.queues, keys = list.queues.t })[step]
        local name = step == "queue" and "t" or step
        local real = owner[name]
        owner[name] = raising(real)
        function undo() owner[name] = real end
      end
      local topic = (step == "queues" or step == "order") and "new" or "t"
      local is_good, err = pcall(waiting.add, waiting, ws, topic, "k1", TEXT, "lost")
      assert.same({ step, false, "not enough memory" }, { step, is_good, err })
      undo()
      waiting:add(ws, topic, "k1", TEXT, "second")
      local rounds = 0
      while waiting:feed(ws) do
        rounds = rounds + 1
        assert.is_true(rounds < 5, step)
      end
      assert.same({ step, (topic == "new" or step == "queue" or step == "keys") and "first second" or "second" },
        { step, pushed(wire) })
      assert.same({ false, 0 }, { waiting:has(ws), waiting.bytes })
    end
  end)
end)
