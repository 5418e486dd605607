--- Timers of a context, and when `run` has nothing left to do.
-- @module spec.behaviour.timers_spec
local client = require("spec.support.client")
local ports = require("spec.support.ports")
local server = require("spec.support.server")
local socket = require("socket")
local steps = require("spec.support.steps")
local websockets = require("websockets")

-- A context that listens nowhere, in the shape that `server.start` gives.
local function start(options)
  options = options or {}
  options.port = options.port or 0
  return server.start(options)
end

-- With its position, which `error_matches` takes away.
local function raised(call) return select(2, pcall(call)) end

describe("context:after", function()
  after_each(server.stop_all)

  it("calls its function once, when the time has come, with the timer", function()
    local s, heard = start(), {}
    s:fake_time()
    local timer = s.context:after(2, function(...) heard[#heard + 1] = { ... } end)
    s:advance(1.99)
    assert.same({}, heard)
    s:advance(0.01)
    assert.equal(1, #heard)
    assert.equal(timer, heard[1][1])
    s:advance(100)
    assert.equal(1, #heard)
    assert.matches("^timer 0x", tostring(timer))
  end)

  it("calls in the order of the times, and for one time in the order of the calls", function()
    local s, heard = start(), {}
    s:fake_time()
    for _, seconds in ipairs({ 3, 1, 2, 1, 0 }) do
      s.context:after(seconds, function() heard[#heard + 1] = seconds .. "@" .. #heard end)
    end
    s:advance(10)
    assert.same({ "0@0", "1@1", "1@2", "2@3", "3@4" }, heard)
  end)

  it("with 0 seconds calls in the next turn, never inside of the call, and lets sockets be served between", function()
    local s, calls = start({ port = "any", on_http = function(ws) ws:respond(200) end }), 0
    local function again()
      calls = calls + 1
      s.context:after(0, again)
    end
    again()
    assert.equal(1, calls)
    s:turns(3)
    assert.equal(4, calls)
    local c = client.connect(s)
    c:send(client.request("/"))
    assert.equal(200, (c:response()))
  end)

  it("counts from the call, also late in a turn", function()
    local s, due = start(), nil
    s:fake_time()
    s.context:after(1, function()
      s.fake_now = s.fake_now + 5
      s.context:after(1, function() due = s.fake_now end)
    end)
    s:advance(1)
    s:advance(0.5)
    assert.is_nil(due)
    s:advance(0.5)
    assert.is_number(due)
  end)

  it("sends what its function writes in the same turn", function()
    local handler, log = server.recorder()
    local s = start({ port = "any", protocols = { a = handler } })
    local c = client.open(s, "a")
    s.context:after(0, function() log.ws[1]:write("from a timer") end)
    s:turns(1)
    assert.same({ 1, "from a timer" }, { c:message() })
  end)
end)

describe("context:every", function()
  after_each(server.stop_all)

  it("calls its function at whole multiples of the time, however late the turns are", function()
    local s, times = start(), {}
    s:fake_time()
    local begun = s.fake_now
    s.context:every(1, function() times[#times + 1] = s.fake_now - begun end)
    for _ = 1, 10 do s:advance(0.75) end
    -- Due at 1, 2, 3 …, seen at the next multiple of 0.75.
    assert.equal(7, #times)
    for i, time in ipairs(times) do assert.is_true(time >= i - 1e-6 and time < i + 0.75, time) end
  end)

  it("leaves out what could not be called in time, and keeps to the multiples", function()
    local s, calls = start(), 0
    s:fake_time()
    s.context:every(1, function() calls = calls + 1 end)
    s:advance(100.5)
    s:turns(10)
    assert.equal(1, calls)
    s:advance(0.4)
    assert.equal(1, calls)
    s:advance(0.1)
    assert.equal(2, calls)
  end)

  it("is not called without end where its function takes longer than its time", function()
    local s, calls = start(), 0
    s:fake_time()
    s.context:every(1, function()
      calls = calls + 1
      s.fake_now = s.fake_now + 3.5
    end)
    s:advance(1)
    s:turns(5)
    assert.equal(1, calls)
    s:advance(0.5)
    assert.equal(2, calls)
  end)

  it("goes on after an error, which on_error hears", function()
    local heard = {}
    local s = start({ on_error = function(...) heard[#heard + 1] = { ... } end })
    s:fake_time()
    s.context:every(1, function() error("oops", 0) end)
    s.context:after(1, function() error("once", 0) end)
    for _ = 1, 3 do s:advance(1) end
    assert.same({ { "oops" }, { "once" }, { "oops" }, { "oops" } }, heard)
  end)

  it("goes on after an error that leaves service", function()
    local s, calls = start(), 0
    s:fake_time()
    s.context:every(1, function()
      calls = calls + 1
      error("oops", 0)
    end)
    for i = 1, 3 do
      assert.has_error(function() s:advance(1) end, "oops")
      assert.equal(i, calls)
    end
  end)

  it("takes a time that is too short for the clock", function()
    local s, calls = start(), 0
    s.context:every(1e-300, function() calls = calls + 1 end)
    s:turns(3)
    assert.is_true(calls >= 1 and calls <= 3, calls)
  end)
end)

describe("timer:cancel", function()
  after_each(server.stop_all)

  it("has the function not called any more, and may be called again, before and after", function()
    local s, calls = start(), 0
    s:fake_time()
    local function count() calls = calls + 1 end
    for _, name in ipairs({ "after", "every" }) do
      local timer = s.context[name](s.context, 1, count)
      assert.is_nil(timer:cancel())
      timer:cancel()
      s:advance(5)
      assert.equal(0, calls)
    end
    local timer = s.context:after(1, count)
    s:advance(1)
    timer:cancel()
    s:advance(5)
    assert.equal(1, calls)
  end)

  it("works from the function itself, and from that of another timer which is due too", function()
    local s, calls, other = start(), 0, nil
    s:fake_time()
    s.context:every(1, function(timer)
      calls = calls + 1
      timer:cancel()
      other:cancel()
      timer:cancel()
    end)
    other = s.context:every(1, function() calls = calls + 100 end)
    for _ = 1, 3 do s:advance(1) end
    assert.equal(1, calls)
  end)

  it("keeps the function no longer than it can be called", function()
    local s, kept = start(), setmetatable({}, { __mode = "v" })
    local function add(name)
      local big = {}
      kept[#kept + 1] = big
      return s.context[name](s.context, 0, function() return big end)
    end
    local fired, cancelled = add("after"), add("after")
    cancelled:cancel()
    s:turns(2)
    -- What LuaJIT has compiled refers to the functions that were called meanwhile.
    if jit then jit.flush() end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(kept))
    fired:cancel()
  end)
end)

describe("a timer", function()
  after_each(server.stop_all)

  it("needs a number of seconds and a function, at the caller's line", function()
    local s = start()
    local function f() end
    for _, seconds in ipairs({ -1, 0 / 0, math.huge, "1", {} }) do
      assert.matches("timers_spec.lua:%d+: bad argument #1 to 'after' %(number of seconds from 0 expected, got ",
        raised(function() s.context:after(seconds, f) end))
    end
    for _, seconds in ipairs({ 0, -1, 0 / 0, math.huge }) do
      assert.matches("timers_spec.lua:%d+: bad argument #1 to 'every' %(number of seconds above 0 expected, got ",
        raised(function() s.context:every(seconds, f) end))
    end
    assert.error_matches(function() s.context:after() end, "bad argument #1 to 'after' .*got no value")
    assert.error_matches(function() s.context:after(1) end, "bad argument #2 to 'after' %(function expected")
    assert.error_matches(function() s.context:every(1, "f") end, "bad argument #2 to 'every' %(function expected")
    assert.error_matches(function() s.context.after(1, f) end, "context:after must be called with a colon")
    assert.error_matches(function() s.context:after(1, f).cancel() end, "timer:cancel must be called with a colon")
  end)

  it("is not made in a destroyed context, and never called in one that is being destroyed", function()
    local s, calls, late = start({ port = "any" }), 0, nil
    s:fake_time()
    local function count() calls = calls + 1 end
    local timer = s.context:every(0.001, count)
    s.context:after(0, function()
      s.context:destroy()
      late = s.context:after(0, count)
    end)
    s:advance(1)
    timer:cancel()
    late:cancel()
    assert.matches("timers_spec.lua:%d+: websocket context destroyed",
      raised(function() s.context:after(1, count) end))
    assert.error_matches(function() s.context:every(1, count) end, "websocket context destroyed")
    assert.equal(0, calls)
  end)

  it("costs a turn the same among twenty thousand others that are not due", function()
    local s = start()
    s:fake_time()
    local function f() end
    s.context:every(1, f)
    local function turn()
      s.fake_now = s.fake_now + 1
      s.context:service(0)
      s.context:timeout()
    end
    turn()
    local few = steps.count(turn)
    for i = 1, 20000 do s.context:after(1000 + i % 977, f) end
    turn()
    local many = steps.count(turn)
    -- A heap of twenty thousand is fifteen deep.
    assert.is_true(many < few + 1500, few .. " steps, then " .. many)
  end)

  it("ends the wait of service and shows in timeout", function()
    local s, calls = start(), 0
    assert.is_nil(s.context:timeout())
    s:fake_time()
    s.context:after(0.02, function() calls = calls + 1 end)
    for _, rest in ipairs({ 0.02, 0.005, 0 }) do
      local seconds = s.context:timeout()
      assert.is_true(math.abs(seconds - rest) < 1e-5, seconds)
      s.fake_now = s.fake_now + 0.015
    end
    s, calls = start(), 0
    s.context:after(0.02, function() calls = calls + 1 end)
    local begun = socket.gettime()
    s.context:service(-1)
    if calls == 0 then s.context:service(-1) end
    assert.equal(1, calls)
    assert.is_true(socket.gettime() - begun < 10)
    assert.is_nil(s.context:timeout())
  end)

  it("wakes a loop that watches one descriptor, also when it was made or cancelled outside of a turn", function()
    local s, calls = start(), 0
    local fd = s.context:get_fd()
    if not fd then return assert.equal("pure", websockets.engine) end
    local watched = { getfd = function() return fd end }
    local function is_ready(seconds) return #socket.select({ watched }, nil, seconds) == 1 end
    local timer = s.context:after(0.01, function() end)
    timer:cancel()
    assert.is_false(is_ready(0.1))
    s.context:after(0.01, function() calls = calls + 1 end)
    assert.is_true(is_ready(10))
    s:pump(function() return calls == 1 end)
    assert.is_false(is_ready(0))
  end)

  it("is called under a loop that watches READ only", function()
    local watched, calls = {}, 0
    local s = start({
      port = "any",
      on_add_fd = function(fd) watched[fd] = { getfd = function() return fd end } end,
      on_del_fd = function(fd) watched[fd] = nil end,
    })
    s.context:every(0.01, function() calls = calls + 1 end)
    local deadline = socket.gettime() + 20
    while calls < 3 and socket.gettime() < deadline do
      local list = {}
      for _, one in pairs(watched) do list[#list + 1] = one end
      -- With the accelerator the descriptor of the context tells; else the loop comes back in time.
      local wait = server.is_native and 10 or s.context:timeout()
      local ready = socket.select(list, nil, wait)
      for _, one in ipairs(ready) do s.context:service_fd(one.getfd()) end
      if not server.is_native then s.context:service_fd(-1) end
    end
    assert.is_true(calls >= 3)
  end)
end)

describe("context:run", function()
  after_each(server.stop_all)

  it("returns at once where there is no listener, connection or timer", function()
    assert.is_nil(start().context:run())
  end)

  it("returns after the last timer", function()
    local s, calls = start(), 0
    s.context:every(0.001, function(timer)
      calls = calls + 1
      if calls == 3 then
        timer:cancel()
        s.context:after(0.001, function() calls = calls + 10 end)
      end
    end)
    s.context:run()
    assert.equal(13, calls)
  end)

  it("returns after the last connection has ended, and serves on with a listener until it is stopped", function()
    local s, closed, stopped = start({ port = "any", on_http = function(ws) ws:respond(404) end }), 0, false
    local ws = s.context:connect(("ws://127.0.0.1:%d/"):format(s.port))
    ws:on_closed(function()
      closed = closed + 1
      s.context:after(0.05, function()
        stopped = true
        s.context:stop()
      end)
    end)
    s.context:run()
    assert.same({ 1, true }, { closed, stopped })
    local lonely = start()
    lonely.context:connect(("ws://127.0.0.1:%d/"):format(ports.refusing())):on_closed(function()
      closed = closed + 1
    end)
    lonely.context:run()
    assert.equal(2, closed)
  end)
end)
