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
  -- What one call of `feed` tells beside messages.
  local function tell(reader, bytes)
    return (select(2, reader:feed(bytes, {})))
  end

  local NEWS = 0

  it("tells once that a message is unfinished, and once that it holds much", function()
    local one, budget = budgeted(engine)
    assert.is_false(tell(one, masked(2, "whole")))
    assert.equal(NEWS, tell(one, masked(2, ("x"):rep(1000), false)))
    local held, progress = one:unfinished()
    assert.equal(budget:used(), held)
    assert.is_false(tell(one, masked(0, ("x"):rep(1000), false)))
    assert.equal(NEWS, tell(one, masked(0, ("x"):rep(4000), false)))
    assert.equal(NEWS, tell(one, masked(9, "")))
    assert.same({ budget:used(), progress }, { one:unfinished() })
    assert.is_false(tell(one, masked(0, "x", false)))
    -- A message after it is news only where it holds more.
    assert.is_false(tell(one, masked(0, "") .. masked(2, "x", false)))
    assert.is_true(one:unfinished() > 0)
    assert.equal(NEWS, tell(one, masked(0, ("x"):rep(5000), false)))
    read(one, masked(0, ""))
    assert.same({ 0, false }, { (one:unfinished()), tell(one, masked(9, "")) })
    assert.equal(NEWS, tell(one, masked(2, "x", false)))
  end)

  it("progress is another message, or 64 KiB more", function()
    local one = budgeted(engine)
    local function progress(bytes)
      one:feed(bytes, {})
      return (select(2, one:unfinished()))
    end
    local first = progress(masked(2, "x", false))
    assert.equal(first, progress(masked(0, ("x"):rep(60000), false)))
    local later = progress(masked(0, ("x"):rep(6000), false))
    assert.are_not.equal(first, later)
    -- A header promises nothing.
    assert.equal(later, progress(masked(0, ("x"):rep(300000)):sub(1, 20)))
    local other = progress(("x"):rep(299994) .. masked(2, "x", false))
    assert.are_not.equal(first, other)
    assert.are_not.equal(later, other)
  end)

  it("tells each time while the limit is passed, and refuses nothing", function()
    local shared = new_budget(3000)
    local first, second = engine.reader(options { budget = shared }), engine.reader(options { budget = shared })
    local part = masked(2, ("x"):rep(2000), false)
    tell(first, part)
    first:unfinished()
    assert.equal(NEWS, tell(second, part))
    second:unfinished()
    assert.equal(NEWS, tell(second, masked(0, "x", false)))
    assert.is_true(shared:room() < 0)
    first:release()
    assert.is_false(tell(second, masked(0, "x", false)))
    assert.same({ 2, ("x"):rep(2000) .. "xx" }, read(second, masked(0, "")))
    assert.equal(0, shared:used())
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
  it("counts what is charged, here or in another account", function()
    local held = 30
    local account = { held = function() return held end, charge = function(bytes) held = held + bytes end }
    for _, budget in ipairs({ new_budget(100), new_budget(100, account) }) do
      budget:charge(30 - budget:used())
      assert.same({ 30, 70 }, { budget:used(), budget:room() })
      budget:charge(80)
      assert.same({ 110, -10 }, { budget:used(), budget:room() })
      budget:charge(-50)
      assert.same({ 60, 40 }, { budget:used(), budget:room() })
    end
    assert.equal(60, held)
  end)

  it("calls little what is at most 4 KiB, or a 1,024th of a small limit", function()
    local function levels(limit, ...)
      local budget, found = new_budget(limit), {}
      for i, held in ipairs({ ... }) do found[i] = budget:level(held) end
      return table.concat(found)
    end
    assert.equal("0112", levels(PLENTY, 0, 1, 4096, 4097))
    assert.equal("0112", levels(math.huge, 0, 1, 4096, 4097))
    assert.equal("0122", levels(2048, 0, 2, 3, 1000))
  end)
end)
