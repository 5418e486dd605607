--- Server and client of the API of 2.x under copas.
-- @module spec.behaviour.two_x_copas_spec
local client = require("spec.support.client")
local peer = require("spec.support.peer")
local ports = require("spec.support.ports")
local socket = require("socket")
local two_x = require("spec.support.two_x")
local websocket = require("websocket")

local host

local function test(title, fn)
  it(title, function()
    local why
    host, why = two_x.copas()
    if not host then return pending(why) end
    fn()
  end)
end

-- The port is learnt as programs do, by standing in for copas.addserver.
local function listen(options)
  options.port, options.interface = options.port or 0, "127.0.0.1"
  local real = host.copas.addserver
  host.copas.addserver = function(listener, ...)
    host.port = math.floor(tonumber((select(2, listener:getsockname()))))
    return real(listener, ...)
  end
  local is_good, server = pcall(websocket.server.copas.listen, options)
  host.copas.addserver = real
  if not is_good then error(server, 0) end
  return host:keep(server)
end

local function echo(ws)
  while true do
    local message, opcode = ws:receive()
    if not message then return end
    ws:send(message, opcode)
  end
end

-- Runs a function in a thread of copas until it returns.
local function thread(fn)
  local is_done, err = false, nil
  host.copas.addthread(function()
    local work = coroutine.create(fn)
    local results = { coroutine.resume(work) }
    while coroutine.status(work) ~= "dead" do
      results = { coroutine.resume(work, coroutine.yield((table.unpack or unpack)(results, 2))) }
    end
    is_done, err = true, not results[1] and results[2]
  end)
  host:pump(function() return is_done end, "a thread")
  if err then error(err, 0) end
end

local function dial(options, protocols)
  local ws = websocket.client.copas(options)
  assert(ws:connect("ws://127.0.0.1:" .. host.port, protocols))
  return ws
end

describe("websocket.server.copas", function()
  after_each(two_x.stop_all)

  test("echoes messages of each size, text and binary, by protocol and by default", function()
    listen({ protocols = { echo = echo }, default = echo })
    two_x.assert_echoes(host)
  end)

  test("gives each connection the fields and results of 2.x", function()
    local results = {}
    listen({ default = function(ws)
      results = { ws.state, ws.is_server, ws.connect, (ws.sock:getpeername()), ws:send("x") }
      results.unsent = { ws:send("\255") }
      results.received = { ws:receive() }
      results.closed = { ws:close() }
      results.after = { ws:receive() }
    end })
    local c = client.open(host)
    assert.same({ 1, "x" }, { c:message() })
    c:send_close(4001, "bye")
    assert.equal(4001, (c:close_code()))
    host:pump(function() return results.after end)
    assert.same({ "OPEN", true, "127.0.0.1", true }, { results[1], results[2], results[4], results[5] })
    assert.is_nil(results[3])
    assert.same({ nil, false, 1007, "utf8" }, results.unsent)
    assert.same({ nil, nil, true, 4001, "bye" }, results.received)
    assert.same({ false, 1006, "wrong state" }, results.closed)
    assert.same({ nil, nil, false, 1006, "wrong state" }, results.after)
  end)

  test("closes from its side, and tells the peer's close code", function()
    local results
    listen({ default = function(ws) results = { ws:close(4002, "going") } end })
    local c = client.open(host)
    assert.same({ 4002, "going" }, { c:close_code() })
    c:text("late")
    c:send_close(4002, "yes")
    host:pump(function() return results end)
    assert.same({ true, 4002, "yes" }, results)
  end)

  test("broadcasts to all of a protocol, the sender too", function()
    local first
    local function handler(ws)
      first = first or ws
      ws:receive()
    end
    listen({ protocols = { a = handler, b = handler } })
    local peers = {}
    for i = 1, 10 do peers[i] = client.open(host, "a") end
    local other = client.open(host, "b")
    first:broadcast("text")
    first:broadcast("\255", websocket.BINARY)
    for _, one in ipairs(peers) do
      assert.same({ 1, "text" }, { one:message() })
      assert.same({ 2, "\255" }, { one:message() })
    end
    assert.is_nil((other:try_message()))
  end)

  test("keeps a connection whose handler has returned, for others to send", function()
    local made
    listen({ default = function(ws) made = ws end })
    local c = client.open(host)
    host:pump(function() return made end)
    assert.is_true(made:send("from elsewhere"))
    assert.same({ 1, "from elsewhere" }, { c:message() })
    assert.equal("OPEN", made.state)
    c:send_close(1000)
    c:close_code()
    host:pump(function() return made.state == "CLOSED" end)
    assert.same({ nil, false, 1006, "wrong state" }, { made:send("late") })
  end)

  test("lets other threads send and make steps of their own", function()
    local members = {}
    listen({ default = function(ws)
      members[ws] = 0
      while ws.state == "OPEN" do ws:receive() end
      members[ws] = nil
    end })
    local c = client.open(host)
    local got = {}
    -- A thread that never yields is the loop, as long as it goes on.
    host.copas.addthread(function()
      while #got < 5 do
        host.copas.step(0.005)
        for ws, number in pairs(members) do
          ws:send(tostring(number))
          members[ws] = number + 1
        end
        got[#got + 1] = select(2, c:try_message())
      end
    end)
    host:pump(function() return #got == 5 end)
    assert.same({ "0", "1", "2", "3", "4" }, got)
    c:close()
    host:pump(function() return next(members) == nil end)
  end)

  test("has a slow peer's sender wait, and serves others meanwhile", function()
    local sent = 0
    listen({ protocols = {
      flood = function(ws)
        while ws:send(("f"):rep(65536)) do sent = sent + 1 end
      end,
      echo = echo,
    } })
    local slow, c = client.open(host, "flood"), client.open(host, "echo")
    local before
    host:pump(function()
      local is_still = sent > 10 and sent == before
      before = sent
      return is_still
    end)
    for i = 1, 20 do
      c:text("m" .. i)
      assert.same({ 1, "m" .. i }, { c:message() })
    end
    local limit = sent + 1
    assert.is_true(sent <= limit)
    for _ = 1, 2 * sent do assert.equal(1, (slow:message())) end
  end)

  test("tells on_error of an opening handshake that failed", function()
    local errors = {}
    listen({ protocols = { a = echo }, on_error = function(err) errors[#errors + 1] = err end })
    local c = client.connect(host)
    c:send("GET / HT")
    c:close()
    host:pump(function() return errors[1] end)
    assert.matches("^Websocket Handshake failed: ", errors[1])
    c = client.connect(host)
    c:send(client.upgrade({ protocol = "b" }))
    assert.equal(400, (c:read_head()))
  end)

  test("closes its connections with itself, unless they are to be kept", function()
    for _, keeps in ipairs({ false, true }) do
      local server = listen({ default = echo })
      local c = client.open(host)
      server:close(keeps or nil)
      assert.is_nil((socket.connect("127.0.0.1", host.port)))
      if keeps then
        c:text("still here")
        assert.same({ 1, "still here" }, { c:message() })
        c:send_close(1000)
      end
      assert.equal(1000, (c:close_code()))
      if not keeps then c:send_close(1000) end
      c:await_end()
    end
  end)

  test("waits in close until its connections have ended", function()
    local ended = 0
    local server = listen({ default = function(ws)
      ws:receive()
      ended = ended + 1
    end })
    local count = 0
    for _ = 1, 3 do
      host.copas.addthread(function()
        local ws = dial()
        count = count + 1
        ws:receive()
      end)
    end
    host:pump(function() return count == 3 end)
    thread(function() server:close() end)
    host:pump(function() return ended == 3 end)
  end)

  test("raises where it cannot listen", function()
    local listen_copas = websocket.server.copas.listen
    assert.error_matches(function() listen_copas({ port = 0 }) end, "'protocols' or 'default'", 1, true)
    listen({ default = echo })
    assert.error_matches(function() listen({ default = echo, port = host.port }) end, "address already in use")
  end)

  test("closes the connection of a handler that raises, and goes on", function()
    listen({ protocols = { raising = function(ws) error(ws:receive() or "end", 0) end, echo = echo } })
    local c
    local lines = two_x.printed(function()
      c = client.open(host, "raising")
      c:text("on purpose")
      assert.equal(1011, (c:close_code()))
    end)
    assert.matches("on purpose", table.concat(lines, "\n"))
    c = client.open(host, "echo")
    c:text("on")
    assert.same({ 1, "on" }, { c:message() })
  end)
end)

describe("websocket.client.copas", function()
  after_each(two_x.stop_all)

  test("connects, sends, receives and closes while other threads run", function()
    listen({ protocols = { echo = echo } })
    local others, is_over = 0, false
    finally(function() is_over = true end)
    host.copas.addthread(function()
      local ws = dial(nil, "echo")
      repeat
        ws:send("other")
        others = others + (ws:receive() == "other" and 1 or 0)
      until is_over
      ws:close()
    end)
    thread(function()
      local ws = websocket.client.copas()
      assert.equal("CLOSED", ws.state)
      local is_open, protocol, headers = ws:connect("ws://127.0.0.1:" .. host.port, { "none", "echo" })
      assert.same({ true, "echo", "websocket", "OPEN" }, { is_open, protocol, headers.upgrade, ws.state })
      assert.same({ "127.0.0.1", host.port }, { ws.sock:getpeername() })
      for i = 1, 20 do
        assert.is_true(ws:send("m" .. i))
        assert.same({ "m" .. i, 1 }, { ws:receive() })
      end
      ws:send(("b"):rep(300000), websocket.BINARY)
      assert.same({ ("b"):rep(300000), 2 }, { ws:receive() })
      assert.same({ true, 4001, "" }, { ws:close(4001, "bye") })
      assert.same({ nil, false, 1006, "wrong state" }, { ws:send("late") })
    end)
    is_over = true
    assert.is_true(others > 5)
  end)

  test("serves twenty clients at a time, and a broadcast to them", function()
    local members = {}
    listen({ protocols = { a = function(ws)
      members[#members + 1] = ws
      if #members == 20 then ws:broadcast("all here") end
      ws:receive()
    end } })
    local got = 0
    for _ = 1, 20 do
      host.copas.addthread(function()
        local ws = dial(nil, "a")
        if ws:receive() == "all here" then got = got + 1 end
        ws:close()
      end)
    end
    host:pump(function() return got == 20 end)
  end)

  test("says why there is no connection, and may connect again", function()
    listen({ default = echo })
    thread(function()
      local ws = websocket.client.copas()
      assert.same({ nil, "connection refused" }, { ws:connect("ws://127.0.0.1:" .. ports.refusing()) })
      assert.same({ nil, "bad protocol" }, { ws:connect("wsx://127.0.0.1") })
      assert.is_false((pcall(ws.connect, ws, "nothing")))
      assert.is_true((ws:connect("ws://127.0.0.1:" .. host.port)))
      assert.same({ nil, "wrong state" }, { ws:connect("ws://127.0.0.1:" .. host.port) })
      ws:close()
    end)
  end)

  test("lives on after a timeout, which is the fifth result", function()
    local p = peer.listen(host)
    host.port = p.port
    local results = {}
    host.copas.addthread(function()
      -- Connecting has to be done within this too.
      local ws = dial({ timeout = 2 })
      repeat
        results[#results + 1] = { ws:receive() }
        results.state = ws.state
      until results[#results][1]
      ws:close()
    end)
    p:accept()
    host:pump(function() return results[1] end)
    assert.same({ nil, nil, false, 1006, "timeout" }, results[1])
    assert.equal("OPEN", results.state)
    p:write(1, "late")
    host:pump(function() return results[#results][1] end)
    assert.same({ "late", 1 }, results[#results])
  end)

  test("answers pings while nobody receives, and tells the end later", function()
    local p = peer.listen(host)
    host.port = p.port
    local ws
    host.copas.addthread(function() ws = dial() end)
    p:accept()
    host:pump(function() return ws end)
    p:write(9, "p")
    assert.same({ 10, "p" }, { p:message() })
    p:write(1, "kept")
    p:write(8, "\15\161bye")
    assert.equal(8, (p:message()))
    p:drop()
    thread(function()
      assert.same({ "kept", 1 }, { ws:receive() })
      assert.same({ nil, nil, true, 4001, "bye" }, { ws:receive() })
      assert.equal("CLOSED", ws.state)
    end)
  end)

  test("runs under a scheduler that is not copas' own", function()
    listen({ default = echo })
    local got
    local foreign = coroutine.create(function()
      local ws = dial()
      ws:send("hello")
      got = ws:receive()
      ws:close()
    end)
    host:pump(function()
      if coroutine.status(foreign) == "dead" then return true end
      local is_good, object, queue = coroutine.resume(foreign)
      assert(is_good, object)
      if object == nil then return false end
      assert(type(queue) == "table")
      -- A pair of copas': what `select` takes, and the set that it is for.
      if type(object) == "table" then socket.select({ object }, nil, 0) end
    end)
    assert.equal("hello", got)
  end)

  test("raises outside of a thread", function()
    listen({ default = echo })
    local ws = websocket.client.copas()
    assert.error_matches(function() ws:connect("ws://127.0.0.1:" .. host.port) end, "copas.addthread", 1, true)
  end)
end)
