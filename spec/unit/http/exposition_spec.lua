--- The text format of Prometheus, and the reader that the specs judge it by.
-- @module spec.unit.http.exposition_spec
local exposition = require("websockets.http.exposition")
local histogram = require("websockets.histogram")
local reader = require("spec.support.exposition")

describe("the text format", function()
  it("has a name, a type and what it means before each metric", function()
    local lines = exposition.new()
    exposition.add(lines, "a_total", "counter", "All of it.", 3)
    exposition.add_labelled(lines, "b", "gauge", "By two things.",
      { { 0.5, "code", 1000, "why", "x" }, { math.huge, "code", 1001, "why", "y" } })
    assert.equal([[
# HELP a_total All of it.
# TYPE a_total counter
a_total 3
# HELP b By two things.
# TYPE b gauge
b{code="1000",why="x"} 0.5
b{code="1001",why="y"} +Inf
]], exposition.text(lines))
  end)

  it("escapes the values of labels", function()
    local lines = exposition.new()
    exposition.add_labelled(lines, "a", "gauge", "Odd.", { { 1, "name", 'a"b\\c\nd' } })
    assert.matches('a{name="a\\"b\\\\c\\nd"} 1\n', exposition.text(lines), 1, true)
  end)

  it("writes each number so that it comes back", function()
    for _, number in ipairs({ 0, 1, -1, 0.1, 1 / 3, 1e-5, 2 ^ 52 + 1, 2 ^ 60, 1e300, 123456.789, -math.huge }) do
      local lines = exposition.new()
      exposition.add(lines, "a", "gauge", "One.", number)
      local text = exposition.text(lines):match("\na (%S+)\n$")
      assert.equal(number, text == "-Inf" and -math.huge or tonumber(text))
    end
  end)

  it("writes a histogram with all that belongs to it", function()
    local one, lines = histogram.new({ 0.001, 1 }), exposition.new()
    one:observe(0.5)
    one:observe(2)
    exposition.add_histogram(lines, "a_seconds", "Times.", one:read())
    assert.equal([[
# HELP a_seconds Times.
# TYPE a_seconds histogram
a_seconds_bucket{le="0.001"} 0
a_seconds_bucket{le="1"} 1
a_seconds_bucket{le="+Inf"} 2
a_seconds_sum 2.5
a_seconds_count 2
]], exposition.text(lines))
    reader.read(exposition.text(lines))
  end)
end)

describe("the reader of the specs", function()
  local HEAD = "# HELP a_total A.\n# TYPE a_total counter\n"
  local TIMES = "# HELP s S.\n# TYPE s histogram\n"

  local function assert_refused(what, text)
    local is_good, why = pcall(reader.read, text)
    assert.is_false(is_good)
    assert.matches(what, why, 1, true)
  end

  it("finds what promtool passes over", function()
    assert_refused("twice", HEAD .. 'a_total{x="1"} 1\na_total{x="1"} 2\n')
    assert_refused("two groups", HEAD .. "a_total 1\n# HELP b B.\n# TYPE b gauge\nb 1\n" .. HEAD)
    assert_refused("not below its own", HEAD .. "# HELP b B.\n# TYPE b gauge\nb 1\na_total 1\n")
    assert_refused("no bucket +Inf", TIMES .. 's_bucket{le="1"} 1\ns_sum 1\ns_count 1\n')
    assert_refused("buckets that fall", TIMES .. 's_bucket{le="1"} 2\ns_bucket{le="+Inf"} 1\ns_sum 1\ns_count 1\n')
    assert_refused("bounds that do not", TIMES .. 's_bucket{le="2"} 1\ns_bucket{le="1"} 1\ns_bucket{le="+Inf"} 1\n')
    assert_refused("not the last bucket", TIMES .. 's_bucket{le="+Inf"} 1\ns_sum 1\ns_count 2\n')
    assert_refused("no sum", TIMES .. 's_bucket{le="+Inf"} 1\ns_count 1\n')
  end)

  it("finds what promtool finds", function()
    assert_refused("no line end", HEAD .. "a_total 1")
    assert_refused("CR", HEAD .. "a_total 1\r\n")
    assert_refused("no TYPE", "# HELP a A.\na 1\n")
    assert_refused("not below its own", "a 1\n")
    assert_refused("_total", "# HELP a A.\n# TYPE a counter\na 1\n")
    assert_refused("_total", "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n")
    assert_refused("no number", HEAD .. "a_total nan\n")
    assert_refused("no label", HEAD .. "a_total{1x=\"\"} 1\n")
    assert_refused("below 0", HEAD .. "a_total -1\n")
    assert_refused("no type", "# HELP a A.\n# TYPE a thing\na 1\n")
  end)

  it("reads what is right", function()
    local families = reader.read(HEAD .. 'a_total{x="1",y="z"} 1\na_total{x="2",y="z"} 5\n')
    assert.equal(5, reader.value(families, "a_total", { x = "2" }))
    assert.is_nil(reader.value(families, "a_total", { x = "3" }))
  end)
end)
