--- Definitions of options, and the checking of values by them.
-- @module spec.unit.options.definition_spec
local definition = require("websockets.options.definition")

local NAN, HUGE = 0 / 0, math.huge

local function takes(one, ...)
  for i = 1, select("#", ...) do assert.is_truthy(one.check((select(i, ...))), tostring((select(i, ...)))) end
end

local function refuses(one, ...)
  for i = 1, select("#", ...) do assert.is_falsy(one.check((select(i, ...))), tostring((select(i, ...)))) end
end

describe("websockets.options.definition", function()
  it("tells integers within limits", function()
    for _, value in ipairs({ 1, 2, 65535, 3.0 }) do assert.is_true(definition.is_integer(value, 1, 65535)) end
    for _, value in ipairs({ 0, 65536, 1.5, -1, NAN, HUGE, "1", {}, false }) do
      assert.is_false(definition.is_integer(value, 1, 65535))
    end
    assert.is_false(definition.is_integer(nil, 1, 65535))
  end)

  it("tells seconds: finite and above 0", function()
    for _, value in ipairs({ 0.001, 1, 1e9 }) do assert.is_true(definition.is_seconds(value)) end
    for _, value in ipairs({ 0, -1, NAN, HUGE, "1", true }) do assert.is_false(definition.is_seconds(value)) end
    assert.is_false(definition.is_seconds(nil))
  end)

  it("defines whole numbers by their smallest value, in their unit", function()
    local one = definition.count(7, 1, "bytes above 0")
    assert.same({ 7, "whole number of bytes above 0" }, { one.default, one.expected })
    takes(one, 1, 2.0, 2 ^ 53, HUGE)
    refuses(one, 0, -1, 1.5, -HUGE, NAN, "1", false)
  end)

  it("defines times that can be switched off", function()
    local one = definition.seconds(30)
    assert.same({ 30, "number of seconds above 0, or false" }, { one.default, one.expected })
    takes(one, 0.5, false)
    refuses(one, 0, HUGE, NAN, true, "1")
    assert.is_false(definition.seconds(false).default)
  end)

  it("defines functions, without a default", function()
    local one = definition.callback()
    assert.same({ nil, "function" }, { one.default, one.expected })
    takes(one, print, function() end)
    refuses(one, "print", false, {})
  end)

  it("copies a table without its metatable", function()
    local inner = {}
    local map = setmetatable({ a = 1, [2] = inner }, { __index = { hidden = true } })
    local copy = definition.copy(map)
    assert.same({ a = 1, [2] = inner }, copy)
    assert.is_nil(getmetatable(copy))
    assert.equal(inner, copy[2])
    copy.a = 2
    assert.equal(1, map.a)
  end)

  it("collects the defaults, false among them", function()
    assert.same({ a = 1, b = false }, definition.defaults({
      a = definition.count(1, 0, "things"), b = definition.seconds(false), c = definition.callback(),
    }))
  end)

  describe("checks", function()
    local known = { size = definition.count(1, 1, "bytes above 0") }

    -- An option is checked for whoever called this function: two levels above `check`.
    local function option(name, value, label) definition.check(known, name, value, 3, label) end

    it("what is right, without a word", function() option("size", 2) end)

    it("what is wrong, and names option, expectation and value at the caller's line", function()
      local is_good, err = pcall(function() option("size", "many") end)
      assert.is_false(is_good)
      assert.matches("definition_spec.lua:%d+: bad option 'size' %(whole number of bytes above 0 expected, ", err)
      assert.matches("got \"many\"%)$", err)
      assert.matches("option 'limits.size'", select(2, pcall(function() option("size", 0, "limits.size") end)))
    end)

    it("with no position in the message at level 0, however deep", function()
      local is_good, err = pcall(definition.check, known, "size", 0, 0)
      assert.is_false(is_good)
      assert.matches("^bad option 'size'", err)
      assert.matches("^unknown option 'sise'", select(2, pcall(definition.check, known, "sise", 2, 0)))
    end)

    it("names that it does not know", function()
      local is_good, err = pcall(function() option("sise", 2) end)
      assert.is_false(is_good)
      assert.matches("definition_spec.lua:%d+: unknown option 'sise'$", err)
      assert.matches("unknown option '1'$", select(2, pcall(function() option(1, 2) end)))
    end)
  end)
end)
