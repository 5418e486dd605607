--- The application's say in the opening handshake: `on_handshake`, now or later.
-- @module spec.behaviour.upgrade_spec

local recorder = require("spec.support.recorder")
local testing = require "websockets.testing"

-- What a peer is answered: status, headers, body.
local function answer_to(context, given)
  local peer, _, _, status, headers, body = context:peer(given or { protocols = { "chat", "news" } })
  if peer then return peer.status, peer.headers end
  return status, headers, body
end

-- What is answered to bytes.
local function bytes_answered(context, bytes)
  local peer = context:peer({ handshake = false })
  peer:send_bytes(bytes)
  return peer:receive_bytes(), peer
end

local function request_of(lines)
  return "GET / HTTP/1.1\r\nHost: localhost\r\n" .. lines .. "\r\n"
end

local UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
  .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, news\r\n"

local function text_frame(text) return "\129" .. string.char(128 + #text) .. "\0\0\0\0" .. text end

describe("on_handshake", function()
  local errors_heard

  before_each(function() errors_heard = {} end)

  local function start(hook, more)
    local options = {
      protocols = { chat = recorder.echo, news = recorder.echo }, on_handshake = hook,
      on_error = function(err) errors_heard[#errors_heard + 1] = tostring(err) end,
    }
    for name, value in pairs(more or {}) do options[name] = value end
    return testing.context(options)
  end

  it("true lets the client in, by its own order of subprotocols", function()
    local peer = start(function() return true end):peer({ protocols = { "news", "chat" } })
    assert.equal("news", peer.subprotocol)
    peer:send("hello")
    assert.equal("hello", peer:receive())
  end)

  it("true with an answer: subprotocol, headers with repeats, what becomes ws.user", function()
    local opened
    local context = start(function()
      return true, { protocol = "news", headers = { ["Set-Cookie"] = { "a=1", "b=2" }, ["X-N"] = 5 }, user = "joe" }
    end, { protocols = { chat = recorder.echo, news = function(ws) opened = ws end } })
    local head = bytes_answered(context, request_of(UPGRADE))
    assert.matches("^HTTP/1.1 101 .*\r\nSec%-WebSocket%-Protocol: news\r\n", head)
    assert.matches("\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n", head, 1, true)
    assert.matches("\r\nX-N: 5\r\n", head, 1, true)
    assert.same({ "joe", "news" }, { opened.user, opened:get_protocol() })
  end)

  it("a client that offers no subprotocol of 'protocols' is told, and so is the log", function()
    local logged
    local context = start(nil, { log = function(level, message) logged = level .. ": " .. message end })
    for offered, expected in pairs({
      [{}] = "info: refused a client that offers no subprotocol; 'default' would take it",
      [{ "v1", "v2" }] = "info: refused a client that offers \"v1, v2\", none of 'protocols'; 'default' would take it",
    }) do
      local status, _, body = answer_to(context, { protocols = offered })
      assert.same({ 400, "400 Bad Request: the client offers no subprotocol that is served here\n" }, { status, body })
      assert.equal(expected, logged)
    end
  end)

  it("protocol = false opens without a subprotocol, where there is a default handler", function()
    local context = start(function() return true, { protocol = false } end, { default = recorder.echo })
    local status, headers = answer_to(context)
    assert.same({ 101, nil }, { status, headers["sec-websocket-protocol"] })
    assert.equal(500, (answer_to(start(function() return true, { protocol = false } end))))
    assert.matches("default", errors_heard[1])
  end)

  it("false turns the client away: 403, or status, headers and body", function()
    local status, headers, body = answer_to(start(function() return false end))
    assert.same({ 403, "403 Forbidden\n", "close" }, { status, body, headers.connection })
    local context = start(function()
      return false, 401, { ["WWW-Authenticate"] = 'Basic realm="x"', ["content-type"] = "text/html" }, "<p>no</p>"
    end)
    status, headers, body = answer_to(context)
    assert.same({ 401, 'Basic realm="x"', "text/html", "<p>no</p>" },
      { status, headers["www-authenticate"], headers["content-type"], body })
    local _, peer = bytes_answered(context, request_of(UPGRADE))
    assert.equal("closed", (select(2, peer:receive())))
  end)

  it("hears the request: path, query, cookies, credentials", function()
    local context = start(function(request)
      local user, password = request:basic_credentials()
      return request.cookies.session == "s1" and request.query.room == "a b" and user == "joe" and password == "pw"
    end)
    assert(context:peer({ protocols = { "chat" }, target = "/x?room=a%20b",
      headers = { Cookie = "session=s1", Authorization = "Basic am9lOnB3" } }))
    assert.equal(403, (answer_to(context)))
  end)

  it("that raises gives 500, and the error to the application", function()
    local status, _, body = answer_to(start(function() error("secret 42") end))
    assert.same({ 500, "500 Internal Server Error\n" }, { status, body })
    assert.matches("secret 42", errors_heard[1])
  end)

  it("that gives no valid answer gives 500: a mistake lets no client in", function()
    for _, answer in ipairs({ { nil }, { 1 }, { "yes" }, { true, "chat" }, { true, { protcol = "chat" } },
      { true, { protocol = "other" } }, { true, { protocol = "sports" } },
      { true, { headers = { ["X-A"] = "a\r\nb" } } },
      { true, { headers = { ["X-A"] = "a\nb" } } }, { true, { headers = { Upgrade = "h2c" } } },
      { true, { headers = { ["Sec-WebSocket-Protocol"] = "x" } } }, { false, 200 }, { false, "403" },
      { false, 403, { ["X A"] = "1" } }, { false, 403, { ["X-A"] = "1\r" } }, { false, 403, nil, 5 } }) do
      errors_heard = {}
      local context = start(function() return answer[1], answer[2], answer[3], answer[4] end, {
        -- "sports" is served here, and no client of these specs offers it.
        protocols = { chat = recorder.echo, news = recorder.echo, sports = recorder.echo },
      })
      local status, headers, body = answer_to(context)
      assert.same({ 500, "500 Internal Server Error\n", nil }, { status, body, headers["x-a"] })
      assert.equal(1, #errors_heard)
      -- No line of the application is at fault, and none of the library is named.
      local error_heard = errors_heard[1]:gsub("^bad argument #[234] to '(on_handshake)'", "%1")
      assert.matches("^on_handshake", error_heard)
    end
  end)

  it("names the header that cannot be sent", function()
    answer_to(start(function() return true, { headers = { ["X-Bad"] = "a\r\nb" } } end))
    assert.matches("'X-Bad'", errors_heard[1], 1, true)
  end)

  it("may choose only what the client offered", function()
    local context = start(function() return true, { protocol = "news" } end)
    assert.equal(500, (answer_to(context, { protocols = { "chat" } })))
    assert.matches("'news' was not offered", errors_heard[1], 1, true)
  end)

  it("is not asked where the handshake fails anyway", function()
    local asked = 0
    local context = start(function()
      asked = asked + 1
      return true
    end)
    assert.equal(403, (answer_to(context, { protocols = { "chat" }, origin = "http://evil.example" })))
    assert.equal(400, (answer_to(context, { protocols = { "other" } })))
    assert.equal(400, (answer_to(context, { protocols = { "chat", "", "chat" } })))
    assert.matches("^HTTP/1.1 426 ", (bytes_answered(context,
      request_of("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n"))))
    assert.equal(0, asked)
  end)

  it("is no part of plain HTTP", function()
    local context = start(function() error("asked") end, { on_http = function(ws) ws:respond(200) end })
    assert.equal(200, (context:request("GET", "/")))
  end)
end)

describe('on_handshake that returns "later"', function()
  local waiting, closed

  local function start(more)
    waiting = {}
    local handler, log = recorder.new(recorder.echo)
    closed = log.closed
    local options = { protocols = { chat = handler }, on_handshake = function(request)
      waiting[#waiting + 1] = request
      return "later"
    end }
    for name, value in pairs(more or {}) do options[name] = value end
    return testing.context(options)
  end

  local function ask(context)
    local count, peer = #waiting, context:peer({ protocols = { "chat" } })
    assert.equal(count + 1, #waiting)
    return peer
  end

  it("waits for request:accept", function()
    local context = start()
    local peer = ask(context)
    context:advance(5)
    assert.is_false(peer:is_open())
    assert.is_true(waiting[1]:accept({ headers = { ["X-A"] = "1" } }))
    context:settle()
    assert.same({ 101, "1", "chat" }, { peer.status, peer.headers["x-a"], peer.subprotocol })
    peer:send("hello")
    assert.equal("hello", peer:receive())
  end)

  it("waits for request:refuse", function()
    local context = start()
    local _, peer = bytes_answered(context, request_of(UPGRADE))
    assert.is_true(waiting[1]:refuse(429, { ["Retry-After"] = "5" }, "slow down"))
    local answer = peer:receive_bytes()
    assert.matches("^HTTP/1.1 429 .*\r\nRetry%-After: 5\r\n.*\r\n\r\nslow down$", answer)
    peer = ask(context)
    assert.is_true(waiting[2]:refuse())
    assert.same({ "closed", 403 }, { select(2, peer:receive()), peer.status })
  end)

  it("keeps messages that came after the request", function()
    local context = start()
    local answered, peer = bytes_answered(context, request_of(UPGRADE) .. text_frame("early"))
    peer:send_bytes(text_frame("second"))
    assert.equal("", answered)
    waiting[1]:accept()
    assert.matches("^HTTP/1.1 101 .*\r\n\r\n\129\5early\129\6second$", peer:receive_bytes())
  end)

  it("takes an answer inside the hook, too; what the hook raises comes first", function()
    local answer
    local function decide(request)
      if answer == "raise" then request:accept() error("late") end
      if answer == "accept" then assert(request:accept()) else assert(request:refuse(410)) end
      return "later"
    end
    local context = testing.context({ default = recorder.echo, on_error = function() end, on_handshake = decide })
    for wanted, status in pairs({ accept = 101, refuse = 410, raise = 500 }) do
      answer = wanted
      assert.same({ wanted, status }, { wanted, (answer_to(context, {})) })
    end
  end)

  it("answers 503 after handshake_timeout, and hears no more", function()
    local context = start()
    local peer = ask(context)
    context:advance(9.9)
    assert.is_nil(peer.status)
    context:advance(0.2)
    assert.same({ 503, "close", "1" }, { peer.status, peer.headers.connection, peer.headers["retry-after"] })
    assert.same({ nil, "closed" }, { waiting[1]:accept(), (select(3, waiting[1]:accept())) })
  end)

  it("takes one answer", function()
    local context = start()
    ask(context)
    assert.is_true(waiting[1]:accept())
    for _, again in ipairs({ "accept", "refuse" }) do
      local done, message, code = waiting[1][again](waiting[1])
      assert.same({ nil, "string", "closed" }, { done, type(message), code })
    end
    assert.same({}, closed)
  end)

  it("forgets a client that has gone", function()
    local context = start()
    ask(context):disconnect()
    assert.same({ nil, "closed" }, { waiting[1]:accept(), (select(3, waiting[1]:refuse())) })
    assert.same({}, closed)
  end)

  it("has nothing to say once the context is destroyed", function()
    local context = start()
    ask(context)
    context:destroy()
    assert.same({ nil, "closed" }, { waiting[1]:accept(), (select(3, waiting[1]:accept())) })
  end)

  it("raises for an answer that cannot be given, and can still be answered", function()
    local context = start()
    local peer = ask(context)
    for text, call in pairs({
      ["'X-A'"] = function() waiting[1]:accept({ headers = { ["X-A"] = "a\r\nb" } }) end,
      ["'other' is none of"] = function() waiting[1]:accept({ protocol = "other" }) end,
      ["'accept' (table expected, got 1)"] = function() waiting[1]:accept(1) end,
      ["'accept' (protocol, headers, user expected"] = function() waiting[1]:accept({ header = {} }) end,
      ["'refuse' (status 300 to 599 expected, got 200)"] = function() waiting[1]:refuse(200) end,
      ["'X-B'"] = function() waiting[1]:refuse(403, { ["X-B"] = "\n" }) end,
      ["#3 to 'refuse' (string expected"] = function() waiting[1]:refuse(403, nil, {}) end,
    }) do
      local passed, message = pcall(call)
      assert.is_false(passed)
      assert.matches(text, message, 1, true)
      assert.matches("upgrade_spec.lua", message, 1, true)
    end
    waiting[1]:accept()
    context:settle()
    assert.is_true(peer:is_open())
  end)

  it("counts among the half-open: the oldest makes room", function()
    local context = start({ max_half_open = 2 })
    local first = ask(context)
    ask(context)
    ask(context)
    assert.equal("closed", (select(2, first:receive())))
    assert.is_nil((waiting[1]:accept()))
    assert.is_true(waiting[3]:accept())
  end)
end)
