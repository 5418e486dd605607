local engine = require("websockets.engine.pure")
local inside = require("spec.support.inside")
local peer = require("spec.support.peer")
local server = require("spec.support.server")
local socket = require("socket")
local websockets = require("websockets")

local POLLIN, POLLOUT = 1, 4

-- An open connection to a raw server.
local function open(options, context_options)
  local s = server.start(context_options or { protocols = {} })
  local p = peer.listen(s)
  local ws, log = p:connect(options)
  p:accept()
  s:pump(function() return log.open == 1 end, "on_open")
  return s, p, ws, log
end

local function closed(s, log)
  s:pump(function() return log.closed[1] end, "on_closed")
  return log.closed[1]
end

describe("a client's frames", function()
  after_each(server.stop_all)

  it("are masked, each with another key", function()
    local _, p, ws = open()
    ws:write("same")
    ws:write("same")
    p.server:pump(function()
      p:poll()
      return #p.buffer == 20
    end)
    local one, other = p.buffer:sub(1, 10), p.buffer:sub(11)
    assert.equal("\129\132", one:sub(1, 2))
    assert.equal("same", engine.mask(one:sub(7), one:sub(3, 6)))
    assert.are_not.equal(one:sub(3, 6), other:sub(3, 6))
  end)

  it("answer pings", function()
    local _, p = open()
    p:write(9, "are you there")
    assert.same({ 10, "are you there" }, { p:message() })
  end)

  it("are not sent where no random bytes can be had for their mask", function()
    local s, _, ws, log = open()
    inside.fail_encoding(ws)
    assert.same({ -1, "entropy" }, { ws:write("x") })
    assert.same({ -1, "entropy" }, { ws:ping() })
    s:settle()
    assert.equal(0, #log.closed)
    s.context:destroy()
  end)

  it("may be fragments", function()
    local _, p, ws = open()
    ws:write("one ", 0x40)
    ws:write("two", 2)
    assert.same({ 1, "one two" }, { p:message() })
  end)
end)

describe("what a server may not send to a client", function()
  after_each(server.stop_all)

  for name, case in pairs({
    ["a masked frame"] = { "\129\129\1\2\3\4A", 1002, "protocol" },
    ["a reserved bit"] = { "\193\1A", 1002, "protocol" },
    ["text that is not UTF-8"] = { "\129\1\255", 1007, "utf8" },
    ["a message over max_message_bytes"] = { "\130\126\4\1", 1009, "too_big" },
  }) do
    it(name .. ": " .. case[2], function()
      local s, p, _, log = open({ max_message_bytes = 1024 })
      p:send(case[1])
      local opcode, payload = p:message()
      assert.equal(8, opcode)
      assert.equal(string.char(math.floor(case[2] / 256), case[2] % 256), payload)
      p:close()
      local ended = closed(s, log)
      assert.same({ case[2], false, case[3] }, { ended[1], ended[3], ended[4] })
    end)
  end

  it("by default a message over 16 MiB, whatever the context takes: 1009", function()
    local s, p, _, log = open(nil, { max_message_bytes = 10 })
    p:send("\130\127\0\0\0\0\1\0\0\0" .. "some")
    s:turns(3)
    assert.same({}, log.closed)
    p:close()
    closed(s, log)
    s, p, _, log = open()
    p:send("\130\127\0\0\0\0\1\0\0\1")
    assert.same({ 8, "\3\241" }, { p:message() })
    p:close()
    assert.equal(1009, closed(s, log)[1])
  end)
end)

describe("the end of a client's connection", function()
  after_each(server.stop_all)

  it("is the server's to begin: after both close frames the client waits", function()
    local s, p, ws, log = open()
    s:fake_time()
    ws:close(1000)
    assert.same({ 8, "\3\232" }, { p:message() })
    p:write(8, "\3\232")
    s:settle()
    p:poll()
    assert.is_false(p.ended)
    assert.same({}, log.closed)
    p:close()
    assert.same({ 1000, "", true, "closed" }, closed(s, log))
  end)

  it("comes where a callback of an outside loop ends the connection or the context amid connecting", function()
    -- localhost has two addresses: the second is tried over another descriptor.
    for _, name in ipairs({ "on_add_fd", "on_del_fd", "on_set_mode_fd", "on_clear_mode_fd" }) do
      for _, ending in ipairs({ "close", "close at once", "destroy", "raise" }) do
        for at = 1, 3 do
          local calls, context, ws, log, errs = 0, nil, nil, { closed = {} }, 0
          local function act()
            if not context then return end
            calls = calls + 1
            if calls ~= at then return end
            if ending == "destroy" then return context:destroy() end
            if ending == "raise" then error("amid connecting", 0) end
            if ws then ws:close(ending == "close at once" and 0 or nil) end
          end
          local options = { on_error = function() errs = errs + 1 end, [name] = act }
          options.on_add_fd = options.on_add_fd or function() end
          context = websockets.context(options)
          local before = inside.connections(context)
          ws = context:connect("ws://localhost:1/")
          ws:on_closed(function(...) log.closed[#log.closed + 1] = { ... } end)
          local deadline = socket.gettime() + 10
          while not inside.is_destroyed(context) and inside.connections(context) > before do
            context:service(10)
            assert.is_true(socket.gettime() < deadline, name .. ", " .. ending)
          end
          assert.equal(-1, ws:get_socket_fd())
          assert.is_true(errs <= 1 and #log.closed <= 1)
          assert.equal(0, inside.leftovers(context), name .. ", " .. ending .. at)
          context:destroy()
        end
      end
    end
  end)

  it("comes after close_timeout where the server leaves the connection open", function()
    local s, p, _, log = open({ close_timeout = 2 })
    s:fake_time()
    p:write(8, "\3\233bye")
    assert.same({ 8, "\3\233" }, { p:message() })
    s:advance(1.9)
    assert.same({}, log.closed)
    s:advance(0.2)
    assert.same({ { 1001, "bye", true, "closed" } }, log.closed)
    assert.equal("closed", p:await_end())
  end)

  it("comes after close_timeout where the server does not answer the close frame", function()
    local s, p, ws, log = open()
    s:fake_time()
    ws:close()
    p:message()
    s:advance(5.1)
    assert.same({ { 1006, "", false, "timeout" } }, log.closed)
  end)

  it("is 1006 when the server vanishes", function()
    local s, p, _, log = open()
    p:close()
    local ended = closed(s, log)
    assert.same({ 1006, false }, { ended[1], ended[3] })
  end)

  it("comes with a ping that the server does not answer", function()
    local s, p, _, log = open({ ping_interval = 4, ping_timeout = 3 })
    s:fake_time()
    s:advance(4.1)
    assert.same({ 9, "" }, { p:message() })
    s:advance(3.1)
    assert.same({ { 1006, "", false, "timeout" } }, log.closed)
  end)

  it("is 1011 when on_open raises", function()
    local s = server.start({ protocols = {}, on_error = function() end })
    local p = peer.listen(s)
    local ws, log = p:connect()
    ws:on_open(function() error("no") end)
    p:accept()
    assert.same({ 8, "\3\243" }, { p:message() })
    p:close()
    assert.same({ 1011, "", false, "error" }, closed(s, log))
  end)

  it("is 1001 when the context is destroyed", function()
    local s, p, _, log = open()
    s.context:destroy()
    assert.same({ 8, "\3\233" }, { (function()
      s.turn = function() end
      return p:message()
    end)() })
    assert.same({ { 1001, "", false, "destroyed" } }, log.closed)
  end)
end)

describe("a broadcast", function()
  after_each(server.stop_all)

  it("goes to those that connected to us, not to those we connected to", function()
    local handler, seen = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    local ws, log = peer.watch(s.context:connect(("ws://127.0.0.1:%d/"):format(s.port), { protocols = { "a" } }))
    s:pump(function() return log.open == 1 end)
    assert.same({ -1, "type" }, { ws:broadcast("x") })
    s.context:broadcast("a", "y")
    s:pump(function() return log.messages[1] end)
    s:settle()
    assert.same({ { "y", 0 } }, log.messages)
    assert.same({}, seen.messages)
  end)
end)

describe("under a loop of the application's", function()
  after_each(server.stop_all)

  local function calls_of(name, calls)
    return function(fd, events) calls[#calls + 1] = { name, fd, events } end
  end

  it("on_set_mode_fd asks for writing until the connection stands", function()
    local calls = {}
    local s = server.start({
      protocols = {}, on_add_fd = calls_of("add", calls), on_del_fd = calls_of("del", calls),
      on_set_mode_fd = calls_of("set", calls), on_clear_mode_fd = calls_of("clear", calls),
    })
    local p = peer.listen(s)
    local ws = p:connect()
    local fd = ws:get_socket_fd()
    -- With the accelerator a descriptor for the whole context is announced, too.
    local before = server.is_native and 1 or 0
    assert.same({ { "add", fd, POLLIN }, { "set", fd, POLLOUT } }, { calls[before + 2], calls[before + 3] })
    s.turn = function() s.context:service_fd(fd, POLLOUT) end
    p:read_request()
    assert.same({ "clear", fd, POLLOUT }, calls[before + 4])
  end)

  it("which only watches for reading, every entry looks after it, and timeout says when", function()
    local fds = {}
    local s = server.start({
      protocols = {}, on_add_fd = function(fd) fds[#fds + 1] = fd end, on_del_fd = function() end,
    })
    local p = peer.listen(s)
    local ws, log = p:connect()
    if server.is_native then
      -- The descriptor of the whole context, which comes after the listener's, tells when.
      s.turn = function() s.context:service_fd(fds[2]) end
    else
      assert.is_true(s.context:timeout() <= 0.02)
      s:fake_time()
      s.turn = function()
        s.fake_now = s.fake_now + 0.01
        s.context:service_fd(-1)
      end
    end
    local _, headers = p:read_request()
    local fd = ws:get_socket_fd()
    s.turn = function() s.context:service_fd(fd) end
    p:send(peer.answer(headers))
    s:pump(function() return log.open == 1 end)
  end)
end)
