--- HTTP field lines: names, values, lists of tokens, reading and writing.
-- @module spec.unit.http.fields_spec

local fields = require "websockets.http.fields"

describe("fields.has_token", function()
  it("finds a token in a list, whatever its case", function()
    for _, value in ipairs({ "upgrade", "Upgrade", "keep-alive, Upgrade", " x ,\tUPGRADE\t, y", ",upgrade," }) do
      assert.is_true(fields.has_token(value, "upgrade"), value)
    end
    for _, value in ipairs({ "", "upgraded", "up grade", "upgrade x", "x upgrade", "upgrade;q=1", '"upgrade"', " " }) do
      assert.is_false(fields.has_token(value, "upgrade"), value)
    end
    assert.is_false(fields.has_token(nil, "upgrade"))
  end)
end)

describe("fields.elements", function()
  it("splits a list and ignores empty elements", function()
    for value, expected in pairs({
      ["a"] = { "a" }, ["a, b c ,\td"] = { "a", "b c", "d" }, ["a,"] = { "a" }, [",a"] = { "a" },
      ["a, ,,b"] = { "a", "b" },
      [""] = {}, [" "] = {}, [","] = {}, [" ,\t, "] = {},
    }) do
      assert.same(expected, fields.elements(value))
    end
  end)
end)

describe("fields.is_token", function()
  it("takes the characters of RFC 9110 and nothing else", function()
    for code = 0, 255 do
      local sign = string.char(code)
      local expected = sign:find("^[%w]$") ~= nil or ("!#$%&'*+-.^_`|~"):find(sign, 1, true) ~= nil
      assert.equal(expected, fields.is_token("a" .. sign), code)
    end
    assert.is_false(fields.is_token(""))
    assert.is_false(fields.is_token(5))
    assert.is_false(fields.is_token(nil))
  end)
end)

describe("fields.is_value and fields.are_values", function()
  it("take strings and numbers without control characters but the tab", function()
    for code = 0, 255 do
      local expected = code == 9 or (code >= 32 and code ~= 127)
      assert.equal(expected, fields.is_value("a" .. string.char(code) .. "b"), code)
    end
    for _, value in ipairs({ "", 0, -1.5, "\195\164" }) do assert.is_true(fields.is_value(value)) end
    for _, value in ipairs({ true, {}, print, { "a" } }) do assert.is_false(fields.is_value(value)) end
    assert.is_false(fields.is_value(nil))
  end)

  it("are_values takes lists of values too", function()
    for _, value in ipairs({ "a", 1, {}, { "a", 2 } }) do assert.is_true(fields.are_values(value)) end
    for _, value in ipairs({ false, "\n", { "a", "\r" }, { {} }, print }) do
      assert.is_false(fields.are_values(value))
    end
  end)
end)

describe("fields.trim", function()
  it("removes blanks at both ends and nothing else", function()
    for value, expected in pairs({ ["a"] = "a", [" \ta b\t "] = "a b", [""] = "", [" \t "] = "", ["\na"] = "\na" }) do
      assert.equal(expected, fields.trim(value))
    end
  end)
end)

describe("fields.read and fields.write", function()
  it("give back what the other made", function()
    local lines = { "GET / HTTP/1.1" }
    fields.write(lines, { X = { "1", "2" } })
    fields.write(lines, { Y = 3 })
    fields.write(lines, nil)
    assert.same({ "GET / HTTP/1.1", "X: 1", "X: 2", "Y: 3" }, lines)
    local headers, list = {}, {}
    local head = table.concat(lines, "\r\n") .. "\r\n\r\n"
    assert.is_nil(fields.read(head, 17, headers, list))
    assert.same({ x = "1, 2", y = "3" }, headers)
    assert.same({ { "x", "1" }, { "x", "2" }, { "y", "3" } }, list)
  end)

  it("read refuses a malformed line", function()
    assert.equal(400, fields.read("X\r\n\r\n", 1, {}))
    assert.equal(400, fields.read("Host: a\r\nHost: a\r\n\r\n", 1, {}))
  end)
end)
