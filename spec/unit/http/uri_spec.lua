--- Targets taken apart: paths, segments, queries, however they are encoded.
-- @module spec.unit.http.uri_spec

local uri = require "websockets.http.uri"

describe("websockets.uri", function()
  it("splits a target at its first question mark", function()
    assert.same({ "/a", "" }, { uri.split("/a") })
    assert.same({ "/a", "" }, { uri.split("/a?") })
    assert.same({ "/a", "b?c=/d" }, { uri.split("/a?b?c=/d") })
    assert.same({ "", "x" }, { uri.split("?x") })
  end)

  it("decodes percent-encoded bytes once", function()
    for text, expected in pairs({ ["a b"] = "a b", ["a%20b"] = "a b", ["%2F%2f"] = "//", ["%2541"] = "%41",
      ["a+b"] = "a+b", ["%C3%BC"] = "\195\188", ["%ff"] = "\255", [""] = "" }) do
      assert.equal(expected, uri.decode(text))
    end
  end)

  it("refuses a percent sign without two digits, and a zero byte", function()
    for _, text in ipairs({ "%", "%a", "%zz", "a%2", "%%20", "%20%", "%00", "a%00b", "%-1" }) do
      assert.is_nil(uri.decode(text))
    end
  end)

  it("splits a path at its slashes, and decodes after that", function()
    assert.same({ "" }, uri.segments("/"))
    assert.same({ "a", "b" }, uri.segments("/a/b"))
    assert.same({ "a", "" }, uri.segments("/a/"))
    assert.same({ "", "a" }, uri.segments("//a"))
    assert.same({ "a/b", "c" }, uri.segments("/a%2Fb/c"))
    assert.same({ "...", ".a", "a.." }, uri.segments("/.../.a/a.."))
  end)

  it("refuses a path with a way up, however it is spelt", function()
    for _, path in ipairs({ "/..", "/.", "/../a", "/a/..", "/a/./b", "/%2e%2e/a", "/.%2E", "/%2e", "/a/%2e./" }) do
      assert.is_nil(uri.segments(path))
    end
    for _, path in ipairs({ "", "a", "*", "/%", "/a%00" }) do assert.is_nil(uri.segments(path)) end
  end)

  it("reads a query: the first of each name, and all in their order", function()
    local first, list = uri.read_query("a=1&b=x+y%21&a=2&c&=3&d=e=f&&%41=%zz")
    assert.same({ a = "1", b = "x y!", c = "", [""] = "3", d = "e=f", A = "%zz" }, first)
    assert.same({ { "a", "1" }, { "b", "x y!" }, { "a", "2" }, { "c", "" }, { "", "3" }, { "d", "e=f" },
      { "A", "%zz" } }, list)
    assert.same({ {}, {} }, { uri.read_query("") })
  end)
end)
