--- HTTP heads: read strictly, written.
-- @module spec.unit.http.head_spec

local http = require "websockets.http.head"

local LIMITS = { max_header_bytes = 8192, max_header_lines = 64, max_request_line_bytes = 8192 }

local function lines(...)
  return table.concat({ ... }, "\r\n") .. "\r\n\r\n"
end

local HEAD = lines("GET /chat?x=1 HTTP/1.1", "Host: example.com", "X:  some\t text  ", "Empty:")

describe("http.parse", function()
  local function parse(...) return http.parse(lines(...)) end

  it("reads the request line, the fields and what they mean", function()
    local request = http.parse(HEAD)
    assert.equal("GET", request.method)
    assert.equal("/chat?x=1", request.uri)
    assert.equal(1, request.minor)
    assert.same({ host = "example.com", x = "some\t text", empty = "" }, request.headers)
    assert.is_false(request.fields or false)
    assert.same({ { "host", "example.com" }, { "x", "some\t text" }, { "empty", "" } }, http.parse(HEAD, true).fields)
    assert.same({ 0, false, true }, { request.length, request.chunked, request.keep_alive })
    assert.is_nil(getmetatable(request.headers))
  end)

  it("joins repeated fields, cookies by a semicolon", function()
    local request = parse("GET / HTTP/1.1", "Host: a", "X: 1", "Cookie: a=1", "x: 2", "cookie: b=2", "X: 3")
    assert.equal("1, 2, 3", request.headers.x)
    assert.equal("a=1; b=2", request.headers.cookie)
  end)

  it("reads lengths and chunked", function()
    assert.equal(12, parse("POST / HTTP/1.1", "Host: a", "Content-Length: 12").length)
    assert.equal(999999999999999, parse("POST / HTTP/1.1", "Host: a", "Content-Length: 999999999999999").length)
    assert.is_true(parse("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: Chunked").chunked)
  end)

  it("reads absolute-form: its host counts, the path is what is asked for", function()
    for target, uri in pairs({ ["http://b:80/x?y"] = "/x?y", ["HTTPS://b:80"] = "/", ["http://b:80?q"] = "/?q" }) do
      for _, version in ipairs({ "1.0", "1.1" }) do
        local request = parse("GET " .. target .. " HTTP/" .. version, "Host: a")
        assert.same({ uri, "b:80" }, { request.uri, request.headers.host })
      end
    end
    assert.equal("b", parse("GET http://b/ HTTP/1.0").headers.host)
  end)

  it("reads the asterisk of OPTIONS only", function()
    assert.equal("*", parse("OPTIONS * HTTP/1.1", "Host: a").uri)
    assert.same({ nil, 400 }, { parse("GET * HTTP/1.1", "Host: a") })
  end)

  it("knows which connections stay", function()
    local function stays(version, value)
      return parse("GET / HTTP/" .. version, "Host: a", value and "Connection: " .. value or "X: y").keep_alive
    end
    assert.same({ true, false, false, true }, { stays("1.1"), stays("1.1", "close"), stays("1.1", "x, CLOSE"),
      stays("1.1", "closed") })
    assert.same({ false, true, false }, { stays("1.0"), stays("1.0", "Keep-Alive"),
      stays("1.0", "keep-alive, close") })
  end)

  it("asks HTTP/1.0 for no Host", function()
    assert.equal(0, parse("GET / HTTP/1.0").minor)
    assert.equal(1, parse("GET / HTTP/1.9", "Host: a").minor)
  end)

  local GET, HOST = "GET / HTTP/1.1", "Host: a"
  local HOSTILE = {
    { "no Host", 400, GET },
    { "two Hosts", 400, GET, HOST, HOST },
    { "a Host with a blank", 400, GET, "Host: a b" },
    { "a Host with user information", 400, GET, "Host: me@a" },
    { "a Host with a path", 400, GET, "Host: a/b" },
    { "a folded field", 400, GET, HOST, "X: a", " b" },
    { "a field folded with a tab", 400, GET, HOST, "X: a", "\tb: c" },
    { "a blank before the colon", 400, GET, HOST, "X : a" },
    { "a tab before the colon", 400, GET, HOST, "X\t: a" },
    { "a field without a colon", 400, GET, HOST, "nonsense" },
    { "a field without a name", 400, GET, HOST, ": a" },
    { "a name outside ASCII", 400, GET, HOST, "X\195\164: a" },
    { "NUL in a value", 400, GET, HOST, "X: a\0b" },
    { "a bare CR in a value", 400, GET, HOST, "X: a\rb: c" },
    { "CR CR LF", 400, GET, HOST, "X: a\r" },
    { "a control character in a value", 400, GET, HOST, "X: a\27b" },
    { "DEL in a value", 400, GET, HOST, "X: a\127" },
    { "two Content-Lengths", 400, GET, HOST, "Content-Length: 5", "Content-Length: 5" },
    { "a list as Content-Length", 400, GET, HOST, "Content-Length: 5, 5" },
    { "a signed Content-Length", 400, GET, HOST, "Content-Length: +5" },
    { "a negative Content-Length", 400, GET, HOST, "Content-Length: -5" },
    { "a hexadecimal Content-Length", 400, GET, HOST, "Content-Length: 0x5" },
    { "an empty Content-Length", 400, GET, HOST, "Content-Length:" },
    { "a Content-Length past exact numbers", 413, GET, HOST, "Content-Length: 9999999999999999" },
    { "Content-Length and Transfer-Encoding", 400, GET, HOST, "Content-Length: 5", "Transfer-Encoding: chunked" },
    { "two Transfer-Encodings", 400, GET, HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked" },
    { "another Transfer-Encoding", 501, GET, HOST, "Transfer-Encoding: gzip" },
    { "a row of Transfer-Encodings", 501, GET, HOST, "Transfer-Encoding: gzip, chunked" },
    { "Transfer-Encoding in HTTP/1.0", 400, "GET / HTTP/1.0", HOST, "Transfer-Encoding: chunked" },
    { "HTTP/2.0", 505, "GET / HTTP/2.0", HOST },
    { "HTTP/0.9", 505, "GET / HTTP/0.9", HOST },
    { "HTTP/1.10", 400, "GET / HTTP/1.10", HOST },
    { "http/1.1", 400, "GET / http/1.1", HOST },
    { "no version", 400, "GET /", HOST },
    { "a blank behind the version", 400, "GET / HTTP/1.1 ", HOST },
    { "two blanks", 400, "GET  / HTTP/1.1", HOST },
    { "a blank in the target", 400, "GET /a b HTTP/1.1", HOST },
    { "a tab for a blank", 400, "GET\t/ HTTP/1.1", HOST },
    { "a method that is no token", 400, "G(T / HTTP/1.1", HOST },
    { "no method", 400, " / HTTP/1.1", HOST },
    { "a relative target", 400, "GET x HTTP/1.1", HOST },
    { "a target outside ASCII", 400, "GET /\195\164 HTTP/1.1", HOST },
    { "NUL in the target", 400, "GET /a\0b HTTP/1.1", HOST },
    { "a fragment in the target", 400, "GET /a#b HTTP/1.1", HOST },
    { "CONNECT", 400, "CONNECT a:80 HTTP/1.1", HOST },
    { "another scheme", 400, "GET ftp://a/ HTTP/1.1", HOST },
    { "absolute-form without a host", 400, "GET http:///x HTTP/1.1", HOST },
    { "absolute-form with user information", 400, "GET http://me@a/ HTTP/1.1", HOST },
    { "absolute-form with signs no host has", 400, "GET http://a\"<b>/ HTTP/1.1", HOST },
    { "absolute-form without Host", 400, "GET http://a/ HTTP/1.1" },
  }
  for _, case in ipairs(HOSTILE) do
    it("refuses " .. case[1] .. " with " .. case[2], function()
      local text = table.concat(case, "\r\n", 3) .. "\r\n\r\n"
      assert.same({ nil, case[2] }, { http.parse(text) })
    end)
  end

  it("raises for no head of any bytes that the scanner lets through", function()
    local seed, signs = 1, { "G", " ", "/", "HTTP/1.1", "\r", "\r\n", ":", "Host", "\0", "\255", ",", "\t", "*" }
    for _ = 1, 3000 do
      local made = {}
      for i = 1, 12 do
        seed = (seed * 16807) % 2147483647
        made[i] = signs[seed % #signs + 1]
      end
      local head = http.scan(http.scanner(), "G" .. table.concat(made) .. "\r\n\r\n", 1, LIMITS)
      if head then
        local request, status = http.parse(head)
        assert.is_true(request ~= nil or status == 400 or status == 505)
      end
    end
  end)
end)

describe("http.persistence", function()
  it("ends where the request, the server or the lack of a request says so", function()
    local stays, ends = { keep_alive = true, minor = 1 }, { keep_alive = false, minor = 1 }
    assert.same({ true, "" }, { http.persistence(stays, false) })
    assert.same({ true, "keep-alive" }, { http.persistence({ keep_alive = true, minor = 0 }, false) })
    assert.same({ false, "close" }, { http.persistence(stays, true) })
    assert.same({ false, "close" }, { http.persistence(ends, false) })
    assert.same({ false, "close" }, { http.persistence(false, false) })
  end)
end)

describe("http.response_head", function()
  it("writes status, fields, length and connection", function()
    assert.equal("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 12\r\nConnection: close\r\n\r\n",
      http.response_head(200, { X = "y" }, 12, "close"))
    assert.equal("HTTP/1.1 100 Continue\r\n\r\n", http.response_head(100, nil, nil, ""))
    assert.equal("HTTP/1.1 200 OK\r\nContent-Length: 3000000000\r\n\r\n", http.response_head(200, {}, 3e9, ""))
  end)

  it("writes a list of values as one line each, and any status", function()
    assert.equal("HTTP/1.1 299 Status\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
      http.response_head(299, { ["Set-Cookie"] = { "a", "b" } }, nil, ""))
  end)

  it("has a phrase for each status of this library", function()
    for _, status in ipairs({ 100, 101, 400, 403, 404, 405, 413, 414, 417, 426, 431, 500, 501, 503, 504, 505 }) do
      assert.truthy(http.response_head(status, nil, 0, "close"):find("^HTTP/1.1 " .. status .. " %u[%a%- ]+\r\n"))
    end
  end)
end)
