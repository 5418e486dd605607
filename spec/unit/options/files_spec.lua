--- The options of `websockets.files`: each one's check and default.
-- @module spec.unit.options.files_spec

local options = require "websockets.options.files"

-- name = { { good values }, { bad values } }
local CASES = {
  index = { { "home.html", false }, { "", "a/b", "a\\b", "a\0b", true, 1 } },
  types = { { {}, { css = "text/css", ["x-y_z"] = "a/b" } }, { 1, { CSS = "x" }, { ["a.b"] = "x" }, { "x" },
    { css = 1 }, { css = print }, { css = "a\r\nb" } } },
  cache_control = { { "no-store", print }, { "a\nb", "\127", 1, true } },
  precompressed = { { true, false }, { 1, "true" } },
  hidden = { { true, false }, { 1, "true" } },
}

describe("websockets.options.files", function()
  local function read(given)
    local settings = options.read(given, 2)
    return settings
  end

  it("has defaults", function()
    local expected = { index = "index.html", precompressed = true, hidden = false }
    assert.same(expected, read(nil))
    assert.same(expected, read({}))
  end)

  for name, values in pairs(CASES) do
    it("takes good values of " .. name .. ", and raises for bad ones", function()
      for _, value in ipairs(values[1]) do assert.equal(value, read({ [name] = value })[name]) end
      for _, value in ipairs(values[2]) do
        assert.error_matches(function() read({ [name] = value }) end, ("bad option '%s' ("):format(name), 1, true)
      end
    end)
  end

  it("raises for an unknown option and for what is no table", function()
    assert.error_matches(function() read({ indx = "x" }) end, "unknown option 'indx'", 1, true)
    assert.error_matches(function() read({ "x" }) end, "unknown option '1'", 1, true)
    assert.error_matches(function() read("x") end, "bad argument #2 to 'files' (table of options expected", 1, true)
  end)
end)
