--- What a client proves itself with.
-- @module spec.unit.http.credentials_spec

local credentials = require "websockets.http.credentials"
local engine = require("websockets.engine.loader").choose()
local websockets = require "websockets"

describe("constant_time_equal", function()
  it("tells equal strings from others, whatever their lengths", function()
    local equal = websockets.constant_time_equal
    for _, pair in ipairs({ { "", "" }, { "a", "a" }, { ("x"):rep(1000), ("x"):rep(1000) }, { "\0\255", "\0\255" } }) do
      assert.is_true(equal(pair[1], pair[2]))
    end
    for _, pair in ipairs({ { "", "a" }, { "a", "" }, { "a", "b" }, { "ab", "ba" }, { "a", "aa" }, { "aa", "a" },
      { "abcabc", "abc" }, { "abc", "abcabc" }, { "\0", "" }, { "", "\0" }, { "\1", "\0" } }) do
      assert.is_false(equal(pair[1], pair[2]))
    end
  end)

  it("raises for what is no string, naming the argument", function()
    for position, arguments in ipairs({ { nil, "a" }, { "a", 1 } }) do
      local passed, message = pcall(websockets.constant_time_equal, arguments[1], arguments[2])
      assert.is_false(passed)
      assert.matches("#" .. position .. " to 'constant_time_equal' (string expected", message, 1, true)
    end
  end)
end)

describe("basic credentials", function()
  local function read(value) return credentials.basic(value, engine.unbase64) end

  -- RFC 7617, section 2.
  it("are those of the standard's example", function()
    assert.same({ "Aladdin", "open sesame" }, { read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") })
    assert.same({ "Aladdin", "open sesame" }, { read("bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ==") })
  end)

  it("are cut at the first colon, and may be empty", function()
    assert.same({ "a", "b:c" }, { read("Basic " .. engine.base64("a:b:c")) })
    assert.same({ "", "" }, { read("Basic " .. engine.base64(":")) })
  end)

  it("are none where they are not well formed", function()
    for _, value in ipairs({ "", "Basic", "Basic ", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic QQ", "Basic a b",
      "Basic " .. engine.base64("no colon"), "Basic " .. engine.base64("a:\0"), "Basic " .. engine.base64("a\n:b"),
      "Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==" }) do
      assert.is_nil(read(value))
    end
    assert.is_nil(read(nil))
  end)
end)

describe("a bearer token", function()
  it("is what the standard's syntax allows, in any case of the scheme", function()
    assert.equal("mF_9.B5f-4.1JqM", credentials.bearer("Bearer mF_9.B5f-4.1JqM"))
    assert.equal("a~+/b==", credentials.bearer("bEARER   a~+/b=="))
  end)

  it("is none where it is not well formed", function()
    for _, value in ipairs({ "", "Bearer", "Bearer ", "Basic a", "Bearer a b", "Bearer =", "Bearer a=b", "Bearer a,b",
      "Bearer \"a\"", "Bearer a\0", "Bearer \228", "Bearer a, Bearer b", " Bearer a", "Bearer a " }) do
      assert.is_nil(credentials.bearer(value))
    end
    assert.is_nil(credentials.bearer(nil))
  end)
end)

describe("written basic credentials", function()
  it("are read as they were", function()
    assert.equal("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
      credentials.write_basic("Aladdin", "open sesame", engine.base64))
    local value = credentials.write_basic("", "a:\195\164", engine.base64)
    assert.same({ "", "a:\195\164" }, { credentials.basic(value, engine.unbase64) })
  end)
end)
