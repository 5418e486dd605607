--- Answers to requests of ours: heads past interim ones, statuses, fields, and what body follows.
-- @module spec.unit.http.answer_spec

local answer = require "websockets.http.answer"

local LIMITS = { max_header_bytes = 1000, max_header_lines = 16, max_request_line_bytes = math.huge }
local OK = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"

local function feed(bytes, step)
  local reader, seen = answer.new(), 0
  for from = 1, #bytes, step or #bytes do
    local piece = bytes:sub(from, from + (step or #bytes) - 1)
    local head, after = reader:feed(piece, LIMITS)
    if head then return head, bytes:sub(seen + after) end
    if head == false then return head, after end
    seen = seen + #piece
  end
end

describe("the head of an answer", function()
  it("is found however the bytes are cut, with the position after it", function()
    for _, step in ipairs({ false, 1, 2, 7 }) do
      assert.same({ OK, "rest" }, { feed(OK .. "rest", step or nil) })
    end
    assert.is_nil((feed(OK:sub(1, -2))))
  end)

  it("is looked for past interim answers", function()
    for _, line in ipairs({ "HTTP/1.1 100 Continue", "HTTP/1.1 102", "HTTP/1.1 103 Early Hints", "HTTP/1.1 199 " }) do
      for _, step in ipairs({ false, 1, 5 }) do
        assert.same({ OK, "x" }, { feed(line .. "\r\n\r\n" .. OK .. "x", step or nil) }, line)
      end
    end
    for _, line in ipairs({ "HTTP/1.1 101 Switching", "HTTP/1.1 101", "HTTP/1.1 200 OK", "HTTP/1.1 1000",
      "HTTP/1.1 100x", "HTTP/2 100", "100 Continue", "HTTP/1.1 500 HTTP/1.1 100 " }) do
      assert.same({ line .. "\r\n\r\n", OK }, { feed(line .. "\r\n\r\n" .. OK) })
    end
  end)

  it("comes after at most 16 of them, of at most max_header_bytes together", function()
    local interim = "HTTP/1.1 100 Continue\r\n\r\n"
    assert.equal(OK, (feed(interim:rep(16) .. OK)))
    assert.same({ false, "came after too many interim ones" }, { feed(interim:rep(17) .. OK) })
    interim = "HTTP/1.1 103 x\r\nA: " .. ("x"):rep(400) .. "\r\n\r\n"
    assert.equal(OK, (feed(interim:rep(2) .. OK)))
    assert.same({ false, "came after too many interim ones" }, { feed(interim:rep(3) .. OK) })
  end)

  it("is refused where it is too long or no head", function()
    assert.same({ false, "has too long a head" }, { feed("HTTP/1.1 200 OK\r\nA: " .. ("x"):rep(1000)) })
    assert.same({ false, "has too long a head" }, { feed("HTTP/1.1 200 " .. ("x"):rep(1000), 1) })
    assert.same({ false, "is not HTTP" }, { feed("\5\0") })
    assert.same({ false, "is not HTTP" }, { feed("HTTP/1.1 200 OK\n\n") })
  end)

  it("is refused as soon as it cannot begin as one, however it is cut", function()
    for _, bytes in ipairs({ "SSH-2.0-x\r\n", "220 ESMTP\r\n", "+OK\r\n", "HTTP/2 2", "HTTX", "\r\nSSH", "\rx" }) do
      for _, step in ipairs({ false, 1, 2 }) do
        assert.same({ false, "is not HTTP" }, { feed(bytes, step or nil) }, bytes)
      end
      local interim = "HTTP/1.1 100 Continue\r\n\r\n"
      for _, step in ipairs({ false, 1, 2 }) do
        assert.same({ false, "is not HTTP" }, { feed(interim .. bytes, step or nil) }, bytes)
      end
    end
    for _, bytes in ipairs({ "\r", "\r\n", "H", "HTTP/1", "HTTP/1.", "HTTP/1.1 200 OK\r\nA: b\r\n", "\r\nHTTP" }) do
      for _, step in ipairs({ false, 1, 2 }) do assert.is_nil((feed(bytes, step or nil))) end
    end
    assert.equal(OK, (feed("\r\n" .. OK, 1)))
  end)
end)

describe("answer.read", function()
  it("gives status, text, version and fields", function()
    local read = answer.read("HTTP/1.0 404 Not\27Found\r\nSet-Cookie: a\r\nset-cookie:  b \r\nX:\r\n folded\r\n\r\n")
    assert.same({ 404, "404 Not?Found", 0, false }, { read.status, read.text, read.minor, read.is_malformed })
    assert.same({ ["set-cookie"] = "a, b", x = " folded" }, { ["set-cookie"] = read.headers["set-cookie"],
      x = " " .. read.headers.x })
    assert.same({ { "set-cookie", "a" }, { "set-cookie", "b" }, { "x", "folded" } }, read.fields)
    assert.equal("200", answer.read("HTTP/1.1 200\r\n\r\n").text)
  end)

  it("gives as much of the reason phrase as an error can say", function()
    local read = answer.read("HTTP/1.1 404 " .. ("x"):rep(30000) .. "\r\n\r\n")
    assert.same({ 404, "404 " .. ("x"):rep(196) }, { read.status, read.text })
  end)

  it("reads a folded field line: each fold is a space", function()
    local headers = answer.read("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\t \tc\r\n \r\nY:\r\n d\r\n\r\n").headers
    assert.same({ "a b c", "d" }, { headers.x, headers.y })
  end)

  it("takes time that grows with the length only, whatever blanks an answer has", function()
    local lines = "X: " .. (" "):rep(30000) .. "y" .. ("\r\n "):rep(10000)
    assert.equal("y", answer.read("HTTP/1.1 200 OK\r\n" .. lines .. "\r\n\r\n").headers.x)
  end)

  it("gives the fields up to the first that is malformed", function()
    local read = answer.read("HTTP/1.1 200 OK\r\nA: b\r\nC : d\r\nE: f\r\n\r\n")
    assert.is_true(read.is_malformed)
    assert.same({ a = "b" }, read.headers)
  end)

  it("refuses what is not HTTP", function()
    for _, line in ipairs({ "", "HTTP/1.1 20", "HTTP/1.1 200x", "HTTP/1.1 2000", "HTTP/2 200 OK", "http/1.1 200 OK",
      "HTTP/1.1  200 OK", "SSH-2.0-x" }) do
      assert.is_nil(answer.read(line .. "\r\n\r\n"))
    end
  end)
end)

describe("the body of an answer", function()
  local function body_of(fields, bytes, status, max_bytes)
    local head = ("HTTP/1.1 %d x\r\n%s\r\n"):format(status or 404, fields)
    local body = answer.body(answer.read(head), max_bytes or 100)
    if not body then return "none" end
    for byte in bytes:gmatch(".") do
      local whole, after = body:feed(byte, 1)
      if whole ~= nil then return whole, after end
    end
    return "so far", body:so_far()
  end

  it("is as long as Content-Length says, or as is wanted", function()
    assert.equal("abc", (body_of("Content-Length: 3\r\n", "abcd")))
    assert.same({ "so far", "ab" }, { body_of("Content-Length: 3\r\n", "ab") })
    assert.equal("ab", (body_of("Content-Length: 99999999999999999999999999\r\n", "abcd", 404, 2)))
    assert.equal("", (body_of("Content-Length: 0\r\n", "x")))
  end)

  it("may be chunked", function()
    assert.equal("abcde",
      (body_of("Transfer-Encoding: gzip, Chunked\r\n", "3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: x\r\n\r\n")))
    assert.same({ "so far", "ab" }, { body_of("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "3\r\nab") })
    assert.is_false((body_of("Transfer-Encoding: chunked\r\n", "x\r\n")))
  end)

  it("else goes on to the end of the connection, or as far as is wanted", function()
    for _, fields in ipairs({ "", "Content-Length: x\r\n", "Content-Length: 1, 1\r\n", "Transfer-Encoding: gzip\r\n",
      "Transfer-Encoding: gzip\r\nContent-Length: 1\r\n" }) do
      assert.same({ "so far", "abc" }, { body_of(fields, "abc") })
      assert.equal("ab", (body_of(fields, "abc", 404, 2)))
    end
  end)

  it("is none after some statuses", function()
    for _, status in ipairs({ 101, 204, 304 }) do
      assert.equal("none", body_of("Content-Length: 3\r\n", "abc", status))
    end
  end)
end)
