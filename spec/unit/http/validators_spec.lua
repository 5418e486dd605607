--- Dates, entity tags, preconditions and ranges.
-- @module spec.unit.http.validators_spec

local validators = require "websockets.http.validators"

describe("dates of HTTP", function()
  -- RFC 9110, section 5.6.7.
  it("are written and read as in the standard's examples", function()
    assert.equal("Sun, 06 Nov 1994 08:49:37 GMT", validators.format_date(784111777))
    for _, text in ipairs({ "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994" }) do
      assert.equal(784111777, validators.parse_date(text))
    end
  end)

  it("come back as they went, leap days too", function()
    for _, seconds in ipairs({ 0, 951782400, 951868799, 1709164800, 1709251199, 4107542400, 2 ^ 31, 1e9 + 0.75 }) do
      assert.equal(math.floor(seconds), validators.parse_date(validators.format_date(seconds)))
    end
  end)

  it("are none where they are something else", function()
    for _, text in ipairs({ "", "now", "784111777", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET",
      "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 199 08:49:37 GMT" }) do
      assert.is_nil(validators.parse_date(text))
    end
    assert.is_nil(validators.parse_date(nil))
  end)
end)

describe("entity tags", function()
  it("differ by size, time and file, and are strong", function()
    local seen = {}
    for _, known in ipairs({ { size = 1, mtime = 2, inode = 3 }, { size = 2, mtime = 2, inode = 3 },
      { size = 1, mtime = 3, inode = 3 }, { size = 1, mtime = 2, inode = 4 }, { size = 1, mtime = 2.5, inode = 3 },
      { size = 2 ^ 40, mtime = 2, inode = 2 ^ 52 }, { size = 1, mtime = 2 } }) do
      local etag = validators.etag(known, 1000)
      assert.matches('^"[%d.-]+"$', etag)
      assert.is_nil(seen[etag])
      seen[etag] = true
    end
  end)
end)

local TIME, BEFORE, AFTER = 784111777, "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
local EXACT = "Sun, 06 Nov 1994 08:49:37 GMT"
local LATER = TIME + 60

describe("a version that could change without another date", function()
  it("has no tag, until the date has settled", function()
    -- Whole seconds may come from a file system that counts in twos; fractions follow the ticks of the system.
    for mtime, ages in pairs({ [TIME] = { -1, 0, 0.9, 2 }, [TIME + 0.25] = { -0.01, 0, 0.03 } }) do
      for _, age in ipairs(ages) do assert.is_nil(validators.etag({ size = 1, mtime = mtime }, mtime + age)) end
    end
    for mtime, ages in pairs({ [TIME] = { -60, 2.1, 60 }, [TIME + 0.25] = { -60, 0.06, 60 } }) do
      for _, age in ipairs(ages) do assert.matches('^"', validators.etag({ size = 1, mtime = mtime }, mtime + age)) end
    end
  end)

  it("tells no date, until that has settled; and never one in the future", function()
    for mtime, ages in pairs({ [TIME] = { -60, -1, 0, 2 }, [TIME + 0.25] = { -60, -1, 0, 1.75 } }) do
      for _, age in ipairs(ages) do assert.is_nil(validators.last_modified({ mtime = mtime }, mtime + age)) end
      assert.equal(EXACT, validators.last_modified({ mtime = mtime }, mtime + 2.1))
    end
  end)

  it("is never 304 by a date, and never unmodified since", function()
    for _, mtime in ipairs({ TIME, TIME + 0.25 }) do
      local function judge(name, now) return validators.precondition({ [name] = EXACT }, nil, mtime, now) end
      assert.same({ 200, 304 }, { judge("if-modified-since", TIME + 1), judge("if-modified-since", TIME + 3) })
      assert.same({ 412, 200 }, { judge("if-unmodified-since", TIME + 1), judge("if-unmodified-since", TIME + 3) })
    end
  end)
end)

describe("preconditions", function()
  local function judge(headers) return validators.precondition(headers, '"tag"', TIME, LATER) end

  it("are judged by the tag", function()
    for value, status in pairs({ ['"tag"'] = 304, ["*"] = 304, ['W/"tag"'] = 304, ['"a", "tag"'] = 304,
      ['"a","b"'] = 200, ['"ta"'] = 200, ["tag"] = 200, [""] = 200, ['"tag'] = 200, ['"a, "tag"'] = 200 }) do
      assert.same({ value, status }, { value, judge({ ["if-none-match"] = value }) })
    end
    for value, status in pairs({ ['"tag"'] = 200, ["*"] = 200, ['W/"tag"'] = 412, ['"a"'] = 412 }) do
      assert.same({ value, status }, { value, judge({ ["if-match"] = value }) })
    end
  end)

  it("are judged by the date", function()
    assert.equal(304, judge({ ["if-modified-since"] = EXACT }))
    assert.equal(304, judge({ ["if-modified-since"] = AFTER }))
    assert.equal(200, judge({ ["if-modified-since"] = BEFORE }))
    assert.equal(200, judge({ ["if-modified-since"] = "yesterday" }))
    assert.equal(412, judge({ ["if-unmodified-since"] = BEFORE }))
    assert.equal(200, judge({ ["if-unmodified-since"] = EXACT }))
  end)

  it("let the tag decide where both are there", function()
    assert.equal(200, judge({ ["if-none-match"] = '"other"', ["if-modified-since"] = AFTER }))
    assert.equal(304, judge({ ["if-none-match"] = '"tag"', ["if-modified-since"] = BEFORE }))
    assert.equal(200, judge({ ["if-match"] = '"tag"', ["if-unmodified-since"] = BEFORE }))
    assert.equal(412, judge({ ["if-match"] = '"other"', ["if-none-match"] = '"tag"' }))
  end)

  it("pass over parts of a second that a date cannot say", function()
    assert.equal(304, validators.precondition({ ["if-modified-since"] = EXACT }, '"tag"', TIME + 0.9, LATER))
  end)

  it("without a version: no tag can be matched", function()
    local since = { ["if-none-match"] = "*", ["if-modified-since"] = AFTER }
    assert.equal(200, validators.precondition(since, nil, nil, LATER))
    assert.equal(412, validators.precondition({ ["if-match"] = '"tag"' }, nil, nil, LATER))
    -- RFC 9110 13.1.1: any version will do.
    assert.equal(200, validators.precondition({ ["if-match"] = "*" }, nil, nil, LATER))
  end)
end)

describe("ranges", function()
  local function range(value, size, condition)
    return validators.range({ range = value, ["if-range"] = condition }, size or 100, '"tag"', TIME, TIME + 60)
  end

  it("are one row of bytes, cut at the end", function()
    for value, expected in pairs({ ["bytes=0-0"] = { 0, 0 }, ["bytes=0-99"] = { 0, 99 }, ["bytes=99-"] = { 99, 99 },
      ["bytes=10-1000"] = { 10, 99 }, ["bytes=-1"] = { 99, 99 }, ["bytes=-100"] = { 0, 99 }, ["bytes=-101"] = { 0, 99 },
      ["bytes=5-6,"] = { 5, 6 }, ["bytes=, ,5-6"] = { 5, 6 }, ["BYTES= 5-6 "] = { 5, 6 },
      ["bytes=0-99999999999999999999"] = { 0, 99 } }) do
      assert.same(expected, { range(value) })
    end
  end)

  it("cannot be given where they begin behind the end", function()
    for _, value in ipairs({ "bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999-" }) do
      assert.is_false(range(value))
    end
    assert.is_false(range("bytes=0-", 0))
  end)

  it("mean the whole file where they are several, none, or not understood", function()
    for _, value in ipairs({ "bytes=0-1,3-4", "bytes=0-1, -1", "bytes=0-1,,3-4", "bytes=,",
      "bytes=", "bytes=-", "bytes=5-4", "bytes=200-100",
      "bytes=a-b", "bytes 0-1", "lines=0-1", "bytes=0-1-2", "bytes=+1-2", "bytes=0x1-2", "" }) do
      assert.same({ value, nil }, { value, (range(value)) })
    end
    assert.is_nil(range("bytes=-5", 0))
    assert.is_nil(validators.range({}, 100, '"tag"', TIME, TIME + 60))
  end)

  it("are for who has the rest of the same version", function()
    assert.equal(0, (range("bytes=0-1", 100, '"tag"')))
    assert.equal(0, (range("bytes=0-1", 100, EXACT)))
    for _, condition in ipairs({ '"other"', 'W/"tag"', BEFORE, AFTER, "*", "tag", "" }) do
      assert.is_nil(range("bytes=0-1", 100, condition))
      assert.is_nil(range("bytes=200-", 100, condition))
    end
  end)

  it("are not given by a date that could stand for two versions", function()
    local headers = { range = "bytes=0-1", ["if-range"] = EXACT }
    assert.is_nil(validators.range(headers, 100, '"tag"', TIME, TIME))
    assert.is_nil(validators.range(headers, 100, '"tag"', TIME, TIME + 2))
    assert.equal(0, (validators.range(headers, 100, '"tag"', TIME, TIME + 3)))
    assert.is_nil(validators.range(headers, 100, nil, nil, TIME))
  end)
end)
