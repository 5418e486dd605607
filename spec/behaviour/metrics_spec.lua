--- What a context counts, and how Prometheus reads it.
-- @module spec.behaviour.metrics_spec
local bus = require("spec.support.bus")
local child = require("spec.support.child")
local client = require("spec.support.client")
local fake_redis = require("spec.support.fake_redis")
local needs = require("spec.support.needs")
local peer = require("spec.support.peer")
local prometheus = require("websockets.prometheus")
local reader = require("spec.support.exposition")
local server = require("spec.support.server")
local still = require("spec.support.still")
local gettime = require("socket").gettime
local websockets = require("websockets")

local TEXT, BINARY, PING, PONG = 1, 2, 9, 10

local function start(options)
  local handler, log = server.recorder()
  options = options or {}
  options.protocols = { echo = server.echo, log = handler }
  return server.start(options), log
end

-- Which seconds a histogram has counted something for.
local function buckets_of(read)
  local list, before = {}, 0
  for _, bucket in ipairs(read.buckets) do
    if bucket.count > before then list[#list + 1] = bucket.le end
    before = bucket.count
  end
  return list
end

local function changes(s, work)
  local before = s.context:metrics()
  work()
  local after = s.context:metrics()
  local function less(way) return after[way].messages - before[way].messages, after[way].bytes - before[way].bytes end
  local received, received_bytes = less("received")
  local sent, sent_bytes = less("sent")
  return { received, received_bytes, sent, sent_bytes }
end

describe("context:metrics", function()
  after_each(server.stop_all)

  it("of a new context counts nothing and names the engine and the limits", function()
    local s = start({ max_connections = 10, max_half_open = 5 })
    local now = s.context:metrics()
    assert.equal(websockets.engine, now.engine)
    local none = { all = 0, open = 0, half_open = 0, waiting = 0, accepted = 0, turned_away = 0, opened = 0 }
    none.given_up, none.closed = 0, {}
    assert.same(none, now.connections)
    assert.same({ { messages = 0, bytes = 0 }, { messages = 0, bytes = 0 } }, { now.received, now.sent })
    assert.same({ { server = {}, client = {} }, 0, 0, 0 },
      { now.handshakes, now.dropped, now.waiting_bytes, now.unfinished_bytes })
    assert.same({ 10, 5, 268435456, 67108864 }, { now.limits.connections, now.limits.half_open,
      now.limits.waiting_bytes, now.limits.unfinished_bytes })
    assert.is_nil(now.backplane)
  end)

  it("has integers for counts, where the Lua has them", function()
    if not math.type then return pending("this Lua has no integers") end
    local s = start()
    local c = client.open(s, "echo")
    c:send(c:frame(1, "x"))
    c:message()
    -- A message that is not whole is counted.
    c:send(c:frame(1, "beginning", false))
    s:pump(function() return s.context:metrics().unfinished_bytes > 0 end)
    local function check(map, path)
      for name, value in pairs(map) do
        local here = path .. "." .. tostring(name)
        if type(value) == "table" then
          check(value, here)
        elseif type(value) == "number" and value ~= math.huge and not here:find("%.sum$") and name ~= "le" then
          assert.equal("integer", math.type(value), here)
        end
      end
    end
    check(s.context:metrics(), "metrics")
  end)

  it("counts messages and bytes in both directions, to the byte", function()
    local s = start()
    local c = client.open(s, "echo")
    assert.same({ 3, 3 * 6 + 3 * 5, 3, 3 * 2 + 3 * 5 }, changes(s, function()
      for i = 1, 3 do c:write(i % 2 + 1, "12345") end
      for _ = 1, 3 do c:message() end
    end))
    -- Many in one read.
    assert.same({ 300, 300 * 9, 300, 300 * 5 }, changes(s, function()
      c:send(c:frame(TEXT, "abc"):rep(300))
      for _ = 1, 300 do c:message() end
    end))
  end)

  it("counts a message in fragments once, when it is whole, and control frames as bytes only", function()
    local s, log = start()
    local c = client.open(s, "log")
    assert.same({ 1, 7 + 7 + 6 + 7, 1, 3 + 2 + 3 + 3 }, changes(s, function()
      c:write(TEXT, "a", false)
      c:write(PING, "p")
      c:write(0, "", false)
      c:write(0, "b")
      assert.equal(PONG, (c:message()))
      log.ws[1]:write("c", websockets.WRITE_TEXT + websockets.WRITE_NO_FIN)
      log.ws[1]:write("", websockets.WRITE_CONTINUATION + websockets.WRITE_NO_FIN)
      log.ws[1]:write("d", websockets.WRITE_CONTINUATION)
      c:read(3 + 2 + 3)
    end))
  end)

  it("counts a broadcast and a message of a topic once for each that gets it", function()
    local s, log = start()
    local list = {}
    for i = 1, 5 do
      list[i] = client.open(s, "log")
      if i > 2 then log.ws[i]:subscribe("t") end
    end
    assert.same({ 0, 0, 5 + 3, 8 * 3 }, changes(s, function()
      s.context:broadcast("log", "x")
      s.context:publish("t", "y")
      for i = 1, 5 do list[i]:message() end
      for i = 3, 5 do list[i]:message() end
      s:settle()
    end))
    local topics = s.context:metrics().topics
    assert.same({ 1, 3, 0 }, { topics.count, topics.subscriptions, topics.waiting_bytes })
    list[5]:reset()
    s:pump(function() return s.context:metrics().connections.open == 4 end)
    log.ws[3]:unsubscribe("t")
    log.ws[4]:unsubscribe("t")
    topics = s.context:metrics().topics
    assert.same({ 0, 0 }, { topics.count, topics.subscriptions })
  end)

  it("counts what is open, how it was opened and how it ended", function()
    local s, log = start()
    local list = {}
    for i = 1, 4 do list[i] = client.open(s, "log") end
    local plain = client.connect(s)
    s:pump(function() return s.context:metrics().connections.accepted == 5 end)
    local now = s.context:metrics().connections
    assert.same({ 5, 4, 4, 5, 1 }, { now.all, now.open, now.opened, now.accepted, now.half_open })
    list[1]:send_close(4001, "bye")
    list[2]:reset()
    log.ws[3]:close(1001)
    list[3]:close_code()
    list[3]:send_close(1001)
    plain:send(client.upgrade({ protocol = "other" }))
    plain:read_head()
    for _, c in ipairs({ list[1], list[3], plain }) do c:close() end
    s:pump(function() return s.context:metrics().connections.all == 1 end)
    local metrics = s.context:metrics()
    assert.same({ [4001] = 1, [1006] = 1, [1001] = 1 }, metrics.connections.closed)
    assert.same({ [101] = 4, [400] = 1 }, metrics.handshakes.server)
    assert.same({ 1, 4, 0 }, { metrics.connections.open, metrics.connections.opened, metrics.connections.half_open })
  end)

  it("counts handshakes that a hook refuses, and not plain HTTP", function()
    local s = server.start({
      default = function() end, on_handshake = function() return false, 401 end,
      on_http = function(ws) ws:respond(404, nil, "") end,
    })
    local c = client.connect(s)
    c:send(client.request("/"))
    c:read_head()
    c:send(client.upgrade({}))
    c:response()
    assert.same({ [401] = 1 }, s.context:metrics().handshakes.server)
  end)

  it("counts what a server answers to connections that this side opens", function()
    local s = start()
    local other = peer.listen(s)
    local ws, log = other:connect()
    other:accept()
    s:pump(function() return log.open == 1 end)
    other:write(TEXT, "hello")
    ws:write("back")
    other:message()
    s:pump(function() return #log.messages == 1 end)
    assert.same({ { [101] = 1 }, 1, 1, 1 }, { s.context:metrics().handshakes.client,
      s.context:metrics().connections.open, s.context:metrics().sent.messages, s.context:metrics().received.messages })
  end)

  it("tells what is unfinished, what waits and for how many, and what was dropped", function()
    local s, log = start({ slow_consumer = "drop_new", max_buffered_bytes = 100000 })
    local c = client.open(s, "log")
    c:send(c:frame(BINARY, ("x"):rep(50000)):sub(1, 20000))
    s:pump(function() return s.context:metrics().unfinished_bytes >= 19000 end)
    local refused = 0
    while refused < 2 do
      if log.ws[1]:write(("y"):rep(65536), websockets.WRITE_BINARY) ~= 0 then
        refused = refused + 1
        s.context:broadcast("log", "z")
      end
      s:turns(1)
    end
    local now = s.context:metrics()
    assert.is_true(now.waiting_bytes > 0)
    assert.equal(log.ws[1]:buffered(), now.waiting_bytes)
    assert.equal(1, now.connections.waiting)
    assert.same({ 2, 2 }, { now.dropped, s.context:dropped() })
    c:reset()
    s:pump(function() return s.context:metrics().connections.all == 0 end)
    now = s.context:metrics()
    assert.same({ 0, 0, 0 }, { now.waiting_bytes, now.connections.waiting, now.unfinished_bytes })
  end)

  it("counts connections for which there is no room", function()
    local s = start({ max_connections = 1 })
    client.open(s, "log")
    local c = client.connect(s)
    assert.matches("^HTTP/1.1 503", c:drain())
    local now = s.context:metrics().connections
    assert.same({ 1, 1 }, { now.accepted, now.turned_away })
  end)

  it("counts connections that are closed to make room for new ones", function()
    local s = start({ max_half_open = 2 })
    for i = 1, 5 do
      client.connect(s)
      s:pump(function() return s.context:metrics().connections.accepted == i end)
    end
    local now = s.context:metrics().connections
    assert.same({ 5, 3, 0, 2 }, { now.accepted, now.given_up, now.turned_away, now.half_open })
    local families = reader.read(prometheus.text(s.context))
    assert.equal(3, reader.value(families, "websockets_connections_given_up_total"))
  end)

  it("counts those that make room under max_connections", function()
    local s = start({ max_connections = 1 })
    client.connect(s)
    s:pump(function() return s.context:metrics().connections.accepted == 1 end)
    client.open(s, "log")
    local now = s.context:metrics().connections
    assert.same({ 2, 1, 0 }, { now.accepted, now.given_up, now.turned_away })
  end)

  it("raises without its context, and after it is destroyed", function()
    local s = start()
    local context = s.context
    assert.has_error(function() context.metrics() end,
      "context:metrics must be called with a colon, on a context (got no value)")
    s:stop()
    assert.has_error(function() context:metrics() end, "websocket context destroyed")
  end)
end)

describe("round trips", function()
  after_each(server.stop_all)

  it("are measured for pings of the library and of the application", function()
    local run, log, c = still.start({ ping_interval = 20 })
    still.pass(run, 20)
    assert.equal(PING, (c:message()))
    run:advance(0.2)
    c:write(PONG, "")
    run:settle()
    local read = run.context:metrics().round_trips
    assert.equal(1, read.count)
    assert.same({ 0.25 }, buckets_of(read))
    log.ws[1]:ping("mine")
    assert.same({ PING, "mine" }, { c:message() })
    c:write(PONG, "other")
    run:advance(3)
    assert.equal(1, run.context:metrics().round_trips.count)
    c:write(PONG, "mine")
    run:settle()
    read = run.context:metrics().round_trips
    assert.same({ 2, { 0.25, 5 } }, { read.count, buckets_of(read) })
  end)
end)

describe("turns", function()
  local SECONDS, WAIT_SECONDS, TRIES = 0.03, 0.06, 50

  -- A callback that takes its time.
  local function work()
    local until_time = gettime() + SECONDS
    while gettime() < until_time do end
  end

  local function assert_counted(read, before)
    local long = 0
    for _, bucket in ipairs(read.buckets) do
      if bucket.le == 0.025 then long = read.count - bucket.count end
    end
    assert.is_true(long > 0)
    assert.is_true(read.sum - before.sum >= SECONDS)
    assert.is_true(read.count > before.count)
  end

  after_each(server.stop_all)

  it("are measured without the time that they wait", function()
    local s = server.start({ default = function() end })
    local read, least = s.context:metrics().turns, math.huge
    -- A machine with much else to do makes a turn long; a wait that counts makes each one long.
    for _ = 1, TRIES do
      local before = read
      s.context:after(WAIT_SECONDS, function() end)
      s.context:service(-1)
      read = s.context:metrics().turns
      assert.equal(before.count + 1, read.count)
      least = math.min(least, read.sum - before.sum)
      if least < WAIT_SECONDS then break end
    end
    assert.is_true(least < WAIT_SECONDS, least)
    s.context:after(0.001, work)
    s.context:service(500)
    assert_counted(s.context:metrics().turns, read)
  end)

  it("are measured under run", function()
    local s = server.start({ default = function() end })
    local before = s.context:metrics().turns
    s.context:after(0.001, work)
    s.context:after(0.01, function() s.context:stop() end)
    s.context:run()
    assert_counted(s.context:metrics().turns, before)
  end)

  it("are measured under a loop that watches READ only, and what is done between them is not", function()
    local fds, log = {}, { ws = {} }
    local s = server.start({
      default = function(ws)
        log.ws[1] = ws
        ws:on_receive(work)
      end,
      on_add_fd = function(fd) fds[fd] = true end, on_del_fd = function(fd) fds[fd] = nil end,
    })
    function s:turn()
      local list = {}
      for fd in pairs(fds) do list[#list + 1] = fd end
      for _, fd in ipairs(list) do self.context:service_fd(fd, websockets.POLLIN, websockets.POLLIN) end
    end
    local c = client.open(s, {})
    local before = s.context:metrics().turns
    log.ws[1]:write("between two turns")
    assert.equal(before.count, s.context:metrics().turns.count)
    c:write(TEXT, "a")
    s:pump(function() return s.context:metrics().turns.sum - before.sum >= SECONDS end)
    assert_counted(s.context:metrics().turns, before)
  end)
end)

describe("websockets.prometheus", function()
  after_each(server.stop_all)

  -- A server with some history, and its text.
  local function scrape(options, method)
    options.default, options.on_http = function(ws) ws:on_receive(ws.write) end, websockets.prometheus()
    local s = server.start(options)
    client.open(s, {}):send_close(1000)
    s:pump(function() return s.context:metrics().connections.closed[1000] end)
    local c = client.connect(s)
    c:send(client.request("/metrics", nil, method))
    local status, headers, body = c:response(method)
    return status, body, headers, s
  end

  it("answers with what the context has counted", function()
    local status, body, headers = scrape({ compression = false })
    assert.equal(200, status)
    assert.equal("text/plain; version=0.0.4; charset=utf-8", headers["content-type"])
    local families = reader.read(body)
    assert.equal(1, reader.value(families, "websockets_info", { engine = websockets.engine }))
    assert.equal(1, reader.value(families, "websockets_closed_total", { code = "1000" }))
    assert.equal(1, reader.value(families, "websockets_handshakes_total", { role = "server", status = "101" }))
    assert.equal(1, reader.value(families, "websockets_connections"))
    assert.is_true(reader.value(families, "websockets_transferred_bytes_total", { direction = "sent" }) > 100)
  end)

  it("gives a text that is right in all that promtool passes over, with and without anything counted", function()
    reader.read((select(2, scrape({}))))
    local s = server.start({ on_http = websockets.prometheus() })
    local c = client.connect(s)
    c:send(client.request("/"))
    reader.read((select(3, c:response())))
  end)

  it("tells of a back plane, whether it can be reached and how often it was lost", function()
    local s = server.start({ backplane = bus.new():plane(), on_http = websockets.prometheus() })
    local c = client.connect(s)
    c:send(client.request("/"))
    local families = reader.read((select(3, c:response())))
    assert.equal(0, reader.value(families, "websockets_backplane_losses_total"))
    -- One of the application's does not tell whether it can be reached.
    assert.is_nil(families.websockets_backplane_up)
  end)

  it("tells whether Redis can be reached, and how often it was lost", function()
    local fake = fake_redis.new()
    finally(function() fake:close() end)
    local s = server.start({
      on_error = function() end,
      backplane = { url = "redis://127.0.0.1:" .. fake.port, reconnect = { min = 0.01, max = 0.01, jitter = 0 } },
    })
    local turn = s.turn
    function s.turn(...)
      fake:step()
      return turn(...)
    end
    local function state() return s.context:metrics().backplane end
    assert.same({ is_up = false, losses = 0, refused = 0 }, state())
    s:pump(function() return state().is_up end)
    fake:drop()
    s:pump(function() return state().losses == 1 end)
    s:pump(function() return state().is_up end)
    local families = reader.read(prometheus.text(s.context))
    assert.same({ 1, 1 }, { reader.value(families, "websockets_backplane_up"),
      reader.value(families, "websockets_backplane_losses_total") })
    -- Its connection is none of the context's.
    assert.same({ 0, 0 }, { s.context:metrics().connections.all, s.context:metrics().connections.opened })
  end)

  it("answers HEAD without the text, 405 to other methods", function()
    local status, body = scrape({}, "HEAD")
    assert.equal(200, status)
    assert.is_true(body == nil or body == "")
    local refused, _, headers = scrape({}, "DELETE")
    assert.same({ 405, "GET, HEAD" }, { refused, headers.allow })
  end)

  it("serves the metrics of another context, and answers 503 when that is destroyed", function()
    local measured = websockets.context({ port = "any", interf = "127.0.0.1", max_half_open = 7 })
    local s = server.start({ on_http = websockets.prometheus(measured) })
    local c = client.connect(s)
    c:send(client.request("/"))
    local families = reader.read((select(3, c:response())))
    assert.equal(7, reader.value(families, "websockets_connections_half_open_limit"))
    measured:destroy()
    c:send(client.request("/"))
    assert.equal(503, (c:response()))
  end)

  it("raises for anything but a context", function()
    assert.has_error(function() websockets.prometheus(1) end,
      "bad argument #1 to 'prometheus' (context expected, got 1)")
  end)

  it("gives a text that promtool takes", function()
    local lacking = needs.reason("promtool")
    if lacking then return pending(lacking) end
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write((select(2, scrape({}))))
    file:close()
    local said, code = child.run("promtool check metrics < " .. child.quote(path) .. " 2>&1")
    os.remove(path)
    assert.same({ "", 0 }, { said, code })
  end)
end)
