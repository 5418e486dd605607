--- What a turn does for each connection, and that none can begin inside a callback.
-- @module spec.behaviour.turn_spec
local socket = require("socket")
local server = require("spec.support.server")
local client = require("spec.support.client")
local inside = require("spec.support.inside")

-- Options whose every callback does what `try` makes for its name.
local function trying(try)
  return {
    protocols = { a = function(ws)
      try("connect")()
      ws:on_receive(function()
        try("on_receive")()
        error("x")
      end)
      ws:on_closed(try("on_closed"))
      ws:on_broadcast(try("on_broadcast"))
      ws:on_pong(try("on_pong"))
      ws:on_drain(try("on_drain"))
    end },
    on_http = function(ws)
      try("on_http")()
      ws:respond(200)
    end,
    on_add_fd = try("on_add_fd"), on_del_fd = try("on_del_fd"), on_set_mode_fd = try("on_set_mode_fd"),
    on_clear_mode_fd = try("on_clear_mode_fd"), on_error = try("on_error"), log = try("log"),
    origins = function()
      try("origins")()
      return true
    end,
  }
end

describe("service inside a callback", function()
  after_each(server.stop_all)

  it("raises in every kind of callback, and the turn goes on", function()
    local s, opened, refused = nil, nil, {}
    local options = trying(function(name)
      return function()
        if not s then return end
        for _, call in ipairs({ "service", "service_fd", "run" }) do
          local is_good, err = pcall(s.context[call], s.context, 0)
          refused[name] = refused[name] ~= false and not is_good and err:find("inside a callback", 1, true) ~= nil
        end
      end
    end)
    local connect = options.protocols.a
    function options.protocols.a(ws)
      opened = ws
      connect(ws)
    end
    s = server.start(options)
    local c, h = client.open(s, "a"), client.connect(s)
    h:send(client.request("/"))
    h:response()
    c:text("x")
    c:write(10, "x")
    s.context:broadcast("a", "x")
    s:settle()
    opened:write(("x"):rep(12 * 1024 * 1024), 1)
    c:message()
    s:settle()
    c:close()
    s:settle()
    assert.same({
      connect = true, on_receive = true, on_closed = true, on_broadcast = true, on_pong = true, on_drain = true,
      on_http = true, on_add_fd = true, on_del_fd = true, on_set_mode_fd = true, on_clear_mode_fd = true,
      on_error = true, origins = true,
    }, refused)
  end)
end)

describe("a turn", function()
  after_each(server.stop_all)

  it("serves each connection once: none that floods holds up another", function()
    local order = {}
    local s = server.start({ protocols = { a = function(ws)
      ws:on_receive(function(_, data) order[#order + 1] = data end)
    end } })
    local flood, quiet = client.open(s, "a"), client.open(s, "a")
    flood.connection:send(flood:frame(1, "f"):rep(5000))
    quiet.connection:send(quiet:frame(1, "q"))
    local at
    s:pump(function()
      for i = 1, #order do if order[i] == "q" then at = i end end
      return at
    end)
    assert.is_true(at < 1000, "a batch and no more comes before")
    s:pump(function() return #order == 5001 end)
  end)

  it("waits for nothing while messages that have come are still to be served", function()
    for _, ms in ipairs({ -1, 15000 }) do
      local count = 0
      local s = server.start({ handshake_timeout = 15, protocols = { a = function(ws)
        ws:on_receive(function() count = count + 1 end)
      end } })
      local flood = client.open(s, "a")
      -- Its timer ends a wait that should not be.
      client.connect(s)
      s:settle()
      flood.connection:send(flood:frame(1, "f"):rep(3000))
      local before = socket.gettime()
      repeat s.context:service(ms) until count == 3000 or socket.gettime() - before > 14
      assert.equal(3000, count, ms .. " ms")
    end
  end)

  it("answers sixteen pipelined messages in one send", function()
    local handler, log = server.recorder(server.echo)
    local s = server.start({ protocols = { echo = handler } })
    local c = client.open(s, "echo")
    local sends = inside.count_sends(s.context, log.ws[1])
    c:send(c:frame(1, "x"):rep(16))
    for _ = 1, 16 do assert.same({ 1, "x" }, { c:message() }) end
    assert.equal(1, sends())
  end)

  it("is not suspended by a callback that yields: that is an error of the callback, and the others go on", function()
    local errors, heard = {}, {}
    local s = server.start({
      on_error = function(err) errors[#errors + 1] = tostring(err) end,
      protocols = { a = function(ws)
        ws:on_receive(function(_, data)
          if data == "yield" then coroutine.yield() end
          heard[#heard + 1] = data
        end)
      end },
    })
    local c = client.open(s, "a")
    c:text("yield")
    c:text("next")
    local thread = coroutine.create(function()
      for _ = 1, 100 do
        s.context:service(10)
        if heard[1] then return "done" end
      end
    end)
    assert.same({ true, "done" }, { coroutine.resume(thread) })
    assert.same({ "next" }, heard)
    assert.equal(1, #errors)
    assert.truthy(errors[1]:find("yield"))
  end)

  it("messages written outside of it leave at once", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    local c = client.open(s, "a")
    log.ws[1]:write("now")
    function s.turn() end
    assert.same({ 1, "now" }, { c:message() })
  end)

  it("wakes for its own timers, few times for each, and for none that has fired", function()
    local s = server.start({ handshake_timeout = 0.05 })
    for _ = 1, 3 do
      client.connect(s)
      s:pump(function() return inside.connections(s.context) == 1 end, "a connection")
      local waits = 0
      repeat
        s.context:service(-1)
        waits = waits + 1
      until inside.connections(s.context) == 0 or waits == 100
      assert.is_true(waits < 100, waits .. " waits")
      local before = socket.gettime()
      s.context:service(60)
      s.context:service(60)
      assert.is_true(socket.gettime() - before > 0.05)
    end
  end)

  it("past max_buffered_total_bytes passes over a largest queue that has nothing to drop", function()
    local MIB = 1024 * 1024
    for _, policy in ipairs({ "drop_old", "drop_new" }) do
      local handler, log = server.recorder()
      local s = server.start({ protocols = { a = handler }, slow_consumer = policy })
      client.open(s, "a")
      client.open(s, "a")
      local largest, other = log.ws[1], log.ws[2]
      largest:write(("x"):rep(14 * MIB), 1)
      s:settle()
      local begun, piece = largest:buffered(), ("y"):rep(MIB)
      inside.settings(s.context).max_buffered_total_bytes = begun
      for _ = 1, 40 do
        other:write(piece, 1)
        s:settle()
      end
      assert.is_true(largest:buffered() > begun / 2)
      assert.is_true(other:buffered() <= 2 * MIB, policy)
    end
  end)
end)
