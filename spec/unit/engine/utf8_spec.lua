--- UTF-8: what is taken, what is not, and that it is refused with the first byte that cannot be.
-- @module spec.unit.engine.utf8_spec

local support = require "spec.support.engine"

local frame, masked, options, read = support.frame, support.masked, support.options, support.read

-- First and last character of each length and of each gap.
local GOOD = {
  "", "\0", "\127", "\194\128", "\223\191", "\224\160\128", "\224\191\191", "\225\128\128", "\236\191\191",
  "\237\128\128", "\237\159\191", "\238\128\128", "\239\187\191", "\239\191\190", "\239\191\191", "\240\144\128\128",
  "\240\191\191\191", "\241\128\128\128", "\243\191\191\191", "\244\128\128\128", "\244\143\191\191",
  "Gr\195\188\195\159e, \226\130\172 100, \240\159\152\128", "\0\194\128\0\224\160\128\0",
}

-- Each with the position of the byte that cannot be.
local BAD = {
  { "\128", 1, "lone continuation" }, { "\191", 1, "lone continuation" }, { "a\195\164\164", 4, "one too many" },
  { "\192\128", 1, "overlong NUL" }, { "\193\191", 1, "overlong DEL" }, { "\224\128\128", 2, "overlong, 3 bytes" },
  { "\224\159\191", 2, "overlong, 3 bytes" }, { "\240\128\128\128", 2, "overlong, 4 bytes" },
  { "\240\143\191\191", 2, "overlong, 4 bytes" }, { "\237\160\128", 2, "first surrogate" },
  { "\237\175\191", 2, "last high surrogate" }, { "\237\176\128", 2, "first low surrogate" },
  { "\237\191\191", 2, "last surrogate" }, { "\237\160\189\237\184\128", 2, "surrogate pair" },
  { "\244\144\128\128", 2, "above U+10FFFF" }, { "\245\128\128\128", 1, "lead F5" },
  { "\247\191\191\191", 1, "lead F7" },
  { "\248\136\128\128\128", 1, "five bytes" }, { "\252\132\128\128\128\128", 1, "six bytes" },
  { "\254", 1, "FE" }, { "\255", 1, "FF" }, { "\195(", 2, "cut in two" }, { "\226(\161", 2, "cut in three" },
  { "\226\130(", 3, "cut in three" }, { "\240(\140\188", 2, "cut in four" }, { "\240\144(\188", 3, "cut in four" },
  { "\240\159\152(", 4, "cut in four" }, { "\195\195", 2, "two leads" }, { "\226\130\226\130\172", 3, "a lead inside" },
  { "\206\186\225\189\185\207\131\206\188\206\181\237\160\128edited", 13, "text around a surrogate" },
}

local CUT_SHORT = { "\194", "\226", "\226\130", "\237\159", "\240\159", "\240\159\152", "\244\143\191", "abc\195" }

-- Texts to put in front, so that the interesting byte meets every place of a block.
local function prefixes()
  local list = {}
  for length = 0, 70 do
    list[#list + 1] = ("a"):rep(length)
  end
  for length = 1, 36 do
    list[#list + 1] = ("\195\164"):rep(length)
    list[#list + 1] = "\226\130\172" .. ("b"):rep(length)
  end
  list[#list + 1] = ("c"):rep(255)
  list[#list + 1] = ("d"):rep(1000) .. "\240\159\152\128" .. ("e"):rep(300)
  return list
end

local function advance(engine, text)
  local state = 0
  for at = 1, #text do
    state = engine.utf8_next(state, text, at, at)
    if not state then return nil, at end
  end
  return state
end

local function describe_functions(engine)
  it("takes what is UTF-8, wherever it stands", function()
    for _, prefix in ipairs(prefixes()) do
      for _, text in ipairs(GOOD) do
        local whole = prefix .. text .. "."
        assert.is_true(engine.valid_utf8(whole), whole)
        assert.equal(0, engine.utf8_next(0, whole, 1, #whole))
      end
    end
  end)

  it("refuses what is not, wherever it stands", function()
    for _, prefix in ipairs(prefixes()) do
      for _, line in ipairs(BAD) do
        local whole = prefix .. line[1] .. "."
        assert.is_false(engine.valid_utf8(whole), line[3])
        assert.is_nil(engine.utf8_next(0, whole, 1, #whole), line[3])
      end
    end
  end)

  it("tells a text cut short from a wrong one", function()
    for _, prefix in ipairs(prefixes()) do
      for _, text in ipairs(CUT_SHORT) do
        local whole = prefix .. text
        assert.is_false(engine.valid_utf8(whole))
        local state = engine.utf8_next(0, whole, 1, #whole)
        assert.is_true(state ~= nil and state ~= 0)
        assert.is_nil(engine.utf8_next(state, "x", 1, 1))
      end
    end
  end)
end

local function describe_states(engine)
  it("finds the first byte that cannot be", function()
    for _, line in ipairs(BAD) do
      assert.same({ nil, line[2] }, { advance(engine, line[1]) }, line[3])
      local before = engine.utf8_next(0, line[1], 1, line[2] - 1)
      assert.is_not_nil(before, line[3])
      assert.is_nil(engine.utf8_next(before, line[1], line[2], line[2]), line[3])
    end
    for _, text in ipairs(GOOD) do
      assert.equal(0, (advance(engine, text)))
    end
  end)

  it("looks at the given part only", function()
    assert.equal(0, engine.utf8_next(0, "\255abc\255", 2, 4))
    assert.equal(0, engine.utf8_next(0, "\237\160\128" .. ("x"):rep(100) .. "\237\160\128", 4, 103))
    assert.equal(0, engine.utf8_next(0, "abc", 2, 1))
    local state = engine.utf8_next(0, "\240\159\152\128", 1, 2)
    assert.equal(state, engine.utf8_next(state, "\255", 1, 0))
    assert.equal(0, engine.utf8_next(state, "\255\152\128\255", 2, 3))
  end)
end

local function describe_cuts(engine)
  it("carries a character over any cut", function()
    local text = ("a\195\164\226\130\172\240\159\152\128"):rep(9)
    for first = 0, #text do
      for second = first, math.min(first + 40, #text) do
        local state = engine.utf8_next(0, text, 1, first)
        state = engine.utf8_next(state, text, first + 1, second)
        assert.equal(0, engine.utf8_next(state, text, second + 1, #text))
      end
    end
  end)

  it("judges every pair of bytes, and every lead with its second byte", function()
    for lead = 0, 255 do
      for second = 0, 255, lead < 128 and 17 or 1 do
        local pair = string.char(lead, second)
        for _, text in ipairs { pair, pair .. "\128", pair .. "\191\128" } do
          local is_valid = support.is_utf8(text)
          if is_valid ~= engine.valid_utf8(text) then error(("%q"):format(text)) end
          if is_valid ~= (engine.utf8_next(0, text, 1, #text) == 0) then error(("%q"):format(text)) end
        end
      end
    end
  end)
end

local function describe_refusals(engine)
  local function reader()
    return engine.reader(options())
  end

  it("closes with 1007 for a text that is not UTF-8, however cut", function()
    for _, line in ipairs(BAD) do
      for _, size in ipairs { 1, 2, 100 } do
        assert.same({ 1007, "breach" }, support.without_words(read(reader(), masked(1, line[1]), size)), line[3])
      end
    end
    for _, text in ipairs(CUT_SHORT) do
      for _, size in ipairs { 1, 2, 100 } do
        assert.same({ 1007, "breach" }, support.without_words(read(reader(), masked(1, text), size)))
        local fragments = masked(1, text, false) .. masked(0, "")
        assert.same({ 1007, "breach" }, support.without_words(read(reader(), fragments, size)))
      end
    end
  end)

  it("refuses with the bad byte inside a frame that has not ended", function()
    for _, line in ipairs(BAD) do
      for _, prefix in ipairs { "", "0123456789", ("x"):rep(300) } do
        local text, at = prefix .. line[1], #prefix + line[2]
        local key = "\9\8\7\6"
        local head = frame { opcode = 1, length = 100000, key = key, payload = text:sub(1, at) }
        local one = reader()
        assert.same({}, read(one, head:sub(1, -2)))
        assert.same({ 1007, "breach" }, support.without_words(read(one, head:sub(-1))), line[3])
      end
    end
  end)
end

local function describe_messages(engine)
  local function reader()
    return engine.reader(options())
  end

  it("takes characters cut by fragments", function()
    local text = "Gr\195\188\195\159e \226\130\172 \240\159\152\128"
    local parts = {}
    for index = 1, #text do
      parts[index] = masked(index == 1 and 1 or 0, text:sub(index, index), index == #text)
    end
    assert.same({ 1, text }, read(reader(), table.concat(parts)))
    assert.same({ 1, text }, read(reader(), table.concat(parts), 1))
  end)

  it("lets binary messages and pings hold anything", function()
    for _, line in ipairs(BAD) do
      local stream = masked(2, line[1], false) .. masked(9, line[1]) .. masked(0, line[1]) .. masked(10, line[1])
      assert.same({ 9, line[1], 2, line[1] .. line[1], 10, line[1] }, read(reader(), stream))
    end
  end)
end

for _, entry in ipairs(support.engines()) do
  describe("UTF-8 of engine " .. entry.name, function()
    describe_functions(entry.engine)
    describe_states(entry.engine)
    describe_cuts(entry.engine)
    describe_refusals(entry.engine)
    describe_messages(entry.engine)
  end)
end
