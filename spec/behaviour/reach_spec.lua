--- Connecting to the addresses of a name: beside each other, and nothing of it left.
-- @module spec.behaviour.reach_spec
local black_hole = require("spec.support.black_hole")
local fd_flags = require("spec.support.fd_flags")
local inside = require("spec.support.inside")
local peer = require("spec.support.peer")
local ports = require("spec.support.ports")
local server = require("spec.support.server")

-- localhost is 127.0.0.1, then ::1: a server at the second, and at the first one that lets everybody wait.
local function hole_then_server(options)
  local s = server.start(options or {})
  local p, hole = black_hole.before(s, function() return peer.listen(s, "::1") end)
  if not p then pending("needs IPv6") end
  return s, p, hole
end

local function two_holes(options)
  local s = server.start(options or {})
  for _ = 1, 20 do
    local four = black_hole.listen(s, "127.0.0.1", 0)
    local six = black_hole.listen(s, "::1", four.port)
    if six then return s, four, six end
  end
  error("no port is free for both")
end

local function connect(s, port, options)
  return peer.watch(s.context:connect(("ws://localhost:%d/"):format(port), options))
end

describe("several addresses of a name", function()
  after_each(server.stop_all)

  it("are tried beside each other, the next one after a quarter of a second", function()
    local s, p = hole_then_server()
    s:fake_time()
    local before = fd_flags.count()
    local ws, log = connect(s, p.port)
    s:settle()
    assert.equal(before + 1, fd_flags.count())
    s:advance(0.24)
    assert.equal(before + 1, fd_flags.count())
    s:advance(0.02)
    assert.equal(before + 2, fd_flags.count())
    assert.equal("", (ws:get_peer_addresses()))
    p:accept()
    s:pump(function() return log.open == 1 end, "on_open")
    assert.equal("::1", (ws:get_peer_addresses()))
    -- Its socket, and that of the server here.
    assert.equal(before + 2, fd_flags.count())
    ws:write("hello")
    assert.same({ 1, "hello" }, { p:message() })
  end)

  it("are tried at once where the one before is refused", function()
    local s = server.start({})
    local p = peer.listen(s, "::1")
    if not p then pending("needs IPv6") end
    s:fake_time()
    local _, log = connect(s, p.port)
    p:accept()
    s:pump(function() return log.open == 1 end, "on_open")
  end)

  it("stay with the first where it answers in time", function()
    local s = server.start({})
    local p = peer.listen(s, "127.0.0.1")
    local before = fd_flags.count()
    local ws, log = connect(s, p.port)
    p:accept()
    s:pump(function() return log.open == 1 end, "on_open")
    assert.equal("127.0.0.1", (ws:get_peer_addresses()))
    assert.equal(before + 2, fd_flags.count())
  end)

  it("stay with the first where it answers before the second", function()
    local s, four = two_holes()
    local before = fd_flags.count()
    local ws, log = connect(s, four.port)
    s:pump(function() return fd_flags.count() == before + 2 end, "a second attempt")
    four:answer(log)
    s:pump(function() return log.open == 1 end, "on_open")
    assert.equal("127.0.0.1", (ws:get_peer_addresses()))
    assert.equal(before + 1 + #four.accepted, fd_flags.count())
  end)

  it("end with timeout, and no descriptor is left", function()
    local s, four = two_holes()
    s:fake_time()
    local before = fd_flags.count()
    local _, log = connect(s, four.port, { timeout = 3 })
    s:advance(0.3)
    assert.equal(before + 2, fd_flags.count())
    s:advance(2.6)
    assert.same({}, log.closed)
    s:advance(0.2)
    assert.same({ { 1006, ("no connection to localhost:%d in time"):format(four.port), false, "timeout" } }, log.closed)
    assert.equal(before, fd_flags.count())
    assert.equal(0, inside.connections(s.context))
  end)

  it("are given up by close, and with the context", function()
    for _, way in ipairs({ "close", "destroy" }) do
      local s, four = two_holes()
      s:fake_time()
      local before = fd_flags.count()
      local ws, log = connect(s, four.port)
      s:advance(0.3)
      assert.equal(before + 2, fd_flags.count())
      if way == "close" then ws:close() else s.context:destroy() end
      assert.equal(1, #log.closed)
      if way == "close" then assert.equal(before, fd_flags.count()) end
      server.stop_all()
    end
  end)
end)

-- A loop of the application's: what it was told of each descriptor. `before(call)` may do what a callback may.
local function outside_loop(before)
  local loop = { fds = {}, modes = {}, calls = 0 }
  local function note(kind, list, value)
    return function(fd)
      loop.calls = loop.calls + 1
      local was = list[fd] or false
      assert(was ~= value, kind .. " twice: " .. fd)
      -- Raises where it is closed already.
      fd_flags.of(fd)
      list[fd] = value or nil
      if before then before(loop.calls) end
    end
  end
  loop.options = {
    on_add_fd = note("add", loop.fds, true), on_del_fd = note("del", loop.fds, false),
    on_set_mode_fd = note("set", loop.modes, true), on_clear_mode_fd = note("clear", loop.modes, false),
  }
  return loop
end

local function serve_outside(s, loop)
  s.turn = function(self)
    self.turn_count = self.turn_count + 1
    local fds = {}
    for fd in pairs(loop.fds) do fds[#fds + 1] = fd end
    for _, fd in ipairs(fds) do
      if not inside.is_destroyed(self.context) then self.context:service_fd(fd) end
    end
  end
end

describe("several addresses under a loop of the application's", function()
  after_each(server.stop_all)

  local function count(list)
    local found = 0
    for _ in pairs(list) do found = found + 1 end
    return found
  end

  it("are announced, each with its descriptor, and taken back", function()
    local loop = outside_loop()
    local s, four = two_holes(loop.options)
    serve_outside(s, loop)
    s:fake_time()
    local before = count(loop.fds)
    local ws = connect(s, four.port)
    assert.same({ 1, 1 }, { count(loop.fds) - before, count(loop.modes) })
    s:advance(0.3)
    assert.same({ 2, 2 }, { count(loop.fds) - before, count(loop.modes) })
    ws:close(0)
    s:turns(1)
    assert.same({ before, 0 }, { count(loop.fds), count(loop.modes) })
  end)

  it("leave the one that connects", function()
    local loop = outside_loop()
    local s, p = hole_then_server(loop.options)
    serve_outside(s, loop)
    s:fake_time()
    local before = count(loop.fds)
    local ws, log = connect(s, p.port)
    local first = ws:get_socket_fd()
    s:advance(0.3)
    p:accept()
    s:pump(function() return log.open == 1 end, "on_open")
    assert.same({ 1, 0 }, { count(loop.fds) - before, count(loop.modes) })
    assert.is_true(loop.fds[ws:get_socket_fd()])
    assert.are_not.equal(first, ws:get_socket_fd())
  end)

  it("may be given up by any of its callbacks", function()
    local function run(at, way)
      local ws, context
      local loop = outside_loop(function(call)
        if call == at and ws and way == "close" then ws:close(0) end
        if call == at and way == "destroy" and context then context:destroy() end
      end)
      local s, p = hole_then_server(loop.options)
      context = s.context
      serve_outside(s, loop)
      s:fake_time()
      local before = fd_flags.count()
      local log
      ws, log = connect(s, p.port)
      -- Nobody has set on_closed by then.
      local is_heard = not inside.is_destroyed(context)
      if is_heard then s:advance(0.3) end
      local is_over = inside.is_destroyed(context)
      if not is_over then
        s:pump(function()
          p:poll()
          is_over = inside.is_destroyed(context) or #log.closed > 0
          return is_over or p.buffer:find("\r\n\r\n", 1, true)
        end, "an end, or the request")
      end
      if not inside.is_destroyed(context) then
        if not is_over then ws:close(0) end
        s:turns(2)
      end
      assert.equal(is_heard and 1 or 0, #log.closed)
      if p.connection then p.connection:close() end
      if way == "close" then assert.equal(before, fd_flags.count()) end
      if inside.is_destroyed(context) then assert.same({ {}, {} }, { loop.fds, loop.modes }) end
      local calls = loop.calls
      server.stop_all()
      return calls
    end
    for _, way in ipairs({ "close", "destroy" }) do
      local calls = run(0, way)
      assert.is_true(calls > 10)
      for at = 1, calls do run(at, way) end
    end
  end)
end)

describe("connect, which fails", function()
  after_each(server.stop_all)

  it("says so with a message and a code: refused, black hole, silent server, unknown name", function()
    local s = server.start({})
    local refused, silent = { port = ports.refusing() }, peer.listen(s)
    local hole = black_hole.listen(s, "127.0.0.1", 0)
    local before = fd_flags.count()
    local function fails(url, message, word)
      local started = os.time()
      local _, log = peer.watch(s.context:connect(url, { timeout = 0.3 }))
      s:pump(function()
        silent:poll()
        return log.closed[1]
      end, "on_closed")
      assert.is_true(os.time() - started < 10)
      assert.same({ 1006, false, word }, { log.closed[1][1], log.closed[1][3], log.closed[1][4] })
      assert.matches(message, log.closed[1][2])
    end
    fails(("ws://127.0.0.1:%d/"):format(refused.port), "^cannot connect to 127%.0%.0%.1:%d+: connection refused$",
      "refused")
    fails(("ws://127.0.0.1:%d/"):format(hole.port), "^no connection to 127%.0%.0%.1:%d+ in time$", "timeout")
    fails(("ws://127.0.0.1:%d/"):format(silent.port), "^no connection to 127%.0%.0%.1:%d+ in time$", "timeout")
    silent.connection:close()
    assert.equal(before, fd_flags.count())
    local _, log = peer.watch(s.context:connect("ws://nothing.invalid/", { timeout = 5 }))
    s:pump(function() return log.closed[1] end, "on_closed")
    assert.matches("^cannot resolve nothing%.invalid: %a", log.closed[1][2])
    assert.equal("host", log.closed[1][4])
  end)
end)
