--- HTTP heads are found however the bytes are cut, and no longer than the limits.
-- @module spec.unit.http.head_scan_spec

local http = require "websockets.http.head"

local LIMITS = { max_header_bytes = 8192, max_header_lines = 64, max_request_line_bytes = 8192 }

local function limits(changes)
  local made = {}
  for name, value in pairs(LIMITS) do made[name] = changes[name] or value end
  return made
end

-- Feeds pieces of a size; gives what the last call gave.
local function scan_in(text, size, given)
  local scanner, last = http.scanner(), nil
  for from = 1, #text, size do
    local head, position = http.scan(scanner, text:sub(from, from + size - 1), 1, given or LIMITS)
    if head ~= nil then return head, type(head) == "string" and from - 1 + position or position end
    last = head
  end
  return last
end

local function lines(...)
  return table.concat({ ... }, "\r\n") .. "\r\n\r\n"
end

local HEAD = lines("GET /chat?x=1 HTTP/1.1", "Host: example.com", "X:  some\t text  ", "Empty:")

describe("http.scan", function()
  it("finds the end of a head and where the next byte stands", function()
    assert.same({ HEAD, #HEAD + 1 }, { http.scan(http.scanner(), HEAD, 1, LIMITS) })
    assert.same({ HEAD, #HEAD + 4 }, { http.scan(http.scanner(), "..." .. HEAD .. "rest", 4, LIMITS) })
  end)

  it("finds it cut at every byte", function()
    local text = HEAD .. "\r\nrest"
    for cut = 1, #HEAD - 1 do
      local scanner = http.scanner()
      assert.is_nil(http.scan(scanner, text:sub(1, cut), 1, LIMITS))
      local head, position = http.scan(scanner, text:sub(cut + 1), 1, LIMITS)
      assert.equal(HEAD, head)
      assert.equal(#HEAD + 1, cut + position)
    end
  end)

  it("finds it in pieces of every size", function()
    for size = 1, #HEAD + 3 do
      assert.same({ HEAD, #HEAD + 1 }, { scan_in(HEAD .. "more", size) })
    end
  end)

  it("looks at each byte once, however they are cut", function()
    local scanned, find = 0, string.find
    local piece_count = 4000
    local scanner, text = http.scanner(), "GET / HTTP/1.1\r\nX: " .. ("y"):rep(piece_count)
    local joined, concat = 0, table.concat
    rawset(string, "find", function(bytes, ...)
      scanned = scanned + #bytes
      return find(bytes, ...)
    end)
    rawset(table, "concat", function(list, ...)
      local made = concat(list, ...)
      joined = joined + #made
      return made
    end)
    package.loaded["websockets.http.head"] = nil
    local fresh = require "websockets.http.head"
    package.loaded["websockets.http.head"] = http
    rawset(string, "find", find)
    rawset(table, "concat", concat)
    for i = 1, #text do assert.is_nil(fresh.scan(scanner, text:sub(i, i), 1, LIMITS)) end
    assert.is_true(scanned <= 2 * #text, scanned)
    assert.is_true(joined <= 12 * #text, joined)
    assert.is_true(#scanner.pieces <= 256)
  end)

  it("passes over one empty line in front, however it is cut, and refuses two", function()
    for size = 1, #HEAD do
      assert.same({ HEAD, #HEAD + 3 }, { scan_in("\r\n" .. HEAD, size) })
      assert.same({ false, 400 }, { scan_in("\r\n\r\n" .. HEAD, size) })
    end
  end)

  it("refuses a bare line feed, however it is cut", function()
    for _, text in ipairs({ "GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\n\n", "\nGET / HTTP/1.1\r\n\r\n", "\n" }) do
      for size = 1, #text do assert.same({ false, 400 }, { scan_in(text, size) }) end
    end
  end)

  it("refuses at once what does not begin like a method", function()
    for _, text in ipairs({ "\22\3\1", "\0", " GET", "\128", "(", "\r\n\22" }) do
      assert.same({ false, 400 }, { http.scan(http.scanner(), text, 1, LIMITS) })
    end
    assert.is_nil(http.scan(http.scanner(), "\r", 1, LIMITS))
    assert.is_nil(http.scan(http.scanner(), "", 1, LIMITS))
  end)

  it("takes a request line of the limit, and refuses one byte more with 414", function()
    local given = limits({ max_request_line_bytes = 64 })
    local function request(size) return "GET /" .. ("a"):rep(size - 16) .. " HTTP/1.1\r\n\r\n" end
    for size = 1, 80 do
      assert.equal(request(64), (scan_in(request(64), size, given)))
      assert.same({ false, 414 }, { scan_in(request(65), size, given) })
    end
    assert.same({ false, 414 }, { http.scan(http.scanner(), ("G"):rep(65), 1, given) })
  end)

  it("takes a head of the limit, and refuses one byte more with 431", function()
    local given = limits({ max_header_bytes = 100 })
    local function request(size) return "GET / HTTP/1.1\r\nX: " .. ("a"):rep(size - 23) .. "\r\n\r\n" end
    for size = 1, 101 do
      assert.equal(request(100), (scan_in(request(100), size, given)))
      assert.same({ false, 431 }, { scan_in(request(101), size, given) })
    end
  end)

  it("calls a request line longer than the whole head may be 414", function()
    local given = limits({ max_header_bytes = 64 })
    assert.same({ false, 414 }, { http.scan(http.scanner(), ("G"):rep(65), 1, given) })
  end)

  it("takes as many lines as the limit, and refuses one more with 431", function()
    local given = limits({ max_header_lines = 3 })
    local function request(count) return "GET / HTTP/1.1\r\n" .. ("A: b\r\n"):rep(count) .. "\r\n" end
    for size = 1, 40 do
      assert.equal(request(3), (scan_in(request(3), size, given)))
      assert.same({ false, 431 }, { scan_in(request(4), size, given) })
    end
  end)
end)
