--- Callbacks that raise: where the error goes, and what goes on.
-- @module spec.behaviour.failures_spec
local server = require("spec.support.server")
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local stderr = require("spec.support.stderr")

describe("a callback that raises", function()
  after_each(server.stop_all)

  it("on_receive: the batch goes on, the first error leaves service unchanged, later ones are logged", function()
    local lines, got, oops = {}, {}, setmetatable({}, { __tostring = function() return "oops" end })
    local s = server.start({
      protocols = { a = function(ws)
        ws:on_receive(function(_, data)
          got[#got + 1] = data
          if data == "1" then error(oops) end
          if data == "2" then error("second", 0) end
        end)
      end },
      log = function(level, message) lines[#lines + 1] = { level, message } end,
    })
    local c, d = client.open(s, "a"), client.open(s, "a")
    c.connection:send(c:frame(1, "1") .. c:frame(1, "2") .. c:frame(1, "3"))
    d.connection:send(d:frame(1, "other"))
    assert.is_true(rawequal(oops, s:pump_failure()))
    s:pump(function() return #got == 4 end)
    table.sort(got)
    assert.same({ "1", "2", "3", "other" }, got)
    assert.same({ { "error", "second" } }, lines)
    c:text("4")
    s:pump(function() return #got == 5 end)
  end)

  it("nothing of it reaches the peer, and the connection stays", function()
    local s = server.start({ protocols = { a = function(ws)
      ws:on_receive(function(_, data)
        ws:write("got " .. data)
        error("secret")
      end)
    end } })
    local c = client.open(s, "a")
    c.connection:send(c:frame(1, "x"))
    assert.matches("secret", s:pump_failure())
    assert.same({ 1, "got x" }, { c:message() })
    c.connection:send(c:frame(1, "y"))
    assert.matches("secret", s:pump_failure())
    assert.same({ 1, "got y" }, { c:message() })
  end)

  it("nil as an error leaves service too", function()
    local s = server.start({ on_http = function(ws)
      ws:respond(200)
      error(nil)
    end })
    local c = client.connect(s)
    c.connection:send(client.request("/"))
    local failed
    for _ = 1, 10 do
      failed = failed or not pcall(s.context.service, s.context, 100)
      if failed then break end
    end
    assert.is_true(failed)
  end)

  it("on_error hears every error with its ws, and service does not raise", function()
    local heard, log = {}, {}
    local s = server.start({
      protocols = { a = function(ws)
        log.ws = ws
        ws:on_receive(function(_, data) error(data, 0) end)
      end },
      on_error = function(...) heard[#heard + 1] = { ... } end,
    })
    local c = client.open(s, "a")
    c:send(c:frame(1, "1") .. c:frame(1, "2"))
    s:pump(function() return #heard == 2 end)
    assert.same({ { "1", log.ws }, { "2", log.ws } }, heard)
  end)

  it("on_error itself: its own error leaves service", function()
    local s = server.start({
      protocols = { a = function(ws) ws:on_receive(function() error("one", 0) end) end },
      on_error = function() error("two", 0) end,
    })
    local c = client.open(s, "a")
    c.connection:send(c:frame(1, "x"))
    assert.equal("two", s:pump_failure())
  end)

  it("an error whose tostring raises, and a log that raises, harm nothing", function()
    local got = 0
    local s = server.start({
      protocols = { a = function(ws)
        ws:on_receive(function()
          got = got + 1
          error(setmetatable({}, { __tostring = function() error("no") end }))
        end)
      end },
      log = function() error("log") end,
    })
    local c = client.open(s, "a")
    c.connection:send(c:frame(1, "1") .. c:frame(1, "2") .. c:frame(1, "3"))
    assert.equal("table", type(s:pump_failure()))
    assert.equal(3, got)
  end)

  it("the connect callback: close 1011 without text, on_closed with why 'error'", function()
    local closed
    local s = server.start({ protocols = { a = function(ws)
      ws:on_closed(function(_, ...) closed = { ... } end)
      error("broken", 0)
    end } })
    local c = client.connect(s)
    c.connection:send(client.upgrade({ protocol = "a", leftover = c:frame(1, "x") }))
    assert.equal("broken", s:pump_failure())
    assert.equal(101, (c:read_head()))
    assert.same({ 1011, "" }, { c:close_code() })
    c:close()
    s:pump(function() return closed end)
    assert.same({ 1011, "", false, "error" }, closed)
  end)

  it("on_closed: the others are told, every descriptor is closed", function()
    local told = 0
    local s = server.start({ protocols = { a = function(ws)
      ws:on_closed(function()
        told = told + 1
        error("closing " .. told, 0)
      end)
    end } })
    client.open(s, "a")
    client.open(s, "a")
    assert.same({ "websockets: closing 2" }, stderr.of(function()
      assert.has_error(function() s.context:destroy() end, "closing 1")
    end))
    assert.equal(2, told)
    assert.error_matches(function() s.context:service(0) end, "destroyed")
  end)

  it("on_http: 500 without text of it, or a cut answer where one has begun", function()
    local s = server.start({ on_http = function(ws, uri)
      if uri == "/late" then ws:respond(200, nil, "fine") end
      error("secret", 0)
    end })
    local c = client.connect(s)
    c.connection:send(client.request("/"))
    assert.equal("secret", s:pump_failure())
    local status, _, body = c:response()
    assert.equal(500, status)
    assert.is_nil(body:find("secret", 1, true))
    local d = client.connect(s)
    d.connection:send(client.request("/late"))
    assert.equal("secret", s:pump_failure())
    assert.equal("fine", select(3, d:response()))
  end)

  it("on_add_fd and on_del_fd: service raises, the connection is served and its descriptor closed", function()
    local s, raises = nil, true
    s = server.start({
      protocols = { echo = server.echo }, log = function() end,
      on_add_fd = function() if s then error("add", 0) end end,
      on_del_fd = function() if raises then error("del", 0) end end,
    })
    local c = client.connect(s)
    assert.equal("add", s:pump_failure())
    c:send(client.upgrade({ protocol = "echo" }))
    assert.equal(101, (c:read_head()))
    c:text("x")
    assert.equal("x", select(2, c:message()))
    c:close()
    assert.equal("del", s:pump_failure())
    assert.equal(0, inside.connections(s.context))
    raises = false
  end)

  it("on_add_fd for the listener: creation raises it and listens no more", function()
    local socket = require("socket")
    local listening = socket.bind("127.0.0.1", 0)
    local port = select(2, listening:getsockname())
    listening:close()
    assert.has_error(function()
      server.start({
        port = tonumber(port), log = function() end, on_add_fd = function() error("add", 0) end,
      })
    end, "add")
    local connection = socket.tcp4()
    assert.is_nil((connection:connect("127.0.0.1", port)))
    connection:close()
  end)

  it("on_pong and on_drain: service raises, the connection goes on", function()
    local ws
    local s = server.start({ protocols = { a = function(it)
      ws = it
      ws:on_pong(function() error("pong", 0) end)
      ws:on_drain(function() error("drain", 0) end)
      ws:on_receive(function(_, data) ws:write(data) end)
    end } })
    local c = client.open(s, "a")
    c.connection:send(c:frame(10, "x") .. c:frame(1, "after"))
    assert.equal("pong", s:pump_failure())
    assert.equal("after", select(2, c:message()))
    ws:write(("x"):rep(12 * 1024 * 1024), 1)
    local failure
    while not failure do
      c:try_message()
      failure = s:failure()
    end
    assert.equal("drain", failure)
    c:message()
    c:text("again")
    assert.equal("again", select(2, c:message()))
  end)

  it("on_broadcast: the others get theirs, the error leaves broadcast or the turn", function()
    local got = {}
    local s = server.start({ protocols = { a = function(ws)
      local number = #got + 1
      got[number] = 0
      ws:on_broadcast(function(to, data)
        got[number] = got[number] + 1
        to:write(data)
        error("from " .. number, 0)
      end)
      ws:on_receive(function(_, data) ws:broadcast(data) end)
    end } })
    local c, d = client.open(s, "a"), client.open(s, "a")
    assert.same({ "websockets: from 2" }, stderr.of(function()
      assert.has_error(function() s.context:broadcast("a", "x") end, "from 1")
    end))
    assert.same({ 1, 1 }, got)
    assert.equal("x", select(2, c:message()))
    assert.equal("x", select(2, d:message()))
    c.connection:send(c:frame(1, "y"))
    assert.same({ "websockets: from 2" }, stderr.of(function() assert.equal("from 1", s:pump_failure()) end))
    assert.same({ 2, 2 }, got)
    assert.equal("y", select(2, d:message()))
  end)
end)
