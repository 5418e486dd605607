local extension = require("websockets.protocol.extension")

describe("extension.parse", function()
  local function p(name, value) return { name = name, value = value or false } end

  local GOOD = {
    { "foo", { { name = "foo", parameters = {} } } },
    { "foo, bar; baz=2", { { name = "foo", parameters = {} }, { name = "bar", parameters = { p("baz", "2") } } } },
    { "foo;bar;bar=1", { { name = "foo", parameters = { p("bar"), p("bar", "1") } } } },
    { " foo ; bar = 1 , baz ", {
      { name = "foo", parameters = { p("bar", "1") } }, { name = "baz", parameters = {} } } },
    { 'foo; bar="10"', { { name = "foo", parameters = { p("bar", "10") } } } },
    { 'foo; bar="1\\0"', { { name = "foo", parameters = { p("bar", "10") } } } },
    { 'foo; bar="10" ;baz', { { name = "foo", parameters = { p("bar", "10"), p("baz") } } } },
    { "", {} }, { " ", {} }, { ",", {} }, { " ,\t, ", {} },
    { ", foo,,\tbar,", { { name = "foo", parameters = {} }, { name = "bar", parameters = {} } } },
  }

  for _, case in ipairs(GOOD) do
    it("reads " .. case[1], function() assert.same(case[2], extension.parse(case[1])) end)
  end

  for _, text in ipairs({
    "foo bar", ", foo bar", ",;", "foo;", "foo;;bar", "foo; =1", "foo; bar=", "foo; bar=;", "foo; bar=1 2",
    'foo; bar="',
    'foo; bar=""', 'foo; bar="a b"', 'foo; bar=" a"', 'foo; bar="a"b', "foo/", "foo; b@r", "=", ";", '"foo"',
    "foo; bar=1=2", "foo\0", "f\195\182o", 'foo; bar="a\\"', 'foo; bar="a;b"',
  }) do
    it(("refuses %q"):format(text), function() assert.is_nil(extension.parse(text)) end)
  end

  it("takes time that grows with the length only", function()
    assert.is_nil(extension.parse(("a;"):rep(4000)))
    assert.is_nil(extension.parse('a; b="' .. ("\\a"):rep(4000)))
    assert.equal(4000, #extension.parse(("a,"):rep(4000)))
  end)
end)
