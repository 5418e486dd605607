--- The calls of a blocking client at their edges: mistakes, callbacks, errors, the end.
-- @module spec.behaviour.blocking_calls_spec
local fd_flags = require("spec.support.fd_flags")
local inside = require("spec.support.inside")
local interrupts = require("spec.support.interrupts")
local scripted = require("spec.support.scripted")
local socket = require("socket")
local websockets = require("websockets")

local STRIDE, CONNECT_STRIDE = 7, 23
local ECHO = "ws:on_receive(function(_, data, kind) ws:write(data, kind) end)"

local function connect(peer, options)
  return assert(websockets.connect(peer.url, options))
end

describe("a blocking client's calls", function()
  after_each(scripted.stop_all)

  it("raise at the caller's line", function()
    local ws = connect(scripted.serve(ECHO))
    local line = "^spec/behaviour/blocking_calls_spec%.lua:%d+: "
    local URL = ws and "ws://127.0.0.1:1/"
    for expected, call in pairs({
      ["bad argument #1 to 'connect' (URL that begins with ws://, "] = function() return (websockets.connect("x")) end,
      ["bad argument #2 to 'connect' (table expected, got 5)"] = function() return (websockets.connect(URL, 5)) end,
      ["unknown option 'prot'"] = function() return (websockets.connect(URL, { prot = 1 })) end,
      ["bad option 'log' (function expected, got 1)"] = function() return (websockets.connect(URL, { log = 1 })) end,
      ["bad argument #1 to 'receive' (number of seconds from 0 expected, got -1)"] = function() ws:receive(-1) end,
      ["bad argument #1 to 'receive' (number of seconds from 0 expected, got \"1\")"] = function() ws:receive("1") end,
      ["websocket:receive must be called with a colon, on a websocket (got 1)"] = function() ws.receive(1) end,
      ["websocket:messages must be called with a colon"] = function() ws.messages() end,
      ["bad argument #1 to 'write' (string or number expected, got table)"] = function() ws:write({}) end,
      ["bad argument #2 to 'write' (WRITE_ number expected, got \"text\")"] = function() ws:write("x", "text") end,
      ["bad argument #1 to 'ping' (at most 125 bytes expected, got 126 bytes)"] = function()
        ws:ping(("x"):rep(126))
      end,
      ["bad argument #1 to 'close' (close code "] = function() ws:close(1005) end,
      ["bad argument #2 to 'close' (close reason "] = function() ws:close(1000, "\255") end,
      ["websocket:on_receive is not for a connection of websockets.connect"] = function() ws:on_receive(print) end,
    }) do
      local is_good, err = pcall(call)
      assert.is_false(is_good)
      assert.truthy(err:find(line), err)
      assert.truthy(err:gsub(line, ""):find(expected, 1, true) == 1, err)
    end
    local is_good, err = pcall(ws.receive, ws, 0 / 0)
    assert.is_false(is_good)
    assert.truthy(err:find("number of seconds from 0", 1, true))
    ws:write("still open")
    assert.equal("still open", (ws:receive(10)))
  end)

  it("ping is answered while a later call waits", function()
    local ws = connect(scripted.serve(ECHO))
    local pongs = {}
    ws:on_pong(function(_, data) pongs[#pongs + 1] = data end)
    assert.equal(0, ws:ping("one"))
    ws:write("x")
    assert.equal("x", (ws:receive(10)))
    assert.same({ "one" }, pongs)
  end)

  it("close waits for the closing handshake, at most close_timeout for a frame and the end each", function()
    for script, case in pairs({
      ["server:message() server:write(8, '\3\232') server:close()"] = { 60, { true, 1000, "" } },
      -- As long as the server may need for its frame: this waits once more for the end.
      ["server:message() server:write(1, 'lost') server:write(8, '\3\232ok') server:message()"] =
        { 2, { true, 1000, "ok" } },
      ["server:drain()"] = { 0.3, { nil, "timeout", 1006, "" } },
      ["server:message() server:close()"] = { 60, { nil, "closed", 1006, "" } },
    }) do
      local expected = case[2]
      local ws = connect(scripted.start("server:open() " .. script), { close_timeout = case[1] })
      local begin = socket.gettime()
      assert.same(expected, { ws:close(1000, "enough") })
      assert.is_true(socket.gettime() - begin < 15)
      -- Again: what happened.
      assert.same(expected, { ws:close() })
      assert.same({ nil, "closed", expected[2] == 1000 and 1000 or 1006, expected[1] and expected[3] or "" },
        { ws:receive() })
    end
  end)

  it("close at once sends no frame", function()
    local peer = scripted.start("server:open() server.say(server:message())")
    local ws = connect(peer)
    assert.same({ nil, "closed", 1006, "" }, { ws:close(0) })
    assert.equal("nil closed", peer:said())
  end)

  it("give the messages that were here before the end", function()
    local peer = scripted.start([[server:open() for i = 1, 5 do server:write(1, tostring(i)) end
      server:await_signal() server:message() server:write(8, "\3\232") server:close()]])
    local ws = connect(peer)
    assert.equal("1", (ws:receive(10)))
    local pending = ws:receive(10)
    peer:go_on()
    assert.equal("2", pending)
    ws:close(1000)
    local seen = 2
    for message in ws:messages() do
      seen = seen + 1
      assert.equal(tostring(seen), message)
    end
    assert.same({ nil, "closed", 1000, "" }, { ws:receive() })
  end)
end)

describe("a blocking client that has other things to do", function()
  after_each(scripted.stop_all)

  -- A program that calls nothing for so many seconds, by the clock of the client.
  local function idle(ws, seconds)
    inside.set_clock(ws.context, function(clock) return function() return clock() + seconds end end)
  end

  for name, call in pairs({
    write = function(ws) return ws:write("x") end, ping = function(ws) return ws:ping() end,
    receive = function(ws) return ws:receive(0) == nil and 0 end,
  }) do
    it("reads a pong that has come before it takes it as missing, in " .. name, function()
      local peer = scripted.start([[server:open() server:message() server:write(10, "")
        server.say("answered") server:drain()]])
      local ws = connect(peer, { ping_interval = 10, ping_timeout = 10 })
      idle(ws, 11)
      assert.same({ nil, "timeout" }, { ws:receive(0) })
      peer:said()
      idle(ws, 11)
      assert.equal(0, call(ws))
      assert.same({ nil, "timeout" }, { ws:receive(0) })
      -- One that does not come is missed.
      idle(ws, 11)
      ws:receive(0)
      idle(ws, 11)
      assert.same({ nil, "closed", 1006, "" }, { ws:receive(0) })
    end)
  end

  it("answers a ping though it only writes, or receives what is here", function()
    for _, call in ipairs({ function(ws) ws:write("x") end, function(ws) ws:receive(10) end }) do
      local peer = scripted.start([[
        server:open(server.frame(1, "a") .. server.frame(1, "b") .. server.frame(1, "c"))
        server:await_signal()
        server:write(9, "here?")
        server.say("sent")
        local opcode, payload
        repeat opcode, payload = server:message() until opcode == 10 or not opcode
        server.say(payload)
        server:drain()]])
      local ws = connect(peer, { ping_interval = false })
      ws:receive(10)
      peer:go_on()
      assert.equal("sent", peer:said())
      idle(ws, 2)
      call(ws)
      assert.equal("here?", peer:said())
      ws:close(0)
    end
  end)

  it("may wait in a coroutine", function()
    local ws = connect(scripted.serve(ECHO))
    local thread = coroutine.create(function()
      ws:write("x")
      return (ws:receive(10))
    end)
    assert.same({ true, "x" }, { coroutine.resume(thread) })
    assert.equal("dead", coroutine.status(thread))
  end)
end)

describe("inside a callback of a blocking client", function()
  after_each(scripted.stop_all)

  it("receive raises, write queues and close begins", function()
    local peer = scripted.start([[server:open()
      server:message() server:write(10, "")
      local _, text = server:message()
      local opcode, payload = server:message()
      server.say(text, opcode, #payload)
      server:write(8, payload) server:close()]])
    local ws = connect(peer)
    local seen, ended = {}, nil
    ws:on_pong(function()
      seen[1] = select(2, pcall(function() ws:receive() end))
      seen[2] = select(2, pcall(function() for _ in ws:messages() do error("no") end end))
      seen[3] = ws:write("queued")
      seen[4] = { ws:close(1000) }
    end)
    ws:on_closed(function(_, ...) ended = { ... } end)
    ws:ping()
    assert.same({ nil, "closed", 1000, "" }, { ws:receive(10) })
    assert.matches("^spec.*: receive may not be called inside a callback$", seen[1])
    assert.matches("^spec.*: receive may not be called inside a callback$", seen[2])
    assert.same({ 0, { nil, "closing" } }, { seen[3], seen[4] })
    assert.equal("queued 8 2", peer:said())
    assert.same({ 1000, "", true, "closed" }, ended)
  end)

  it("an error comes out of the call, which can be repeated", function()
    local ws = connect(scripted.serve(ECHO))
    ws:on_pong(function() error("of on_pong", 0) end)
    ws:write("kept")
    ws:ping()
    local results
    repeat
      results = { pcall(ws.receive, ws, 10) }
      if results[1] then assert.equal("kept", results[2]) end
    until not results[1]
    assert.same({ false, "of on_pong" }, results)
    ws:write("after")
    repeat results = { ws:receive(10) } until results[1] ~= "kept"
    assert.equal("after", results[1])
  end)
end)

describe("a blocking client", function()
  after_each(scripted.stop_all)

  it("can be used after an error at any step of receive, as by Ctrl-C", function()
    local peer = scripted.serve(ECHO)
    local ws, lost = connect(peer), 0
    local function attempt(steps)
      interrupts.arm(steps, attempt)
      local message = ws:receive(10)
      return message
    end
    local count = interrupts.sweep(STRIDE, function(steps)
      ws:write("first " .. steps)
      pcall(attempt, steps)
      debug.sethook()
      -- What was being taken may be lost, or the connection amid the work on it.
      if ws:write("second " .. steps) ~= 0 then
        assert.same({ nil, "error", 1006, "" }, { ws:close() })
        assert.equal(-1, ws:get_socket_fd())
        ws, lost = connect(peer), lost + 1
        return
      end
      local message = ws:receive(10)
      if message == "first " .. steps then message = ws:receive(10) end
      assert.equal("second " .. steps, message)
    end)
    assert.is_true(count > 10 and lost < count, ("%d of %d ended"):format(lost, count))
  end)

  it("leaves nothing behind where connecting is interrupted at any step", function()
    if not fd_flags.are_shown() then return pending("needs /proc/self/status") end
    local peer = scripted.serve(ECHO)
    local function attempt(steps)
      interrupts.arm(steps, attempt)
      local ws = connect(peer, { timeout = 10 })
      return ws
    end
    connect(peer):close()
    local before = fd_flags.count()
    local count = interrupts.sweep(CONNECT_STRIDE, function(steps)
      local is_made, ws = pcall(attempt, steps)
      debug.sethook()
      if is_made then ws:close(0) end
    end)
    assert.is_true(count > 10, count .. " interrupts")
    assert.equal(before, fd_flags.count())
    local ws = connect(peer)
    ws:write("after")
    assert.equal("after", (ws:receive(10)))
  end)

  it("gives back its descriptors when it is dropped, and when it has ended", function()
    if not fd_flags.are_shown() then return pending("needs /proc/self/status") end
    local peer = scripted.serve(ECHO .. "ws:on_closed(function(_, code) say(code) end)")
    local function use(is_closed)
      local ws = connect(peer)
      ws:write("x")
      ws:receive(10)
      if is_closed then ws:close(1000) end
    end
    use(true)
    local before = fd_flags.count()
    local kept = connect(peer)
    kept:close(1000)
    assert.equal(before, fd_flags.count())
    for _ = 1, 5 do use(false) end
    assert.equal(before, fd_flags.count())
    for _, code in ipairs({ 1000, 1000, 1006, 1006, 1006, 1006, 1006 }) do assert.equal(code, tonumber(peer:said())) end
  end)
end)
