--- How functions of `websockets.coroutine` and their connections end: by each other, by errors, and by foreign yields.
-- @module spec.behaviour.coroutine_ends_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local websockets = require("websockets")

local coroutine_of = websockets.coroutine

local MIB = 1024 * 1024
local is_lua51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

-- With its position, which `error_matches` takes away.
local function raised(...) return select(2, pcall(...)) end

-- Starts a server whose connections are served by `fn`; what became of them is in its `log`.
local function start(fn, options)
  local log = { errors = {}, closed = {} }
  options = options or {}
  options.on_error = function(...) log.errors[#log.errors + 1] = { ... } end
  local serve = coroutine_of(fn)
  options.default = function(ws)
    log.ws = ws
    ws:on_closed(function(_, ...) log.closed[#log.closed + 1] = { ... } end)
    serve(ws)
  end
  local s = server.start(options)
  s.log = log
  return s, log
end

describe("a function of websockets.coroutine that raises", function()
  after_each(server.stop_all)

  it("before it waits: on_error gets the error with a traceback, the connection ends with 1011", function()
    local s, log = start(function() error("at once") end)
    local c = client.open(s)
    assert.equal(1011, (c:close_code()))
    c:close()
    s:pump(function() return log.closed[1] end)
    assert.same({ 1011, "", false, "error" }, log.closed[1])
    assert.equal(log.ws, log.errors[1][2])
    assert.matches("ends_spec.lua:%d+: at once\nstack traceback:\n.*ends_spec.lua", log.errors[1][1])
  end)

  it("after it has waited: likewise, and others go on", function()
    local function helper() error("later") end
    local s, log = start(function(ws)
      while true do
        local message = ws:receive()
        if message == "raise" then helper() end
        ws:write(message)
      end
    end)
    local c, other = client.open(s), client.open(s)
    -- The messages that come with the one that raises are not delivered, those of others are.
    c:send(c:frame(1, "a") .. c:frame(1, "raise") .. c:frame(1, "b"))
    other:text("other")
    assert.same({ 1, "other" }, { other:message() })
    assert.same({ 1, "a" }, { c:message() })
    assert.equal(1011, (c:close_code()))
    assert.equal(1, #log.errors)
    assert.matches("later\nstack traceback:.*in.*helper", log.errors[1][1])
    other:text("still")
    assert.same({ 1, "still" }, { other:message() })
  end)

  it("anything but a string is told as it is", function()
    local thing = {}
    local s, log = start(function(ws)
      ws:receive()
      error(thing)
    end)
    local c = client.open(s)
    c:text("x")
    assert.equal(1011, (c:close_code()))
    assert.equal(thing, log.errors[1][1])
  end)

  it("without on_error leaves service, which can be called again", function()
    local s = server.start({ default = coroutine_of(function(ws) error(ws:receive(), 0) end) })
    local c = client.open(s)
    c:text("out")
    assert.matches("^out\nstack traceback", s:pump_failure())
    assert.equal(1011, (c:close_code()))
    local d = client.open(s)
    d:text("again")
    assert.matches("^again\nstack traceback", s:pump_failure())
    assert.matches("^out of it\nstack", raised(coroutine_of(function() error("out of it", 0) end), s.context))
  end)

  it("as on_http: the request that waits gets 500, an answered one nothing more", function()
    local s = server.start({ on_error = function() end, on_http = coroutine_of(function(ws, uri)
      websockets.sleep(0)
      if uri == "/late" then ws:respond(200, nil, "answer") end
      error("no")
    end) })
    local c = client.connect(s)
    c:send(client.request("/late"))
    assert.same({ 200, "answer" }, { (function(status, _, body) return status, body end)(c:response()) })
    c:send(client.request("/early"))
    assert.equal(500, (c:response()))
  end)
end)

describe("a function of websockets.coroutine that returns", function()
  after_each(server.stop_all)

  it("closes its connection with 1000", function()
    local s, log = start(function(ws)
      ws:write("hello " .. ws:receive())
      return "ignored"
    end)
    local c = client.open(s)
    c:send(c:frame(1, "ann") .. c:frame(1, "nobody takes this"))
    assert.same({ 1, "hello ann" }, { c:message() })
    assert.equal(1000, (c:close_code()))
    c:send_close(1000)
    s:pump(function() return log.closed[1] end)
    assert.same({ 1000, "", true, "closed" }, log.closed[1])
    assert.same({}, log.errors)
  end)

  it("at once closes it too", function()
    local s = start(function() end)
    assert.equal(1000, (client.open(s):close_code()))
  end)

  it("leaves open what it was not called for: of on_http, a timer, or later in a connection", function()
    local log = {}
    local s = server.start({
      on_http = coroutine_of(function(ws) ws:respond(200, nil, "x") end),
      default = function(ws)
        ws:on_receive(function(_, data) ws:write(data) end)
        ws:on_pong(coroutine_of(function() log[#log + 1] = "pong" end))
        ws:on_broadcast(coroutine_of(function() log[#log + 1] = "broadcast" end))
      end,
    })
    local c, d = client.connect(s), client.open(s)
    for _ = 1, 2 do
      c:send(client.request("/"))
      assert.equal(200, (c:response()))
    end
    d:write(10, "pong")
    for ws in pairs(inside.all(s.context)) do ws:broadcast("x") end
    s:pump(function() return #log == 2 end)
    d:text("open")
    assert.same({ 1, "open" }, { d:message() })
  end)
end)

describe("a function of websockets.coroutine that yields by itself", function()
  after_each(server.stop_all)

  it("ends with an error that names the line, its connection with 1011", function()
    local line, went_on
    local s, log = start(function(ws)
      ws:receive()
      line = debug.getinfo(1, "l").currentline + 1
      coroutine.yield("what for")
      went_on = true
    end)
    local c = client.open(s)
    c:text("x")
    assert.equal(1011, (c:close_code()))
    assert.matches("^a function of websockets.coroutine has yielded by itself", log.errors[1][1])
    assert.matches("coroutine_ends_spec.lua:" .. line .. ":", log.errors[1][1])
    s:settle()
    assert.is_nil(went_on)
  end)

  if coroutine.close then
    it("has its variables closed", function()
      local code = "local note = ... local held <close> = setmetatable({}, { __close = note }) coroutine.yield()"
      local is_closed = false
      local s = start(function() load(code)(function() is_closed = true end) end)
      client.open(s)
      assert.is_true(is_closed)
    end)
  end
end)

describe("in a coroutine inside of a function of websockets.coroutine", function()
  after_each(server.stop_all)

  it("receive raises when that is resumed by something else", function()
    local heard
    local s = start(function(ws)
      local inner = coroutine.wrap(function() heard = raised(function() ws:receive() end) end)
      -- Its first yield is the library's, and means nothing here.
      inner()
      inner()
      websockets.sleep(20)
    end)
    local c = client.open(s)
    c:text("x")
    s:settle()
    if heard:find("attempt to yield", 1, true) then
      -- The protected call of this spec cannot be left in Lua 5.1.
      assert.equal("Lua 5.1", _VERSION)
    else
      assert.matches("coroutine_ends_spec.lua:%d+: websocket:receive was resumed by another coroutine", heard)
    end
  end)
end)

describe("a callback inside of a function of websockets.coroutine", function()
  after_each(server.stop_all)

  it("cannot wait: it would suspend the library", function()
    local s, log = start(function(ws)
      ws:on_broadcast(function()
        websockets.sleep(0)
      end)
      ws:broadcast("x")
      ws:write("after " .. ws:receive())
      ws:receive()
    end)
    local c = client.open(s)
    c:text("all")
    assert.same({ 1, "after all" }, { c:message() })
    assert.equal(1, #log.errors)
    assert.matches("coroutine_ends_spec.lua:%d+: sleep may not wait inside a callback", log.errors[1][1])
  end)
end)

describe("the end of a connection", function()
  after_each(server.stop_all)

  it("comes to receive after the messages before it, each time", function()
    local heard = {}
    local s = start(function(ws)
      websockets.sleep(1)
      for i = 1, 4 do heard[i] = { ws:receive() } end
    end)
    s:fake_time()
    local c = client.open(s)
    c:send(c:frame(1, "a") .. c:frame(1, "b") .. c:frame(8, "\15\160bye"))
    s:pump(function() return s.log.closed[1] end)
    s:advance(1)
    assert.same({ { "a", 0 }, { "b", 0 }, { nil, "closed", 4000, "bye" }, { nil, "closed", 4000, "bye" } }, heard)
  end)

  it("ends a wait with a timeout, and one without", function()
    for _, timeout in ipairs({ 60, false }) do
      local heard
      local s = start(function(ws) heard = { ws:receive(timeout or nil) } end)
      client.open(s):reset()
      s:pump(function() return heard end)
      assert.same({ nil, "closed", 1006, "" }, heard)
      assert.same({}, s.log.errors)
      assert.is_nil(s.context:timeout())
    end
  end)

  it("by close in the function itself comes to the next receive", function()
    local heard = {}
    local s = start(function(ws)
      ws:receive()
      ws:close(4001, "enough")
      heard[1] = { ws:receive() }
    end)
    local c = client.open(s)
    c:send(c:frame(1, "x") .. c:frame(1, "comes after close"))
    assert.equal(4001, (c:close_code()))
    c:send_close(4001)
    s:pump(function() return heard[1] end)
    assert.same({ nil, "closed", 4001, "" }, heard[1])
    s = start(function(ws)
      ws:close(0)
      heard[2] = { ws:receive() }
    end)
    client.open(s)
    s:pump(function() return heard[2] end)
    assert.same({ nil, "closed", 1006, "" }, heard[2])
  end)

  it("leaves a function that does something else alone: it writes to nobody, and goes on", function()
    local heard
    local s = start(function(ws)
      websockets.sleep(1)
      heard = { ws:write("x") }
      ws:close()
      websockets.sleep(1)
      heard[3] = select(2, ws:receive())
    end)
    s:fake_time()
    local c = client.open(s)
    c:send_close(1000)
    s:pump(function() return s.log.closed[1] end)
    assert.is_nil(heard)
    s:advance(1)
    assert.same({ -1, "closed" }, heard)
    s:advance(1)
    assert.equal("closed", heard[3])
    assert.same({}, s.log.errors)
    assert.equal(1, #s.log.closed)
  end)

  it("is told a thousand times to a function that does not listen, which then is ended", function()
    local count = 0
    local s, log = start(function(ws)
      while true do
        ws:receive()
        count = count + 1
      end
    end)
    client.open(s):close()
    s:pump(function() return log.errors[1] end)
    assert.equal(1000, count)
    assert.matches("coroutine_ends_spec.lua:%d+: websocket:receive: called 1000 times after the connection has ended",
      log.errors[1][1])
  end)

  it("is told to on_closed too, whenever that was set", function()
    local order = {}
    local s = start(function(ws)
      ws:on_closed(function(_, code) order[#order + 1] = code end)
      order[#order + 1] = select(2, ws:receive())
    end)
    local c = client.open(s)
    c:send_close(4005)
    s:pump(function() return #order == 2 end)
    assert.same({ "closed", 4005 }, order)
    -- The function has taken the place of the one from before.
    assert.same({}, s.log.closed)
  end)

  it("comes with destroy to functions that receive; in those that sleep, sleep raises", function()
    local heard = {}
    local s = start(function(ws)
      if ws:receive() == "sleep" then
        websockets.sleep(1000)
        heard.slept = true
      end
      heard.closed = { ws:receive() }
      websockets.sleep(1000)
      heard.slept = true
    end)
    local c, d = client.open(s), client.open(s)
    c:text("sleep")
    d:text("receive")
    s:settle()
    s.context:destroy()
    assert.same({ closed = { nil, "closed", 1001, "" } }, heard)
    assert.same({}, s.log.errors)
  end)

  if not is_lua51 then
    it("by destroy is not caught for ever by a function that sleeps", function()
      local count, err = 0, nil
      local s = start(function()
        while true do
          err = raised(function() websockets.sleep(1000) end)
          count = count + 1
        end
      end)
      client.open(s)
      s.context:destroy()
      assert.equal(1000, count)
      assert.matches("coroutine_ends_spec.lua:%d+: websocket context destroyed$", err)
    end)
  end
end)

describe("a function of websockets.coroutine that does not receive", function()
  after_each(server.stop_all)

  -- Floods a connection whose function sleeps: how many bytes the server has taken.
  local function flood(s, message)
    local c = client.open(s)
    local frames = c:frame(2, message):rep(64)
    local taken, calm = 0, 0
    repeat
      local last, why, partial = c.connection:send(frames)
      local count = last or partial
      assert(last or why == "timeout", why)
      taken, calm = taken + count, count == 0 and calm + 1 or 0
      s:turn(0)
      -- The sockets take some megabytes.
      assert.is_true(taken < 128 * MIB, "the peer does not have to wait")
    until calm == 50
    return c, taken
  end

  it("has its peer wait: what is kept has a bound, for long messages and for tiny ones", function()
    for _, message in ipairs({ ("x"):rep(16384), "x" }) do
      local kept
      local s = start(function(ws)
        websockets.sleep(20)
        kept = ws
      end)
      s:fake_time()
      collectgarbage()
      local before = collectgarbage("count") * 1024
      local _, taken = flood(s, message)
      collectgarbage()
      local held = collectgarbage("count") * 1024 - before
      -- The sockets hold most of it, and one read of 64 KiB of tiny messages takes some room.
      assert.is_true(held < 6 * MIB, ("%d bytes held of %d"):format(held, taken))
      assert.is_true(s.log.ws.paused)
      assert.is_nil(kept)
      s:stop()
    end
  end)

  it("gets every message in its order when it receives again", function()
    local count, expected = 0, 3000
    local s = start(function(ws)
      websockets.sleep(1)
      while count < expected do
        local message = ws:receive()
        if message ~= tostring(count + 1) then error(("message %d is %s"):format(count + 1, tostring(message))) end
        count = count + 1
        if count % 100 == 0 then websockets.sleep(0) end
      end
      ws:write("all")
      ws:receive()
    end)
    s:fake_time()
    local c = client.open(s)
    local frames = {}
    for i = 1, expected do frames[i] = c:frame(1, tostring(i)) end
    c:send(table.concat(frames))
    s:settle()
    assert.is_true(s.log.ws.paused)
    s:advance(1)
    s:pump(function() return count == expected end)
    assert.same({ 1, "all" }, { c:message() })
    assert.same({}, s.log.errors)
  end)
end)

describe("functions of websockets.coroutine that begin inside each other", function()
  after_each(server.stop_all)

  it("begin one after the other, however many", function()
    local s, order, count = server.start({}), {}, 3000
    local begin
    begin = coroutine_of(function(context)
      count = count - 1
      local mine = count
      if mine > 0 then begin(context) end
      order[#order + 1] = mine
      websockets.sleep(0)
      order[#order + 1] = -mine
    end)
    begin(s.context)
    s:pump(function() return #order == 6000 end)
    local before = 3000
    for _, mine in ipairs(order) do
      if mine > 0 then
        assert.equal(before - 1, mine)
        before = mine
      end
    end
  end)

  it("in another context run at once", function()
    local s, other, order = server.start({}), server.start({}), {}
    coroutine_of(function()
      coroutine_of(function()
        order[#order + 1] = "inner"
        websockets.sleep(0)
        order[#order + 1] = "inner again"
      end)(other.context)
      other:turns(2)
      order[#order + 1] = "outer"
      websockets.sleep(0)
      order[#order + 1] = "outer again"
    end)(s.context)
    s:turns(2)
    assert.same({ "inner", "inner again", "outer", "outer again" }, order)
  end)
end)

describe("a coroutine's connection with reconnect", function()
  after_each(server.stop_all)

  local function serve()
    local s = server.start({ default = coroutine_of(function(ws)
      local name = ws:receive()
      ws:write("hello " .. name)
      if ws:receive() == "drop" then ws:close(0) end
    end) })
    return s, ("ws://127.0.0.1:%d/"):format(s.port), { reconnect = { min = 0.001, jitter = 0 } }
  end

  it("is waited for across a break", function()
    local s, url, options = serve()
    local heard = {}
    coroutine_of(function(context)
      local ws = assert(context:connect(url, options))
      ws:on_open(function(_, again) ws:write(again and "again" or "first") end)
      assert(ws:wait_open())
      heard[1] = ws:receive()
      ws:write("drop")
      heard[2] = ws:receive()
      ws:close(1000)
      heard[3] = select(2, ws:receive())
    end)(s.context)
    s:pump(function() return heard[3] end)
    assert.same({ "hello first", "hello again", "closed" }, heard)
  end)

  it("begins its on_open anew; the former one learns that its connection has ended", function()
    local s, url, options = serve()
    local heard, begun = {}, 0
    local ws = assert(s.context:connect(url, options))
    ws:on_open(coroutine_of(function(_, again)
      begun = begun + 1
      local mine = begun
      ws:write(tostring(again))
      heard[#heard + 1] = mine .. ws:receive()
      if mine == 1 then ws:write("drop") end
      heard[#heard + 1] = mine .. select(2, ws:receive(mine == 2 and 0 or nil))
    end))
    s:pump(function() return heard[4] end)
    assert.same({ "1hello false", "1closed", "2hello true", "2timeout" }, heard)
    -- It has returned.
    s:pump(function() return ws:get_socket_fd() == -1 end)
    assert.equal(2, begun)
  end)
end)
