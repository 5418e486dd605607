--- Hostile requests: each gets its status, on a plain and on a routed server, and harms no other client.
-- @module spec.behaviour.hostile_http_spec

local child = require "spec.support.child"
local client = require "spec.support.client"
local inside = require "spec.support.inside"
local facts = require "websockets.http.facts"
local server = require "spec.support.server"
local websockets = require "websockets"

local HOST = "Host: h\r\n"
local UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
local KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

local function get(target, headers) return "GET " .. target .. " HTTP/1.1\r\n" .. HOST .. (headers or "") .. "\r\n" end
local function post(headers, body) return "POST / HTTP/1.1\r\n" .. HOST .. headers .. "\r\n" .. (body or "") end
local function lines(count) return ("X-A: b\r\n"):rep(count) end

-- What is sent; the status of the plain server, and of the routed one where that is another.
local CASES = {
  -- Where the body ends.
  { "length and chunked", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400 },
  { "chunked and length", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400 },
  { "length twice, the same", post("Content-Length: 2\r\nContent-Length: 2\r\n", "ab"), 400 },
  { "length twice, different", post("Content-Length: 2\r\nContent-Length: 3\r\n", "abc"), 400 },
  { "length as a list", post("Content-Length: 2, 2\r\n", "ab"), 400 },
  { "length with a sign", post("Content-Length: +2\r\n", "ab"), 400 },
  { "negative length", post("Content-Length: -1\r\n"), 400 },
  { "hexadecimal length", post("Content-Length: 0x2\r\n", "ab"), 400 },
  { "length with a fraction", post("Content-Length: 2.0\r\n", "ab"), 400 },
  { "length as a power", post("Content-Length: 1e1\r\n"), 400 },
  { "empty length", post("Content-Length:\r\n"), 400 },
  { "length with a space inside", post("Content-Length: 1 0\r\n"), 400 },
  { "length past the limit", post("Content-Length: 1001\r\n"), 413 },
  { "length past 2^64", post("Content-Length: 18446744073709551617\r\n"), 413 },
  { "unknown coding", post("Transfer-Encoding: gzip\r\n"), 501 },
  { "chunked twice in a list", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 501 },
  { "chunked not last", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 501 },
  { "coding in two fields", post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), 400 },
  { "coding hidden by a control character", post("Transfer-Encoding: \11chunked\r\n"), 400 },
  { "coding in quotes", post('Transfer-Encoding: "chunked"\r\n'), 501 },
  { "coding with an extension", post("Transfer-Encoding: chunked;x\r\n"), 501 },
  { "empty coding", post("Transfer-Encoding:\r\n"), 501 },
  { "space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400 },
  { "tab before the colon", post("Content-Length\t: 1\r\n", "a"), 400 },
  { "space before the name", post(" Content-Length: 1\r\n", "a"), 400 },
  { "folded header", post("X-A: b\r\n c\r\n"), 400 },
  { "folded coding", post("Transfer-Encoding:\r\n chunked\r\n"), 400 },
  { "chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
  { "chunk size with a prefix", post("Transfer-Encoding: chunked\r\n", "0x1\r\na\r\n0\r\n\r\n"), 400 },
  { "negative chunk size", post("Transfer-Encoding: chunked\r\n", "-1\r\n"), 400 },
  { "chunk size past the limit", post("Transfer-Encoding: chunked\r\n", "3e9\r\n"), 413 },
  { "chunk size past 2^64", post("Transfer-Encoding: chunked\r\n", "10000000000000001\r\n"), 400 },
  { "empty chunk size", post("Transfer-Encoding: chunked\r\n", "\r\n"), 400 },
  { "chunk size with a bare line feed", post("Transfer-Encoding: chunked\r\n", "1\na\r\n0\r\n\r\n"), 400 },
  { "chunk longer than it says", post("Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n"), 400 },
  { "chunk extension without end", post("Transfer-Encoding: chunked\r\n", "1;" .. ("x"):rep(1100)), 400 },
  { "chunk extension with a bare carriage return", post("Transfer-Encoding: chunked\r\n", "1;\rx\r\na\r\n"), 400 },
  { "trailers without end", post("Transfer-Encoding: chunked\r\n", "0\r\n" .. ("X-A: b\r\n"):rep(1100)), 431 },
  { "chunks that add up past the limit", post("Transfer-Encoding: chunked\r\n",
    ("64\r\n" .. ("x"):rep(100) .. "\r\n"):rep(11)), 413 },
  -- Lines.
  { "bare line feeds", "GET / HTTP/1.1\nHost: h\n\n", 400 },
  { "bare carriage return in a value", get("/", "X-A: a\rb\r\n"), 400 },
  { "bare carriage return before the end", "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", 400 },
  { "zero byte in a value", get("/", "X-A: a\0b\r\n"), 400 },
  { "delete character in a value", get("/", "X-A: a\127b\r\n"), 400 },
  { "zero byte in a name", get("/", "X\0A: b\r\n"), 400 },
  { "header without a colon", get("/", "nothing\r\n"), 400 },
  { "header without a name", get("/", ": x\r\n"), 400 },
  { "separator in a name", get("/", "X(A): b\r\n"), 400 },
  { "letters beyond ASCII in a name", get("/", "X-\195\188: b\r\n"), 400 },
  { "two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "one empty line first", "\r\n" .. get("/"), 200 },
  { "a TLS greeting", "\22\3\1\2\0\1\0\1\252\3\3", 400 },
  { "binary noise", "\255\254\253\r\n\r\n", 400 },
  -- Floods.
  { "65 headers", get("/", lines(64)), 431 },
  { "64 headers", get("/", lines(63)), 200 },
  { "one header of 9 KiB", get("/", "X-A: " .. ("b"):rep(9216) .. "\r\n"), 431 },
  { "headers of 9 KiB without end", "GET / HTTP/1.1\r\nX-A: " .. ("b"):rep(9216), 431 },
  { "target of 9 KiB", get("/" .. ("a"):rep(9216)), 414 },
  { "request line without end", "GET /" .. ("a"):rep(9216), 414 },
  { "method of 9 KiB", ("A"):rep(9216) .. " / HTTP/1.1\r\n\r\n", 414 },
  { "path of 4,000 folders", get(("/a"):rep(4000)), 200 },
  { "query of 4,000 names", get("/?" .. ("a&"):rep(4000)), 200 },
  { "cookies without end", get("/", "Cookie: " .. (";"):rep(7000) .. "\r\n"), 200 },
  -- Request lines.
  { "no version", "GET /\r\n" .. HOST .. "\r\n", 400 },
  { "HTTP/0.9", "GET / HTTP/0.9\r\n" .. HOST .. "\r\n", 505 },
  { "HTTP/2.0", "GET / HTTP/2.0\r\n" .. HOST .. "\r\n", 505 },
  { "the greeting of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
  { "HTTP/1.10", "GET / HTTP/1.10\r\n" .. HOST .. "\r\n", 400 },
  { "version in lower case", "GET / http/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "two spaces", "GET  / HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "space in the target", "GET /a b HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "space after the version", "GET / HTTP/1.1 \r\n" .. HOST .. "\r\n", 400 },
  { "tabs", "GET\t/\tHTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "space first", " GET / HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "no method", " / HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "method that is no token", "GE(T / HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "unknown method", "BREW / HTTP/1.1\r\n" .. HOST .. "\r\n", 200 },
  -- Targets.
  { "no slash", get("a"), 400 },
  { "star for GET", get("*"), 400 },
  { "star for OPTIONS", "OPTIONS * HTTP/1.1\r\n" .. HOST .. "\r\n", 200 },
  { "tunnel", "CONNECT h:443 HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "fragment", get("/#a"), 400 },
  { "control character in the target", get("/a\1b"), 400 },
  { "bytes beyond ASCII in the target", get("/\195\188"), 400 },
  { "absolute target", get("http://h/"), 200 },
  { "absolute target without a path", get("http://h?x"), 200 },
  { "absolute target of another scheme", get("ftp://h/"), 400 },
  { "absolute target with a user", get("http://user@h/"), 400 },
  { "absolute target with junk for a host", get('http://h"<>/'), 400 },
  { "absolute target without a host", get("http:///a"), 400 },
  { "badly encoded", get("/%zz"), 200, 400 },
  { "cut short encoding", get("/%2"), 200, 400 },
  { "zero byte encoded", get("/a%00b"), 200, 400 },
  { "way up", get("/../../etc/passwd"), 200, 400 },
  { "way up, encoded", get("/%2e%2e/%2e%2e/etc/passwd"), 200, 400 },
  { "way up to a protected route", get("/x/../admin/"), 200, 400 },
  { "protected route", get("/admin/"), 200, 401 },
  { "protected route, encoded", get("/%61%64min/x"), 200, 401 },
  -- A folder served by `files`, and the same below a route.
  { "files: way up", get("/files/../spec/run.lua"), 200, 400 },
  { "files: encoded slash", get("/files/..%2fsecret"), 200, 404 },
  { "files: encoded backslash", get("/files/..%5csecret"), 200, 404 },
  { "files: backslash", get("/files/..\\secret"), 200, 404 },
  { "files: zero byte", get("/files/index.html%00"), 200, 400 },
  { "files: encoded twice", get("/files/%252e%252e/secret"), 200, 404 },
  { "files: overlong encoding", get("/files/%c0%ae%c0%ae/secret"), 200, 404 },
  { "files: absolute path", get("/files//etc/passwd"), 200, 404 },
  { "files: hidden", get("/files/.git/config"), 200, 404 },
  { "files: device of Windows", get("/files/c:/windows"), 200, 404 },
  -- Hosts.
  { "no host", "GET / HTTP/1.1\r\n\r\n", 400 },
  { "two hosts", get("/", "Host: h\r\n"), 400 },
  { "two hosts, different", get("/", "hOST: i\r\n"), 400 },
  { "junk for a host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
  { "path in the host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
  { "user in the host", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400 },
  { "absolute target without Host", "GET http://h/ HTTP/1.1\r\n\r\n", 400 },
  { "HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n", 200 },
  -- Expectations and upgrades.
  { "unknown expectation", post("Content-Length: 1\r\nExpect: 200-maybe\r\n", "a"), 417 },
  { "expectation of too much", post("Content-Length: 5000\r\nExpect: 100-continue\r\n"), 413 },
  { "upgrade to something else", get("/", "Upgrade: h2c\r\nConnection: Upgrade\r\n"), 200 },
  { "upgrade without Connection", get("/", "Upgrade: websocket\r\n"), 426 },
  { "upgrade by POST", "POST / HTTP/1.1\r\n" .. HOST .. UPGRADE .. KEY .. "\r\n", 405 },
  { "upgrade with a body", get("/", UPGRADE .. KEY .. "Content-Length: 1\r\n") .. "a", 400 },
  { "upgrade without a key", get("/", UPGRADE), 400 },
  { "upgrade with two keys", get("/", UPGRADE .. KEY .. KEY), 400 },
  { "upgrade with a short key", get("/", UPGRADE .. "Sec-WebSocket-Key: YWJj\r\n"), 400 },
  { "upgrade with a key that is no Base64",
    get("/", UPGRADE .. "Sec-WebSocket-Key: !GhlIHNhbXBsZSBub25jZQ==\r\n"), 400 },
  { "upgrade from a page elsewhere", get("/", UPGRADE .. KEY .. "Origin: http://evil.example\r\n"), 403 },
  { "upgrade from nowhere", get("/", UPGRADE .. KEY .. "Origin: null\r\n"), 403 },
  { "upgrade with empty elements in a list", get("/", UPGRADE .. KEY .. "Sec-WebSocket-Protocol: a,,b\r\n"), 101 },
  { "upgrade with the same subprotocol twice", get("/", UPGRADE .. KEY .. "Sec-WebSocket-Protocol: a, a\r\n"), 400 },
  { "upgrade of an older version", get("/", KEY .. UPGRADE:gsub("13", "8")), 426 },
  { "upgrade of two versions", get("/", UPGRADE .. KEY .. "Sec-WebSocket-Version: 13\r\n"), 426 },
  { "upgrade past a hook, encoded", get("/%61dmin/x", UPGRADE .. KEY), 101, 401 },
}

local function ask_all(ws)
  local request = ws:request()
  return request.query, request.cookies, request.params
end

local function answer(ws)
  ask_all(ws)
  ws:respond(200, nil, "ok")
end

local function start(routes, on_http)
  return server.start({
    default = server.echo, max_body_bytes = 1000, on_http = on_http or answer, routes = routes,
    on_error = function(err) error(err, 0) end,
  })
end

local function status_of(s, bytes)
  local c = client.connect(s)
  c:send(bytes)
  local status = c:read_head()
  c:close()
  return status
end

describe("hostile requests", function()
  local folder, routed, knows_files

  lazy_setup(function()
    folder = child.make_folder()
    local routes = {
      ["/"] = { on_http = answer, default = server.echo }, ["/:page"] = { on_http = answer },
      ["/admin/*"] = {
        on_http = function(ws) ws:respond(401) end, on_handshake = function() return false, 401 end,
      },
    }
    knows_files = facts.are_known(require("websockets.engine.loader").choose())
    if knows_files then routes["/files/*"] = { on_http = websockets.files(folder) } end
    routed = routes
  end)
  lazy_teardown(function() child.remove_folder(folder) end)
  after_each(server.stop_all)

  it("are at least sixty", function() assert.is_true(#CASES >= 60) end)

  for kind, column in pairs({ plain = 3, routed = 4 }) do
    it("get their status from a " .. kind .. " server, while another client is served", function()
      local s = start(kind == "routed" and routed or nil)
      local witness = client.open(s, { target = "/" })
      for _, case in ipairs(CASES) do
        local expected = case[column] or case[3]
        if knows_files or kind == "plain" or not case[1]:find("^files:") then
          assert.same({ case[1], expected }, { case[1], status_of(s, case[2]) })
        end
        witness:text(case[1])
        assert.same({ 1, case[1] }, { witness:message() })
      end
      s:pump(function() return inside.connections(s.context) == 1 end, "the end of all others")
    end)
  end

  it("get the same status byte by byte", function()
    local s = start()
    for _, case in ipairs(CASES) do
      if #case[2] <= 400 then
        local c, taken = client.connect(s), 0
        -- What comes after an answer is no part of the case.
        while taken < #case[2] and not c:poll() and not c.ended do
          taken = taken + 1
          c:send(case[2]:sub(taken, taken))
          s:turns(1)
        end
        assert.same({ case[1], case[3] }, { case[1], (c:read_head()) })
        c:close()
      end
    end
  end)

  it("are the last of their connection: nothing after them is read as a request", function()
    local asked = 0
    local s = start(nil, function(ws)
      asked = asked + 1
      ws:respond(200)
    end)
    for _, case in ipairs(CASES) do
      if case[3] >= 400 and case[2]:find("\r\n\r\n", 1, true) then
        local c = client.connect(s)
        c:send(case[2] .. "GET /smuggled HTTP/1.1\r\n" .. HOST .. "\r\n")
        assert.equal(case[3], (c:read_head()))
        c:await_end()
        c:close()
      end
    end
    assert.equal(0, asked)
  end)
end)
