--- Functions of `websockets.coroutine`: what waits suspends that function alone.
-- @module spec.behaviour.coroutine_spec
local client = require("spec.support.client")
local loops = require("spec.support.loops")
local server = require("spec.support.server")
local websockets = require("websockets")

local TEXT, BINARY = websockets.WRITE_TEXT, websockets.WRITE_BINARY
local coroutine_of = websockets.coroutine

local jit_here = rawget(_G, "jit")
local is_lua51 = _VERSION == "Lua 5.1" and not jit_here

-- A function that sends each message back until the connection has ended; what `receive` has given last is in `log`.
local function echo(log, timeout)
  return function(ws)
    while true do
      local data, kind, code, reason = ws:receive(timeout)
      if not data then
        log[#log + 1] = { kind, code, reason }
        if kind == "closed" then return end
      else
        ws:write(data, kind)
      end
    end
  end
end

-- With its position, which `error_matches` takes away.
local function raised(...) return select(2, pcall(...)) end

local LOOPS = {
  ["service"] = server.start, ["run"] = loops.run, ["a loop that watches READ only"] = loops.read_only,
  ["a loop that watches writing too"] = loops.with_modes,
}
if server.is_native then LOOPS["a loop that watches the one descriptor"] = loops.one_descriptor end

for name, start in pairs(LOOPS) do
  describe("functions of websockets.coroutine under " .. name, function()
    after_each(server.stop_all)

    it("receive, time out, sleep, connect and end", function()
      local log, heard = {}, {}
      local s = start({ default = coroutine_of(echo(log)) })
      coroutine_of(function(context)
        local ws = assert(context:connect(("ws://127.0.0.1:%d/"):format(s.port)))
        heard[1] = ws:wait_open() == ws
        ws:write("one")
        ws:write("\0\255", BINARY)
        heard[2], heard[3] = { ws:receive() }, { ws:receive(20) }
        heard[4] = { ws:receive(0.01) }
        websockets.sleep(0.01)
        ws:write(("x"):rep(900000))
        heard[5] = #ws:receive()
        ws:close(4000, "done")
        heard[6] = { ws:receive() }
      end)(s.context)
      s:pump(function() return heard[6] and log[1] end, "the end of both")
      assert.same({ true, { "one", TEXT }, { "\0\255", BINARY }, { nil, "timeout" }, 900000,
        { nil, "closed", 4000, "" } }, heard)
      assert.same({ { "closed", 4000, "done" } }, log)
    end)
  end)
end

describe("a coroutine's ws:receive", function()
  after_each(server.stop_all)

  it("gives messages in their order, of many connections beside each other", function()
    local s = server.start({ default = coroutine_of(echo({})) })
    local clients = {}
    for i = 1, 10 do clients[i] = client.open(s) end
    for round = 1, 20 do
      for i, c in ipairs(clients) do c:text(i .. " " .. round) end
    end
    for round = 1, 20 do
      for i, c in ipairs(clients) do assert.same({ 1, i .. " " .. round }, { c:message() }) end
    end
  end)

  it("keeps messages that come while the function does something else", function()
    local s = server.start({ default = coroutine_of(function(ws)
      websockets.sleep(1)
      echo({})(ws)
    end) })
    s:fake_time()
    local c = client.open(s)
    for i = 1, 10 do c:text(tostring(i)) end
    s:settle()
    assert.is_nil(c:try_message())
    s:advance(1)
    for i = 1, 10 do assert.same({ 1, tostring(i) }, { c:message() }) end
  end)

  it("returns nil and \"timeout\" in time, not before, and the message that comes later", function()
    local log = {}
    local s = server.start({ default = coroutine_of(echo(log, 10)) })
    s:fake_time()
    local c = client.open(s)
    s:advance(9.9)
    assert.same({}, log)
    c:text("in time")
    assert.same({ 1, "in time" }, { c:message() })
    -- The time begins anew with each call.
    s:advance(9.9)
    assert.same({}, log)
    s:advance(0.2)
    assert.same({ { "timeout" } }, log)
    s:advance(10)
    assert.equal(2, #log)
    c:text("late")
    assert.same({ 1, "late" }, { c:message() })
  end)

  it("counts its time from the call, however long the function has run before", function()
    local log, now = {}, nil
    local s = server.start({ default = coroutine_of(function(ws)
      for _ = 1, 2 do
        now(5)
        log[#log + 1] = select(2, ws:receive(1))
      end
    end) })
    s:fake_time()
    now = function(seconds) s.fake_now = s.fake_now + seconds end
    client.open(s)
    s:turns(3)
    assert.same({}, log)
    s:advance(1)
    assert.same({ "timeout" }, log)
  end)

  it("takes other times, shorter and longer ones, by one timer", function()
    local waits, log = { 5, 1, 3, math.huge }, {}
    local s = server.start({ default = coroutine_of(function(ws)
      for i, seconds in ipairs(waits) do log[i] = ws:receive(seconds) or "timeout" end
    end) })
    s:fake_time()
    local c = client.open(s)
    c:text("a")
    s:pump(function() return log[1] end)
    s:advance(0.9)
    assert.same({ "a" }, log)
    s:advance(0.2)
    assert.same({ "a", "timeout" }, log)
    s:advance(2.9)
    assert.same({ "a", "timeout" }, log)
    s:advance(0.2)
    assert.same({ "a", "timeout", "timeout" }, log)
    s:advance(10)
    c:text("b")
    s:pump(function() return log[4] end)
    assert.same({ "a", "timeout", "timeout", "b" }, log)
  end)

  it("of 0 seconds takes what is here, by the next turn", function()
    local log = {}
    local s = server.start({ default = coroutine_of(function(ws)
      log[1] = { ws:receive(0) }
      log[2] = { ws:receive() }
      for i = 3, 4 do log[i] = { ws:receive(0) } end
    end) })
    local c = client.open(s)
    s:pump(function() return log[1] end)
    c:send(c:frame(1, "b") .. c:frame(1, "c"))
    s:pump(function() return log[4] end)
    assert.same({ { nil, "timeout" }, { "b", TEXT }, { "c", TEXT }, { nil, "timeout" } }, log)
  end)

  it("raises at the caller's line for a wrong timeout, and outside of such a function", function()
    local heard, ws_here = {}, nil
    local s = server.start({ default = coroutine_of(function(ws)
      ws_here = ws
      for i, timeout in ipairs({ -1, "1", false, 0 / 0 }) do heard[i] = raised(ws.receive, ws, timeout) end
      heard.line = raised(function() ws:receive("1") end)
      -- Those of a connection that has received before.
      ws:receive()
      heard.again = raised(function() ws:receive({}) end)
      heard.dot = raised(function() ws.receive(5) end)
    end) })
    local c = client.open(s)
    c:text("x")
    s:pump(function() return heard.dot end)
    for i, got in ipairs({ "-1", '"1"', "false", "nan" }) do
      assert.matches("bad argument #1 to 'receive' (number of seconds from 0 expected, got ", heard[i], 1, true)
      assert.is_true(heard[i]:find(got .. ")", 1, true) ~= nil, heard[i])
    end
    assert.matches("^[^:]*coroutine_spec.lua:%d+: bad argument #1 to 'receive'", heard.line)
    assert.matches("^[^:]*coroutine_spec.lua:%d+: bad argument #1 to 'receive'", heard.again)
    assert.matches("coroutine_spec.lua:%d+: websocket:receive must be called with a colon", heard.dot)
    local outside = raised(function() ws_here:receive() end)
    assert.matches("coroutine_spec.lua:%d+: websocket:receive can wait only in a function of", outside)
  end)

  it("is for one function at a time", function()
    local heard = {}
    local s = server.start({ default = coroutine_of(function(ws)
      coroutine_of(function() heard[1] = { ws:receive() } end)(ws.context)
      websockets.sleep(0)
      heard[2] = raised(function() ws:receive() end)
      websockets.sleep(20)
    end) })
    local c = client.open(s)
    s:pump(function() return heard[2] end)
    assert.matches("coroutine_spec.lua:%d+: websocket:receive: another function waits for the messages", heard[2])
    c:text("for the first")
    s:pump(function() return heard[1] end)
    assert.same({ "for the first", TEXT }, heard[1])
  end)
end)

describe("a coroutine's ws:messages", function()
  after_each(server.stop_all)

  -- Runs a loop over the messages of a connection that sends three and ends.
  local function run()
    local heard = {}
    local s = server.start({ on_error = function(err) heard.err = err end, default = coroutine_of(function(ws)
      for message, kind in ws:messages() do heard[#heard + 1] = message .. kind end
      heard.last = { ws:receive() }
    end) })
    local c = client.open(s)
    c:send(c:frame(1, "a") .. c:frame(2, "b"))
    c:text("c")
    c:send_close(4001, "all")
    s:pump(function() return heard.last or heard.err end)
    return heard
  end

  if is_lua51 then
    it("raise in Lua 5.1, and say what to do there", function()
      assert.matches("^[^:]*coroutine_spec.lua:%d+: websocket:messages cannot wait in this Lua, .* while loop",
        run().err)
    end)
  else
    it("end when the connection has ended", function()
      assert.same({ "a0", "b1", "c0", last = { nil, "closed", 4001, "all" } }, run())
    end)
  end

  it("raise outside of such a function", function()
    local handler, log = server.recorder()
    local s = server.start({ default = handler })
    client.open(s)
    assert.matches("coroutine_spec.lua:%d+: websocket:messages can wait only in a function of websockets.coroutine",
      raised(function() log.ws[1]:messages() end))
  end)
end)

describe("websockets.sleep", function()
  after_each(server.stop_all)

  it("suspends one function for so long", function()
    local s, log = server.start({}), {}
    s:fake_time()
    for _, seconds in ipairs({ 3, 1, 2, 1, 0 }) do
      coroutine_of(function()
        websockets.sleep(seconds)
        log[#log + 1] = seconds
      end)(s.context)
    end
    s:turns(1)
    assert.same({ 0 }, log)
    s:advance(0.99)
    assert.same({ 0 }, log)
    s:advance(1)
    assert.same({ 0, 1, 1 }, log)
    s:advance(1.01)
    assert.same({ 0, 1, 1, 2, 3 }, log)
  end)

  it("keeps run going, which then returns", function()
    local context, log = websockets.context({}), {}
    coroutine_of(function(...)
      log[1] = select("#", ...) == 1 and ... == context
      websockets.sleep(0.01)
      log[2] = "over"
    end)(context)
    context:run()
    assert.same({ true, "over" }, log)
    context:destroy()
  end)

  it("raises for anything but a finite number from 0, and outside of such a function", function()
    local s, heard = server.start({}), {}
    coroutine_of(function()
      for _, seconds in ipairs({ -1, math.huge, "1", 0 / 0 }) do
        heard[#heard + 1] = raised(function() websockets.sleep(seconds) end)
      end
    end)(s.context)
    assert.equal(4, #heard)
    for _, err in ipairs(heard) do
      assert.matches("coroutine_spec.lua:%d+: bad argument #1 to 'sleep' %(number of seconds from 0 expected", err)
    end
    assert.matches("coroutine_spec.lua:%d+: sleep can wait only in a function of websockets.coroutine",
      raised(function() websockets.sleep(1) end))
  end)
end)

describe("ws:wait_open", function()
  after_each(server.stop_all)

  it("gives the connection, and again at once where it is open already", function()
    local s, heard = server.start({ default = coroutine_of(echo({})) }), {}
    coroutine_of(function(context)
      local ws = context:connect(("ws://127.0.0.1:%d/"):format(s.port))
      ws:on_open(function() heard[#heard + 1] = "on_open" end)
      for _ = 1, 2 do
        local got = ws:wait_open()
        heard[#heard + 1] = got == ws
      end
      heard.peer = ws:get_peer_addresses()
    end)(s.context)
    s:pump(function() return heard.peer end)
    assert.same({ "on_open", true, true, peer = "127.0.0.1" }, heard)
  end)

  it("is for as many functions as call it", function()
    local s, count = server.start({ default = server.echo }), 0
    local ws = s.context:connect(("ws://127.0.0.1:%d/"):format(s.port))
    for _ = 1, 3 do
      coroutine_of(function()
        assert(ws:wait_open())
        count = count + 1
      end)(s.context)
    end
    s:pump(function() return count == 3 end)
  end)

  it("tells why there is no connection, with the server's answer", function()
    local s, heard = server.start({ on_handshake = function() return false, 503, { ["Retry-After"] = "7" }, "wait" end,
      default = server.echo }), nil
    coroutine_of(function(context)
      local ws, message, code, status, headers, body =
        context:connect(("ws://127.0.0.1:%d/"):format(s.port)):wait_open()
      heard = { ws == nil, message, code, status, headers["retry-after"], body }
    end)(s.context)
    s:pump(function() return heard end)
    assert.same({ true, "the server answered 503 Service Unavailable", "status", 503, "7", "wait" }, heard)
  end)

  it("keeps the messages that come with the answer", function()
    local s, heard = server.start({ default = function(ws) ws:write("hello") end }), nil
    coroutine_of(function(context)
      local ws = assert(context:connect(("ws://127.0.0.1:%d/"):format(s.port)):wait_open())
      websockets.sleep(0.01)
      heard = { ws:receive(20) }
    end)(s.context)
    s:pump(function() return heard end)
    assert.same({ "hello", TEXT }, heard)
  end)

  it("raises for a connection to this server, and outside of such a function", function()
    local heard, ws_here
    local s = server.start({ default = coroutine_of(function(ws)
      ws_here = ws
      heard = raised(function() ws:wait_open() end)
    end) })
    client.open(s)
    assert.matches("coroutine_spec.lua:%d+: websocket:wait_open is for connections of context:connect", heard)
    assert.matches("coroutine_spec.lua:%d+: websocket:wait_open can wait only in a function",
      raised(function() ws_here:wait_open() end))
  end)
end)

describe("websockets.coroutine", function()
  after_each(server.stop_all)

  it("raises for anything but a function, and what it makes for anything that belongs to no context", function()
    assert.matches("coroutine_spec.lua:%d+: bad argument #1 to 'coroutine' %(function expected, got 5%)",
      raised(function() websockets.coroutine(5) end))
    local begin = coroutine_of(function() end)
    assert.matches("connection, timer or context expected, got no value", raised(function() begin() end))
    assert.matches("connection, timer or context expected, got table", raised(function() begin({}) end))
    local context = websockets.context({})
    context:destroy()
    assert.matches("coroutine_spec.lua:%d+: websocket context destroyed", raised(function() begin(context) end))
  end)

  it("makes callbacks for timers, on_http and on_open, which get what those get", function()
    local heard = {}
    local s = server.start({
      default = function(ws) ws:write("hello") end,
      on_http = coroutine_of(function(ws, uri, method, headers, body)
        websockets.sleep(0)
        ws:respond(200, nil, table.concat({ uri, method, headers.host, body }, " "))
      end),
    })
    s.context:after(0, coroutine_of(function(timer)
      websockets.sleep(0)
      heard.timer = tostring(timer):match("^timer")
    end))
    local ws = s.context:connect(("ws://127.0.0.1:%d/"):format(s.port))
    ws:on_open(coroutine_of(function(same, again) heard.open = { same == ws, again, (same:receive(20)) } end))
    local c = client.connect(s)
    c:send(client.request("/x", "Content-Length: 4\r\n", "POST", "body"))
    assert.equal("/x POST 127.0.0.1 body", (select(3, c:response())))
    s:pump(function() return heard.timer and heard.open end)
    assert.same({ timer = "timer", open = { true, false, "hello" } }, heard)
  end)

  it("has a connection that is handed over to on_receive served there, with what has come already", function()
    local log = {}
    local s = server.start({ default = coroutine_of(function(ws)
      local name = ws:receive()
      websockets.sleep(1)
      ws:on_receive(function(_, data) log[#log + 1] = name .. data end)
    end) })
    s:fake_time()
    local c = client.open(s)
    c:send(c:frame(1, "ann: ") .. c:frame(1, "a") .. c:frame(1, "b"))
    s:settle()
    s:advance(1)
    c:text("c")
    s:pump(function() return #log == 3 end)
    assert.same({ "ann: a", "ann: b", "ann: c" }, log)
  end)
end)
