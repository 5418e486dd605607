--- The option `topics`: what is right, what raises, and what a topic gets.
-- @module spec.unit.options.topics_spec
local options = require("websockets.options.topics")

describe("the option topics", function()
  it("may be left out", function()
    assert.is_nil(options.read(nil, 2))
  end)

  it("gives a topic of a table its options, others none; later changes have no effect", function()
    local given = { prices = { slow_consumer = "conflate" }, log = {} }
    local of = options.read(given, 2)
    given.prices.slow_consumer = "close"
    given.new = {}
    assert.same({ slow_consumer = "conflate" }, of("prices"))
    assert.same({}, of("log"))
    assert.is_nil(of("new"))
  end)

  it("asks a function for each topic", function()
    local asked = {}
    local of = options.read(function(name)
      asked[#asked + 1] = name
      return name == "a" and { slow_consumer = "drop_old" } or nil
    end, 2)
    assert.same({}, asked)
    assert.same({ slow_consumer = "drop_old" }, of("a"))
    assert.is_nil(of("b"))
    assert.same({ "a", "b" }, asked)
  end)

  it("fills in what a history does not say", function()
    local given = { messages = 1, seconds = 0.5, encode = print }
    local of = options.read({ a = { history = {} }, b = { history = given } }, 2)
    assert.same({ messages = 100, seconds = 3600 }, of("a").history)
    assert.same({ messages = 1, seconds = 0.5, encode = print }, of("b").history)
    for _, value in ipairs({
      true, 5, { messages = 0 }, { messages = 1.5 }, { messages = 1e6 }, { seconds = 0 }, { seconds = 3e6 },
      { encode = "x" }, { on_gap = 1 }, { message = 5 }, { 100, 60 },
    }) do
      assert.error_matches(function() options.read({ t = { history = value } }, 2) end,
        "bad option 'topics%['t'%].history' %(table of messages 1 to 100000, seconds above 0")
    end
  end)

  it("raises for an unknown name and a wrong value, naming topic and option", function()
    for expected, given in pairs({
      ["unknown option 'topics%['t'%].slow'"] = { slow = "close" },
      ["unknown option 'topics%['t'%].1'"] = { "close" },
      ["bad option 'topics%['t'%].slow_consumer' %(.* expected, got \"wait\"%)"] = { slow_consumer = "wait" },
    }) do
      assert.error_matches(function() options.read({ t = given }, 2) end, expected)
      local of = options.read(function() return given end, 2)
      -- No line is named: the function has returned.
      assert.matches("^" .. expected, (select(2, pcall(of, "t"))))
    end
    local of = options.read(function() return "close" end, 2)
    assert.error_matches(function() of("t") end, "bad option 'topics%('t'%)' %(table or nil expected, got \"close\"%)")
  end)
end)
