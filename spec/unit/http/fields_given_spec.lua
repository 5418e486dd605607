--- Fields that an application gives: which of them it may set.
-- @module spec.unit.http.fields_given_spec

local fields = require "websockets.http.fields"

describe("fields.check", function()
  local function problem(given, in_handshake)
    local passed, message = pcall(fields.check, given, "respond", 2, 1, in_handshake)
    return not passed and message or nil
  end

  it("takes names that are tokens, values and lists of values", function()
    for _, given in ipairs({ {}, { X = "y" }, { X = 5 }, { ["Set-Cookie"] = { "a", "b" } }, { Upgrade = "h2c" } }) do
      assert.is_nil(problem(given))
    end
    assert.is_nil(problem(nil))
    assert.is_nil(problem({ ["X-A"] = "b" }, true))
  end)

  it("raises for what is no table, no token, or no value", function()
    assert.matches("bad argument #2 to 'respond' (table of headers expected, got 5)", problem(5), 1, true)
    for _, name in ipairs({ "a b", "", "a:", "a\n" }) do
      assert.matches("bad argument #2 to 'respond' (header names that are tokens expected",
        problem({ [name] = "x" }), 1, true)
    end
    assert.matches("header names that are tokens expected, got 1", problem({ "x" }), 1, true)
    for _, value in ipairs({ true, "a\r\nb", { "a", "b\0" }, { {} } }) do
      assert.matches("header 'X' must be a string without control characters", problem({ X = value }), 1, true)
    end
  end)

  it("raises for headers that this library sets, whatever their case", function()
    for _, name in ipairs({ "Content-Length", "transfer-encoding", "CONNECTION" }) do
      assert.matches(("header '%s' is set by this library"):format(name), problem({ [name] = "x" }), 1, true)
    end
    for _, name in ipairs({ "Upgrade", "Sec-WebSocket-Accept", "sec-websocket-protocol", "Sec-WebSocket-Extensions",
      "Sec-WebSocket-Version" }) do
      assert.matches(("header '%s' is set by this library"):format(name), problem({ [name] = "x" }, true), 1, true)
    end
  end)

  it("raises at the level that it is given", function()
    local function public(given) fields.check(given, "respond", 2, 3) end
    local line
    local function user()
      line = debug.getinfo(1, "l").currentline + 1
      public({ Connection = "x" })
    end
    local _, message = pcall(user)
    assert.matches("fields_given_spec.lua:" .. line .. ": respond: header", message, 1, true)
  end)
end)

describe("fields.may_request", function()
  it("takes what is not of the handshake", function()
    for _, given in ipairs({ {}, { Cookie = "a=b" }, { X = { 1, "2" } } }) do
      assert.is_true(fields.may_request(given))
    end
    for _, given in ipairs({ "x", { "x" }, { ["a b"] = "c" }, { X = "a\nb" }, { X = { true } }, { HOST = "a" },
      { Upgrade = "x" }, { connection = "x" }, { Origin = "x" }, { ["Content-Length"] = 1 },
      { ["Transfer-Encoding"] = "x" }, { ["SEC-websocket-Anything"] = "x" } }) do
      assert.is_false(fields.may_request(given))
    end
  end)
end)
