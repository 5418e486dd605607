--- The words of failure and the errors of a caller's mistake.
-- @module spec.unit.errors_spec

local errors = require "websockets.errors"

describe("websockets.errors", function()
  it("lists each word in lower case with its meaning", function()
    local count = 0
    for word, meaning in pairs(errors.WORDS) do
      count = count + 1
      assert.truthy(word:find("^%l[%l%d_]*$"), word)
      assert.truthy(#meaning > 10, word)
    end
    assert.is_true(count >= 16)
  end)

  it("lists the words that writing and ending give", function()
    local words = "closed closing full utf8 fragment type "
      .. "timeout reset protocol too_big slow idle limit error destroyed"
    for word in words:gmatch("%S+") do
      assert.equal("string", type(errors.WORDS[word]), word)
    end
  end)

  it("gives the level of the same caller for a function that is called; 0 stays 0", function()
    assert.same({ 2, 4, 0 }, { errors.deeper(1), errors.deeper(3), errors.deeper(0) })
  end)

  local SHOWN = {
    { 3, "3" }, { -1.5, "-1.5" }, { true, "true" }, { false, "false" }, { nil, "no value" },
    { "short", '"short"' }, { ("x"):rep(80), '"' .. ("x"):rep(80) .. '"' },
    { ("x"):rep(81), '"' .. ("x"):rep(77) .. '..."' }, { {}, "table" }, { print, "function" },
  }

  it("names the option, what was expected and what came", function()
    for i = 1, #SHOWN do
      local value, shown = SHOWN[i][1], SHOWN[i][2]
      local passed, message = pcall(errors.option, "port", "port number", value, 0)
      assert.is_false(passed)
      assert.equal(("bad option 'port' (port number expected, got %s)"):format(shown), message)
    end
  end)

  it("makes one line of a text, without what controls a terminal", function()
    for text, line in pairs({
      ["plain, \195\164 \226\130\172 'x' \"y\" \\"] = "plain, \195\164 \226\130\172 'x' \"y\" \\",
      ["a\nb\rc\td"] = "a\\nb\\rc\\td", ["\27[31m\0\127"] = "\\027[31m\\000\\127",
      ["\194\155x\194\160"] = "\\194\\155x\194\160",
    }) do
      assert.equal(line, errors.printable(text))
    end
    for code = 0, 255 do
      local char = string.char(code)
      assert.equal(code >= 32 and code ~= 127, errors.printable(char) == char)
    end
  end)

  it("quotes a text so that Lua reads it back", function()
    for _, text in ipairs({ "", "a", "a\nb\0001\r\t\27\127\1272", 'say "x\\n"', "\194\1551", "\\" }) do
      local quoted = errors.quote(text)
      assert.is_nil(quoted:find("%c"))
      assert.equal(text, (loadstring or load)("return " .. quoted)())
    end
    assert.equal('"a\\nb"', errors.describe("a\nb"))
    assert.equal('["\\027"] = 1', errors.entry({ ["\27"] = 1 }, "\27"))
  end)

  it("describes an entry of a table", function()
    local given = { 1, chat = "x", [true] = print }
    assert.same({ "[1] = 1", '["chat"] = "x"', "[true] = function" },
      { errors.entry(given, 1), errors.entry(given, "chat"), errors.entry(given, true) })
    local _, message = pcall(errors.option, "protocols", "table", given, 0, "[1] = 1")
    assert.equal("bad option 'protocols' (table expected, got [1] = 1)", message)
  end)

  it("names the argument, the function, what was expected and what came", function()
    local passed, message = pcall(errors.argument, 2, "write", "kind of message", "text", 0)
    assert.is_false(passed)
    assert.equal("bad argument #2 to 'write' (kind of message expected, got \"text\")", message)
    passed, message = pcall(errors.argument, 1, "ping", "at most 125 bytes", ("x"):rep(126), 0, "126 bytes")
    assert.is_false(passed)
    assert.equal("bad argument #1 to 'ping' (at most 125 bytes expected, got 126 bytes)", message)
  end)

  it("blames the caller of the public function", function()
    local function public_argument(value) errors.argument(1, "public", "string", value) end
    local function public_option(value) errors.option("name", "string", value) end
    for _, public in ipairs({ public_argument, public_option }) do
      local line
      local _, message = pcall(function()
        line = debug.getinfo(1, "l").currentline + 1
        public(5)
      end)
      assert.truthy(message:find("errors_spec.lua:" .. line .. ": bad ", 1, true), message)
    end
  end)
end)
