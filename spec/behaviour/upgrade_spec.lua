--- The application's say in the opening handshake: `on_handshake`, now or later.
-- @module spec.behaviour.upgrade_spec

local client = require "spec.support.client"
local inside = require "spec.support.inside"
local server = require "spec.support.server"

describe("on_handshake", function()
  after_each(server.stop_all)

  local errors_heard

  before_each(function() errors_heard = {} end)

  local function start(hook, more)
    local options = {
      protocols = { chat = server.echo, news = server.echo }, on_handshake = hook,
      on_error = function(err) errors_heard[#errors_heard + 1] = tostring(err) end,
    }
    for name, value in pairs(more or {}) do options[name] = value end
    return server.start(options)
  end

  local function ask(s, given)
    local c = client.connect(s)
    c:send(client.upgrade(given or { protocol = "chat, news" }))
    return c
  end

  it("true lets the client in, by its own order of subprotocols", function()
    local c = client.open(start(function() return true end), "news, chat")
    assert.equal("news", c.headers["sec-websocket-protocol"])
    c:text("hello")
    assert.same({ 1, "hello" }, { c:message() })
  end)

  it("true with an answer: subprotocol, headers with repeats, what becomes ws.user", function()
    local opened
    local s = start(function()
      return true, { protocol = "news", headers = { ["Set-Cookie"] = { "a=1", "b=2" }, ["X-N"] = 5 }, user = "joe" }
    end, { protocols = { chat = server.echo, news = function(ws) opened = ws end } })
    local status, headers, head = ask(s):read_head()
    assert.same({ 101, "news", "5" }, { status, headers["sec-websocket-protocol"], headers["x-n"] })
    assert.matches("\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n", head, 1, true)
    assert.same({ "joe", "news" }, { opened.user, opened:get_protocol() })
  end)

  it("protocol = false opens without a subprotocol, where there is a default handler", function()
    local s = start(function() return true, { protocol = false } end, { default = server.echo })
    local status, headers = ask(s):read_head()
    assert.same({ 101, nil }, { status, headers["sec-websocket-protocol"] })
    assert.equal(500, (ask(start(function() return true, { protocol = false } end)):response()))
    assert.matches("default", errors_heard[1])
  end)

  it("false turns the client away: 403, or status, headers and body", function()
    local status, headers, body = ask(start(function() return false end)):response()
    assert.same({ 403, "403 Forbidden\n", "close" }, { status, body, headers.connection })
    local c = ask(start(function()
      return false, 401, { ["WWW-Authenticate"] = 'Basic realm="x"', ["content-type"] = "text/html" }, "<p>no</p>"
    end))
    status, headers, body = c:response()
    assert.same({ 401, 'Basic realm="x"', "text/html", "<p>no</p>" },
      { status, headers["www-authenticate"], headers["content-type"], body })
    assert.equal("closed", c:await_end())
  end)

  it("hears the request: path, query, cookies, credentials", function()
    local s = start(function(request)
      local user, password = request:basic_credentials()
      return request.cookies.session == "s1" and request.query.room == "a b" and user == "joe" and password == "pw"
    end)
    client.open(s, { protocol = "chat", target = "/x?room=a%20b",
      headers = "Cookie: session=s1\r\nAuthorization: Basic am9lOnB3\r\n" })
    assert.equal(403, (ask(s):response()))
  end)

  it("that raises gives 500, and the error to the application", function()
    local status, _, body = ask(start(function() error("secret 42") end)):response()
    assert.same({ 500, "500 Internal Server Error\n" }, { status, body })
    assert.matches("secret 42", errors_heard[1])
  end)

  it("that gives no valid answer gives 500: a mistake lets no client in", function()
    for _, answer in ipairs({ { nil }, { 1 }, { "yes" }, { true, "chat" }, { true, { protcol = "chat" } },
      { true, { protocol = "other" } }, { true, { headers = { ["X-A"] = "a\r\nb" } } },
      { true, { headers = { ["X-A"] = "a\nb" } } }, { true, { headers = { Upgrade = "h2c" } } },
      { true, { headers = { ["Sec-WebSocket-Protocol"] = "x" } } }, { false, 200 }, { false, "403" },
      { false, 403, { ["X A"] = "1" } }, { false, 403, { ["X-A"] = "1\r" } }, { false, 403, nil, 5 } }) do
      errors_heard = {}
      local c = ask(start(function() return answer[1], answer[2], answer[3], answer[4] end))
      local status, headers, body = c:response()
      assert.same({ 500, "500 Internal Server Error\n", nil }, { status, body, headers["x-a"] })
      assert.equal(1, #errors_heard)
      server.stop_all()
    end
  end)

  it("names the header that cannot be sent", function()
    ask(start(function() return true, { headers = { ["X-Bad"] = "a\r\nb" } } end)):response()
    assert.matches("'X-Bad'", errors_heard[1], 1, true)
  end)

  it("may choose only what the client offered", function()
    assert.equal(500, (ask(start(function() return true, { protocol = "news" } end), { protocol = "chat" }):response()))
    assert.matches("'news' was not offered", errors_heard[1], 1, true)
  end)

  it("is not asked where the handshake fails anyway", function()
    local asked = 0
    local s = start(function()
      asked = asked + 1
      return true
    end)
    assert.equal(403, (ask(s, { protocol = "chat", headers = "Origin: http://evil.example\r\n" }):response()))
    assert.equal(400, (ask(s, { protocol = "other" }):response()))
    assert.equal(400, (ask(s, { protocol = "chat,,chat" }):response()))
    local c = client.connect(s)
    c:send(client.request("/", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n"))
    assert.equal(426, (c:response()))
    assert.equal(0, asked)
  end)

  it("is no part of plain HTTP", function()
    local s = start(function() error("asked") end, { on_http = function(ws) ws:respond(200) end })
    local c = client.connect(s)
    c:send(client.request("/"))
    assert.equal(200, (c:response()))
  end)
end)

describe('on_handshake that returns "later"', function()
  after_each(server.stop_all)

  local waiting, closed

  local function start(more)
    waiting = {}
    local handler, log = server.recorder(server.echo)
    closed = log.closed
    local options = { protocols = { chat = handler }, on_handshake = function(request)
      waiting[#waiting + 1] = request
      return "later"
    end }
    for name, value in pairs(more or {}) do options[name] = value end
    return server.start(options)
  end

  local function ask(s, leftover)
    local c, count = client.connect(s), #waiting
    c:send(client.upgrade({ protocol = "chat" }) .. (leftover or ""))
    s:pump(function() return #waiting > count end)
    return c
  end

  it("waits for request:accept", function()
    local s = start()
    local c = ask(s)
    s:settle()
    assert.is_false(c:poll())
    assert.is_true(waiting[1]:accept({ headers = { ["X-A"] = "1" } }))
    local status, headers = c:read_head()
    assert.same({ 101, "1", "chat" }, { status, headers["x-a"], headers["sec-websocket-protocol"] })
    c:text("hello")
    assert.same({ 1, "hello" }, { c:message() })
  end)

  it("waits for request:refuse", function()
    local s = start()
    local c = ask(s)
    assert.is_true(waiting[1]:refuse(429, { ["Retry-After"] = "5" }, "slow down"))
    local status, headers, body = c:response()
    assert.same({ 429, "5", "slow down" }, { status, headers["retry-after"], body })
    c = ask(s)
    assert.is_true(waiting[2]:refuse())
    assert.equal(403, (c:response()))
  end)

  it("keeps messages that came after the request", function()
    local s = start()
    local c = client.connect(s)
    c:send(client.upgrade({ protocol = "chat" }) .. c:frame(1, "early"))
    s:pump(function() return waiting[1] end)
    c:write(1, "second")
    s:settle()
    waiting[1]:accept()
    assert.equal(101, (c:read_head()))
    assert.same({ "early", "second" }, { select(2, c:message()), (select(2, c:message())) })
  end)

  it("takes an answer inside the hook, too; what the hook raises comes first", function()
    local answer
    local s = server.start({ default = server.echo, on_error = function() end, on_handshake = function(request)
      if answer == "raise" then request:accept() error("late") end
      if answer == "accept" then assert(request:accept()) else assert(request:refuse(410)) end
      return "later"
    end })
    for wanted, status in pairs({ accept = 101, refuse = 410, raise = 500 }) do
      answer = wanted
      local c = client.connect(s)
      c:send(client.upgrade())
      assert.same({ wanted, status }, { wanted, (c:read_head()) })
    end
  end)

  it("answers 503 after handshake_timeout, and hears no more", function()
    local s = start()
    s:fake_time()
    local c = ask(s)
    s:advance(9.9)
    assert.is_false(c:poll())
    s:advance(0.2)
    local status, headers = c:response()
    assert.same({ 503, "close", "1" }, { status, headers.connection, headers["retry-after"] })
    assert.same({ nil, "closed" }, { waiting[1]:accept(), (select(3, waiting[1]:accept())) })
  end)

  it("takes one answer", function()
    local s = start()
    ask(s)
    assert.is_true(waiting[1]:accept())
    for _, again in ipairs({ "accept", "refuse" }) do
      local done, message, code = waiting[1][again](waiting[1])
      assert.same({ nil, "string", "closed" }, { done, type(message), code })
    end
    assert.same({}, closed)
  end)

  it("forgets a client that has gone", function()
    local s = start()
    local c = ask(s)
    c:close()
    s:pump(function() return inside.connections(s.context) == 0 end)
    assert.same({ nil, "closed" }, { waiting[1]:accept(), (select(3, waiting[1]:refuse())) })
    assert.same({}, closed)
  end)

  it("has nothing to say once the context is destroyed", function()
    local s = start()
    ask(s)
    s.context:destroy()
    assert.same({ nil, "closed" }, { waiting[1]:accept(), (select(3, waiting[1]:accept())) })
  end)

  it("raises for an answer that cannot be given, and can still be answered", function()
    local s = start()
    local c = ask(s)
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
    assert.equal(101, (c:read_head()))
  end)

  it("counts among the half-open: the oldest makes room", function()
    local s = start({ max_half_open = 2 })
    local first = ask(s)
    ask(s)
    ask(s)
    assert.equal("closed", first:await_end())
    assert.is_nil((waiting[1]:accept()))
    assert.is_true(waiting[3]:accept())
  end)
end)
