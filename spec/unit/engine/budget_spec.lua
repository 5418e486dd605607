--- What readers hold of unfinished messages: counted, limited, given back.
-- @module spec.unit.engine.budget_spec

local new_budget = require("websockets.engine.budget").new
local support = require "spec.support.engine"

local frame, masked, options, read = support.frame, support.masked, support.options, support.read

local PIECE_BYTES = 128
local PLENTY = 67108864

-- A reader with a budget of its own, and that budget.
local function budgeted(engine, limit)
  local budget = new_budget(limit or PLENTY)
  return engine.reader(options { budget = budget }), budget
end

local function describe_accounting(engine)
  it("holds nothing for messages that come whole", function()
    local one, budget = budgeted(engine, 0)
    local stream = masked(1, "Hello") .. masked(2, ("x"):rep(1000)) .. masked(2, ("x"):rep(70000)) .. masked(9, "ping")
    assert.equal(8, #read(one, stream))
    assert.equal(0, budget:used())
  end)

  it("holds nothing of unfinished headers and control frames", function()
    local one, budget = budgeted(engine, 0)
    assert.same({ 9, ("p"):rep(125) }, read(one, masked(9, ("p"):rep(125)), 1))
    assert.equal(0, budget:used())
    assert.same({}, read(one, masked(2, ("x"):rep(70000)):sub(1, 14), 1))
    assert.equal(0, budget:used())
  end)

  it("counts the bytes of an unfinished frame, and gives them back with the message", function()
    local one, budget = budgeted(engine)
    local stream = masked(2, ("x"):rep(1000))
    read(one, stream:sub(1, 508))
    assert.is_true(budget:used() >= 500 + PIECE_BYTES)
    read(one, stream:sub(509, 608))
    assert.is_true(budget:used() >= 600)
    assert.equal(2, #read(one, stream:sub(609)))
    assert.equal(0, budget:used())
  end)

  it("counts at least 128 bytes for tiny fragments", function()
    local one, budget = budgeted(engine)
    read(one, masked(1, "a", false))
    assert.is_true(budget:used() >= 1 + PIECE_BYTES)
    read(one, masked(0, "b"))
    assert.equal(0, budget:used())
  end)
end

local function describe_ends(engine)
  it("gives back with a breach, a close frame and release", function()
    local ends = {
      function(one) return read(one, masked(3, "")) end,
      function(one) return read(one, masked(8, "")) end,
      function(one) return read(one, masked(1, "new message")) end,
      function(one) return read(one, masked(0, "\255")) end,
      function(one) return one:release() end,
    }
    for _, finish in ipairs(ends) do
      local one, budget = budgeted(engine)
      read(one, masked(1, ("x"):rep(1000), false) .. masked(0, "abc", false))
      assert.is_true(budget:used() > 1000)
      finish(one)
      assert.equal(0, budget:used())
      one:release()
      assert.equal(0, budget:used())
    end
  end)

  it("gives back what an unfinished frame held where the reader is released", function()
    local one, budget = budgeted(engine)
    read(one, masked(2, ("x"):rep(1000)):sub(1, 700), 100)
    assert.is_true(budget:used() > 600)
    one:release()
    assert.equal(0, budget:used())
  end)
end

local function describe_limit(engine)
  it("closes with 1009 what would pass the limit, and not what just fits", function()
    local stream = masked(2, ("x"):rep(1000), false) .. masked(0, ("y"):rep(500), false)
    local one, open = budgeted(engine)
    read(one, stream)
    local needed = open:used()
    assert.is_true(needed >= 1500 + PIECE_BYTES)

    local fits, budget = budgeted(engine, needed)
    assert.same({}, read(fits, stream))
    assert.equal(needed, budget:used())
    assert.same({ 2, ("x"):rep(1000) .. ("y"):rep(500) .. "z" }, read(fits, masked(0, "z")))
    assert.equal(0, budget:used())

    local passes, short = budgeted(engine, needed - 1)
    assert.same({ 9, "", 1009, "breach" }, support.without_words(read(passes, masked(9, "") .. stream)))
    assert.equal(0, short:used())
  end)

  it("is shared: one reader's message leaves less for another", function()
    local shared = new_budget(3000)
    local first, second = engine.reader(options { budget = shared }), engine.reader(options { budget = shared })
    local part = masked(2, ("x"):rep(2000), false)
    assert.same({}, read(first, part))
    assert.same({ 1009, "breach" }, support.without_words(read(second, part)))
    assert.is_true(shared:used() >= 2000)
    assert.same({ 2, ("x"):rep(2000) }, read(first, masked(0, "")))
    assert.equal(0, shared:used())
    assert.same({}, read(engine.reader(options { budget = shared }), part))
  end)
end

-- Cost is shown by what is held, never by time: were pieces not joined, each byte would be charged 129.
local function describe_pieces(engine)
  it("holds few pieces of a message that comes byte by byte", function()
    local budget = new_budget(PLENTY)
    local reader, batch = engine.reader(options { budget = budget }), {}
    local payload = ("0123456789abcdef"):rep(4096)
    local stream = masked(2, payload)
    -- A buffer that grows has as much room again.
    local most, with_room = 0, engine.name == "native" and 2 or 1
    for at = 1, #stream - 1 do
      assert(reader:feed(stream:sub(at, at), batch) == 0)
      most = math.max(most, budget:used() - with_room * math.max(at - 14, 0))
    end
    assert.is_true(most <= 256 * PIECE_BYTES, "held in addition to the bytes: " .. most)
    assert.equal(1, (reader:feed(stream:sub(-1), batch)))
    assert.is_true(batch[2] == payload)
    assert.equal(0, budget:used())
  end)

  it("holds few pieces of a message in tiny fragments", function()
    local budget = new_budget(PLENTY)
    local reader = engine.reader(options { budget = budget, max_fragments = 20000 })
    local fragment = masked(0, "ab", false)
    read(reader, masked(1, "ab", false))
    for _ = 1, 99 do
      read(reader, fragment:rep(100))
      assert.is_true(budget:used() <= 20000 + 256 * PIECE_BYTES)
    end
    assert.same({ 1, ("ab"):rep(9903) }, read(reader, fragment .. masked(0, "ab")))
    assert.equal(0, budget:used())
  end)
end

local function describe_lengths(engine)
  it("takes nothing for what a header declares", function()
    local budget = new_budget(PLENTY)
    local reader = engine.reader(options { budget = budget, max_message_bytes = 2 ^ 40 })
    read(reader, frame { opcode = 2, length = 2 ^ 39, key = "\1\2\3\4", payload = "abc" })
    assert.is_true(budget:used() < 1000)
    reader:release()
    assert.equal(0, budget:used())
  end)

  it("reads a message of 4 MiB in pieces of every kind", function()
    local payload = ("0123456789abcdef"):rep(262144)
    local stream = masked(2, payload)
    for _, size in ipairs { 1000003, 65536, 8191 } do
      local budget = new_budget(PLENTY)
      local list = read(engine.reader(options { budget = budget }), stream, size)
      assert.is_true(#list == 2 and list[2] == payload)
      assert.equal(0, budget:used())
    end
  end)
end

for _, entry in ipairs(support.engines()) do
  describe("budget of engine " .. entry.name, function()
    describe_accounting(entry.engine)
    describe_ends(entry.engine)
    describe_limit(entry.engine)
    describe_pieces(entry.engine)
    describe_lengths(entry.engine)
  end)
end

describe("a budget", function()
  it("counts what is charged here and what is held elsewhere", function()
    local held = 30
    local budget = new_budget(100, function() return held end)
    assert.same({ 30, 70 }, { budget:used(), budget:room() })
    budget:charge(50)
    assert.same({ 80, 20 }, { budget:used(), budget:room() })
    held = 60
    assert.same({ 110, -10 }, { budget:used(), budget:room() })
    budget:charge(-50)
    assert.same({ 60, 40 }, { budget:used(), budget:room() })
  end)
end)
