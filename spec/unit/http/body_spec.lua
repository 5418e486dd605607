--- Request bodies, by length and chunked, cut anywhere.
-- @module spec.unit.http.body_spec

local body = require "websockets.http.body"

local function by_length(length, max) return body.new({ length = length, chunked = false }, max or 1000) end
local function chunked(max) return body.new({ length = 0, chunked = true }, max or 1000) end

-- Feeds pieces of a size; gives what the last call gave, its position counted from the first byte of all.
local function feed_in(reader, bytes, size)
  for from = 1, #bytes, size do
    local text, position = reader:feed(bytes:sub(from, from + size - 1), 1)
    if text then return text, from - 1 + position end
    if text == false then return text, position end
  end
  return nil
end

describe("websockets.body by Content-Length", function()
  it("is whole at once when it is empty", function()
    assert.same({ "", 1 }, { by_length(0):feed("", 1) })
    assert.same({ "", 1 }, { by_length(0):feed("next", 1) })
  end)

  it("is read cut at every byte, and leaves what follows it", function()
    for size = 1, 12 do
      assert.same({ "0123456789", 11 }, { feed_in(by_length(10), "0123456789GET", size) })
    end
    assert.is_nil(by_length(10):feed("012345678", 1))
    assert.same({ "789", 7 }, { by_length(3):feed("456789", 4) })
  end)

  it("takes the limit and refuses one byte more with 413, before anything came", function()
    assert.truthy(by_length(100, 100))
    assert.same({ nil, 413 }, { by_length(101, 100) })
    assert.truthy(by_length(0, 0))
    assert.same({ nil, 413 }, { by_length(1, 0) })
  end)

  it("keeps few strings and copies little when it comes byte by byte", function()
    local count = 20000
    local reader = by_length(count, count)
    for i = 1, count - 1 do assert.is_nil(reader:feed(string.char(i % 256), 1)) end
    assert.is_true(#reader.pieces + #reader.blocks < 600)
    for i = 1, #reader.blocks do assert.equal(256, #reader.blocks[i]) end
    local text = reader:feed("!", 1)
    assert.equal(count, #text)
    assert.equal(string.char(19999 % 256) .. "!", text:sub(-2))
    assert.equal("\1\2\3", text:sub(1, 3))
  end)

  it("gives the same when it is asked again", function()
    local reader = by_length(3)
    assert.equal("abc", (reader:feed("abc", 1)))
    assert.same({ "abc", 1 }, { reader:feed("def", 1) })
  end)
end)

describe("websockets.body chunked", function()
  local BYTES = '5\r\nhello\r\n00006 ;name="a value"\t;x\r\n world\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n'
  local TEXT = "hello world0123456789"

  it("is read in pieces of every size, and leaves what follows it", function()
    for size = 1, #BYTES + 4 do
      assert.same({ TEXT, #BYTES + 1 }, { feed_in(chunked(), BYTES .. "GET ", size) })
    end
  end)

  it("is read cut at every byte", function()
    for cut = 1, #BYTES - 1 do
      local reader = chunked()
      assert.is_nil((reader:feed(BYTES:sub(1, cut), 1)))
      assert.equal(TEXT, (reader:feed(BYTES:sub(cut + 1), 1)))
    end
  end)

  it("may be empty", function()
    assert.same({ "", 6 }, { chunked(0):feed("0\r\n\r\n", 1) })
  end)

  it("takes the limit and refuses one byte more with 413, before that byte came", function()
    assert.equal("hello!", (chunked(6):feed("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 1)))
    assert.same({ false, 413 }, { chunked(5):feed("5\r\nhello\r\n1\r\n", 1) })
    assert.same({ false, 413 }, { chunked(5):feed("6\r\n", 1) })
    assert.same({ false, 413 }, { chunked(5):feed("ffffffffffff\r\n", 1) })
  end)

  local BAD = {
    { "a size that is no number", "x\r\n" }, { "no size", "\r\n" }, { "a negative size", "-1\r\n" },
    { "a signed size", "+1\r\n" }, { "0x", "0x1\r\n" }, { "a blank before the size", " 1\r\n" },
    { "a blank after the size", "1 \r\n" }, { "something after the size", "1 x\r\n" },
    { "a size of 13 digits", "0000000000001\r\n" }, { "a bare line feed", "1\n" },
    { "a bare CR", "1;a\rb\r\n" }, { "a control character", "1;a\1\r\n" }, { "NUL", "1;a\0\r\n" },
    { "a line without end", "1;" .. ("a"):rep(1023) }, { "data longer than its size", "1\r\nab\r\n" },
    { "data that ends in a line feed", "1\r\na\n" }, { "a trailer line that ends in a line feed", "0\r\nX: y\n" },
  }
  for _, case in ipairs(BAD) do
    it("refuses " .. case[1] .. " with 400, however it is cut", function()
      for size = 1, math.min(#case[2], 20) do
        assert.same({ false, 400 }, { feed_in(chunked(), case[2], size) })
      end
    end)
  end

  it("takes a size line of 1,024 bytes", function()
    local line = "1;" .. ("a"):rep(1020) .. "\r\n"
    assert.equal("x", (chunked():feed(line .. "x\r\n0\r\n\r\n", 1)))
    assert.same({ false, 400 }, { chunked():feed("1;" .. ("a"):rep(1021) .. "\r\n", 1) })
  end)

  it("refuses trailers of more than 8 KiB with 431", function()
    local line = "X: " .. ("y"):rep(507) .. "\r\n"
    assert.equal("", (chunked():feed("0\r\n" .. line:rep(15) .. line:sub(3) .. "\r\n", 1)))
    assert.same({ false, 431 }, { chunked():feed("0\r\n" .. line:rep(16) .. "\r\n", 1) })
  end)

  it("keeps few strings when each chunk is a byte", function()
    local reader = chunked(5000)
    for _ = 1, 4000 do reader:feed("1\r\na\r\n", 1) end
    assert.is_true(#reader.pieces + #reader.blocks < 600)
    assert.equal(("a"):rep(4000), (reader:feed("0\r\n\r\n", 1)))
  end)
end)
