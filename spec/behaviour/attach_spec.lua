--- A context that is attached to an event loop by a driver.
-- @module spec.behaviour.attach_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local loops = require("spec.support.loops")
local ports = require("spec.support.ports")
local server = require("spec.support.server")
local socket = require("socket")
local stderr = require("spec.support.stderr")
local websockets = require("websockets")

local BIG = ("x"):rep(12 * 1024 * 1024)

local nothing = function() end

local function driver(fields)
  local made = { watch = nothing, alarm = nothing }
  for name, value in pairs(fields or {}) do made[name] = value end
  return made
end

describe("an attached context", function()
  after_each(server.stop_all)

  it("serves handshakes, messages, broadcasts and ends", function()
    local handler, log = server.recorder(server.echo)
    local s, host = loops.attached({ protocols = { a = handler } })
    local c, d = client.open(s, "a"), client.open(s, "a")
    c:text("x")
    assert.same({ 1, "x" }, { c:message() })
    s.context:broadcast("a", "all")
    assert.same({ 1, "all" }, { d:message() })
    c:send_close(1000)
    assert.equal(1000, (c:close_code()))
    d:close()
    s:pump(function() return #log.closed == 2 end)
    assert.equal(1, host:watched())
    assert.is_true(host.is_open)
  end)

  it("tells of everything that was there before: a listener, open, full and paused connections", function()
    local handler, log = server.recorder(server.echo)
    local s = server.start({ protocols = { a = handler } })
    local idle, full, paused = client.open(s, "a"), client.open(s, "a"), client.open(s, "a")
    log.ws[2]:write(BIG)
    log.ws[3]:rx_flow_control(false)
    local host = loops.attach(s.context)
    function s.turn(_, ms) host:turn(ms) end
    assert.equal(server.is_native and 1 or 3, host:watched())
    if not server.is_native then
      assert.same({ read = true, write = true }, host.modes[log.ws[2]:get_socket_fd()])
      assert.is_nil(host.modes[log.ws[3]:get_socket_fd()])
    end
    idle:text("one")
    assert.same({ 1, "one" }, { idle:message() })
    assert.same({ 1, BIG }, { full:message() })
    paused:text("two")
    log.ws[3]:rx_flow_control(true)
    assert.same({ 1, "two" }, { paused:message() })
  end)

  it("tells of a client that is connecting to several addresses", function()
    local context = websockets.context({})
    local ws, closed = context:connect("ws://127.0.0.1:" .. ports.refusing()), nil
    ws:on_closed(function(_, _, _, _, why) closed = why end)
    local host = loops.attach(context)
    assert.equal(1, host:watched())
    for _ = 1, 1000 do
      if closed then break end
      host:turn(10)
    end
    assert.equal("refused", closed)
    assert.equal(0, host:watched())
    context:destroy()
  end)

  it("tells of what begins later: connections to others, timers", function()
    local s = server.start({ default = server.echo })
    local context = websockets.context({})
    local host = loops.attach(context)
    assert.equal(0, host:watched())
    local got
    local ws = context:connect("ws://127.0.0.1:" .. s.port)
    ws:on_open(function() ws:write("hello") end)
    ws:on_receive(function(_, data) got = data end)
    s:pump(function()
      host:turn(0)
      return got
    end)
    ws:close()
    s:pump(function()
      host:turn(0)
      return host:watched() == 0
    end, "nothing to be watched")
    assert.is_nil(host.due)
    context:after(0.01, function() got = "late" end)
    local rounds = 0
    while got ~= "late" do
      rounds = rounds + 1
      host:turn(1000)
    end
    assert.is_true(rounds <= 3)
    assert.equal(0, host:watched())
    context:destroy()
  end)

  it("is told of a connection that fails at once without another event", function()
    local context = websockets.context({})
    local host, why = loops.attach(context), nil
    context:connect("ws://127.0.0.1:" .. ports.refusing()):on_closed(function(_, _, _, _, word) why = word end)
    for _ = 1, 100 do
      if why then break end
      host:turn(1000)
    end
    assert.equal("refused", why)
    context:destroy()
  end)

  it("sets its alarm anew after it was due, also for the same time", function()
    local s, host = loops.attached({})
    local fired = 0
    s.context:every(0.01, function() fired = fired + 1 end)
    -- A loop that has told of the alarm has forgotten it.
    host.due = nil
    host.attachment:due()
    assert.equal(server.is_native, host.due == nil)
    for _ = 1, 50 do
      if fired == 3 then break end
      host:turn(1000)
    end
    assert.equal(3, fired)
  end)

  it("serves a slow reader's message and does not spin while it waits", function()
    local ws, drained
    local s, host = loops.attached({ protocols = { a = function(it)
      ws = it
      ws:on_drain(function() drained = true end)
    end } })
    local c = client.open(s, "a")
    ws:write(BIG)
    s:calm(ws)
    local ready = host.ready
    for _ = 1, 5 do host:turn(1) end
    assert.equal(ready, host.ready)
    assert.same({ 1, BIG }, { c:message() })
    s:pump(function() return drained end)
  end)

  it("wakes no loop while it is idle", function()
    local s, host = loops.attached({ default = server.echo, ping_interval = false })
    client.open(s)
    s:settle()
    local ready, calls = host.ready, host.calls
    assert.is_nil(host.due)
    for _ = 1, 5 do host:turn(2) end
    assert.same({ ready, calls }, { host.ready, host.calls })
  end)

  it("watches nothing after detach, and goes on by service or with another loop", function()
    local s, host = loops.attached({ default = server.echo })
    local c = client.open(s)
    host.attachment:detach()
    assert.same({ {}, true, true }, { host.modes, host.is_closed, host.is_open })
    assert.is_nil(host.due)
    s.turn = nil
    c:text("by service")
    assert.same({ 1, "by service" }, { c:message() })
    assert.equal(0, host:watched())
    host.attachment:detach()
    local other = loops.attach(s.context)
    host.attachment:detach()
    host.attachment:ready(-1)
    function s.turn(_, ms) other:turn(ms) end
    c:text("by another")
    assert.same({ 1, "by another" }, { c:message() })
    assert.equal(0, host:watched())
  end)

  it("watches nothing after destroy, and the driver hears of that before any descriptor is closed", function()
    local s, host = loops.attached({ default = server.echo })
    client.open(s)
    local ws = s.context:connect("ws://127.0.0.1:" .. s.port)
    s.context:destroy()
    assert.same({ {}, true, true }, { host.modes, host.is_closed, host.is_open })
    assert.is_nil(host.due)
    assert.equal(-1, ws:get_socket_fd())
    host.attachment:ready(0)
    host.attachment:due()
    host.attachment:detach()
  end)

  it("may be destroyed and detached inside a callback", function()
    for _, name in ipairs({ "destroy", "detach" }) do
      local s, host
      s, host = loops.attached({ default = function(ws)
        ws:on_receive(function()
          if name == "destroy" then s.context:destroy() else host.attachment:detach() end
        end)
      end })
      client.open(s):text("go")
      s:pump(function() return host:watched() == 0 end)
      assert.is_true(host.is_closed)
    end
  end)

  it("may be attached inside a callback", function()
    local host
    local s = server.start({ default = function(ws)
      server.echo(ws)
      host = host or loops.attach(ws.context)
    end })
    local c = client.open(s)
    function s.turn(_, ms) host:turn(ms) end
    c:text("x")
    assert.same({ 1, "x" }, { c:message() })
  end)

  it("is not served inside of its callbacks, and nothing raises there", function()
    local depth, deepest = 0, 0
    local s, host, c
    s, host = loops.attached({ default = function(ws)
      ws:on_receive(function(_, data)
        depth = depth + 1
        deepest = math.max(deepest, depth)
        if data == "1" then c.connection:send(c:frame(1, "3")) end
        local ready = 0
        for _ = 1, 5 do ready = ready + host:turn(2) end
        -- What is ready is told once, and not watched until the callback has returned.
        assert(ready == (data == "1" and 1 or 0))
        host.attachment:due()
        assert(inside.is_busy(s.context))
        depth = depth - 1
        ws:write(data)
      end)
    end })
    c = client.open(s)
    c.connection:send(c:frame(1, "1") .. c:frame(1, "2"))
    for _, text in ipairs({ "1", "2", "3" }) do assert.same({ 1, text }, { c:message() }) end
    assert.equal(1, deepest)
    assert.equal(server.is_native and 1 or 2, host:watched())
  end)
end)

describe("an error of a callback of an attached context", function()
  after_each(server.stop_all)

  local function raise(options)
    options.default = function(ws)
      ws:on_receive(function(_, data)
        if data == "raise" then error("on purpose", 0) end
        ws:write(data)
      end)
    end
    local s, host = loops.attached(options)
    local c = client.open(s)
    c:text("raise")
    c:text("on")
    assert.same({ 1, "on" }, { c:message() })
    assert.is_true(host:watched() > 0)
  end

  it("goes to on_error, and the loop goes on", function()
    local heard = {}
    raise({ on_error = function(err) heard[#heard + 1] = err end })
    assert.same({ "on purpose" }, heard)
  end)

  it("goes to the log where there is no on_error", function()
    local heard = {}
    raise({ log = function(level, text) if level == "error" then heard[#heard + 1] = text end end })
    assert.same({ "on purpose" }, heard)
  end)

  it("goes to stderr where there is neither, and so does one of on_error where there is no log", function()
    assert.same({ "websockets: on purpose" }, stderr.of(function() raise({}) end))
    assert.same({ "websockets: there too" }, stderr.of(function()
      raise({ on_error = function() error("there too", 0) end })
    end))
    assert.same({}, stderr.of(function() raise({ on_error = function() end }) end))
    assert.same({}, stderr.of(function() raise({ log = function() end }) end))
  end)

  it("of on_error itself goes to the log", function()
    local heard = {}
    raise({
      on_error = function() error("there too", 0) end,
      log = function(level, text) if level == "error" then heard[#heard + 1] = text end end,
    })
    assert.same({ "there too" }, heard)
  end)

  it("and one of the driver is told in the same way", function()
    local heard = {}
    local s = server.start({ on_error = function(err) heard[#heard + 1] = err end })
    local attachment = s.context:attach(driver({ watch = function() error("no room", 0) end }))
    assert.same({ "no room" }, heard)
    attachment:detach()
    local other = server.start({})
    assert.has_error(function() other.context:attach(driver({ watch = function() error("no room", 0) end })) end,
      "no room")
    other.context:attach(driver()):detach()
  end)
end)

describe("the limit of a driver", function()
  after_each(server.stop_all)

  -- With the accelerator it watches one descriptor.
  if server.is_native then return end

  it("keeps descriptors from the loop that it cannot watch", function()
    local s = server.start({ on_http = function(ws) ws:respond(200) end })
    inside.limit_poller(s.context, 1)
    local host = loops.attach(s.context, { limit = 5 })
    function s.turn(_, ms) host:turn(ms) end
    local c = client.connect(s)
    c:send(client.request("/"))
    assert.equal(503, (c:read_head()))
    host.attachment:detach()
    host = loops.attach(s.context)
    c = client.connect(s)
    c:send(client.request("/"))
    assert.equal(200, (c:read_head()))
  end)
end)

describe("context:attach", function()
  after_each(server.stop_all)

  it("raises for a wrong driver", function()
    local context = websockets.context({})
    for _, case in ipairs({
      { nil, "driver with functions watch and alarm expected, got no value" },
      { {}, "got watch = no value" }, { { watch = nothing }, "got alarm = no value" },
      { driver({ start = nothing, wait = nothing }), "start, running, wait and wake expected, got wake = no value" },
      { driver({ closed = 1 }), "got closed = 1" }, { driver({ limit = "x" }), 'limit is a number above 0 expected' },
    }) do
      assert.error_matches(function() context:attach(case[1]) end, case[2], 1, true)
    end
    assert.error_matches(function() context.attach(driver()) end, "must be called with a colon")
    context:destroy()
    assert.has_error(function() context:attach(driver()) end)
  end)

  it("raises where a context is attached already, or tells a loop by its options", function()
    local context = websockets.context({})
    local attachment = context:attach(driver())
    assert.error_matches(function() context:attach(driver()) end, "attached to a loop already")
    assert.error_matches(function() attachment.ready() end, "must be called with a colon")
    attachment:detach()
    context:attach(driver())
    context:destroy()
    context = websockets.context({ on_add_fd = nothing })
    assert.error_matches(function() context:attach(driver()) end, "a context with 'on_add_fd' cannot be attached")
    context:destroy()
  end)

  it("shows what it gives as an attachment", function()
    local context = websockets.context({})
    assert.matches("^attachment 0x", tostring(context:attach(driver())))
    context:destroy()
  end)
end)

describe("context:selectable", function()
  after_each(server.stop_all)

  it("gives new lists of objects that select takes, among which a loop may put its own", function()
    local s = server.start({ default = server.echo })
    local reads, writes = s.context:selectable()
    assert.same({ 1, 0 }, { #reads, #writes })
    reads[2] = "mine"
    client.open(s)
    reads, writes = s.context:selectable()
    assert.same({ server.is_native and 1 or 2, 0 }, { #reads, #writes })
    local can_read = socket.select(reads, writes, 0)
    assert.equal(0, #can_read)
    s.clients[1]:text("x")
    assert.same({ 1, "x" }, { s.clients[1]:message() })
  end)

  it("tells of room to write, so that a full socket is not asked again and again", function()
    local ws
    local s = server.start({ default = function(it) ws = it end, ping_interval = false })
    client.open(s)
    ws:write(BIG)
    s:calm(ws)
    local reads, writes = s.context:selectable()
    assert.equal(server.is_native and 0 or 1, #writes)
    assert.equal(0, #socket.select(reads, writes, 0))
    local seconds = s.context:timeout()
    assert.is_true(seconds == nil or seconds > 1)
  end)

  it("gives nothing while a context is being destroyed, and raises afterwards", function()
    local s
    s = server.start({ default = function(ws)
      ws:on_closed(function() s.counts = { #s.context:selectable() } end)
    end })
    client.open(s)
    s.context:destroy()
    assert.same({ 0 }, s.counts)
    assert.has_error(function() s.context:selectable() end, "websocket context destroyed")
  end)
end)
