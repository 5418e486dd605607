--- Contexts that share topics and broadcasts by a back plane.
-- @module spec.behaviour.backplane_spec
local bus = require("spec.support.bus")
local client = require("spec.support.client")
local fake_redis = require("spec.support.fake_redis")
local server = require("spec.support.server")
local websockets = require("websockets")

local BINARY = websockets.WRITE_BINARY

-- Contexts on a bus, each with connections that are subscribed to "t".
local function start(all, counts, changes, options)
  local list = {}
  for i, count in ipairs(counts) do
    local handler, log = server.recorder()
    local given = { protocols = { a = handler, b = handler }, default = handler, backplane = all:plane(changes) }
    for name, value in pairs(options or {}) do given[name] = value end
    local s, clients = server.start(given), {}
    for k = 1, count do
      clients[k] = client.open(s, "a")
      assert.is_true(log.ws[k]:subscribe("t"))
    end
    s:settle()
    list[i] = { server = s, context = s.context, clients = clients, ws = log.ws }
  end
  return list
end

local function assert_quiet(list)
  for i, one in ipairs(list) do
    one.server:settle()
    for k, each in ipairs(one.clients) do assert.is_nil(each:try_message(), ("client %d of %d"):format(k, i)) end
  end
end

local function assert_all_get(list, opcode, text)
  for _, one in ipairs(list) do
    for _, each in ipairs(one.clients) do assert.same({ opcode, text }, { each:message() }) end
  end
end

describe("a back plane of one's own", function()
  after_each(server.stop_all)

  it("brings what is published to every context, once, as text or binary", function()
    local all = bus.new()
    local list = start(all, { 2, 1, 0 })
    for i, one in ipairs(list) do
      assert.is_true(one.context:publish("t", "text " .. i))
      assert.is_true(one.context:publish("t", "\255\0" .. i, BINARY))
      all:step()
      assert_all_get(list, 1, "text " .. i)
      assert_all_get(list, 2, "\255\0" .. i)
    end
    assert_quiet(list)
  end)

  it("reaches the context itself at once, and leaves out the connection that is excepted", function()
    local all = bus.new()
    local list = start(all, { 2, 1 })
    assert.is_true(list[1].ws[1]:publish("t", "by one"))
    assert.same({ 1, "by one" }, { list[1].clients[2]:message() })
    assert_quiet(list)
    all:step()
    assert.same({ 1, "by one" }, { list[2].clients[1]:message() })
    assert_quiet(list)
  end)

  it("has channels for topics with subscribers only, and is told of changes outside of callbacks", function()
    local all = bus.new()
    local list = start(all, { 2 }, { prefix = "my:" })
    assert.same({ "open", "+ my:t:{t}" }, all.log)
    list[1].ws[1]:unsubscribe("t")
    list[1].clients[2]:close()
    list[1].server:pump(function() return all.log[3] end)
    assert.equal("- my:t:{t}", all.log[3])
    list[1].context:destroy()
    assert.equal("close", all.log[4])
    assert.is_nil(all.log[5])
  end)

  it("leaves out what is no message of this library", function()
    local all = bus.new()
    local list = start(all, { 1 })
    local receive = all.ends[1].receive
    for _, bytes in ipairs({ "", "x", ("x"):rep(12), ("x"):rep(12) .. "Zhello", ("x"):rep(12) .. "A\255" }) do
      receive("ws:t:{t}", bytes)
    end
    receive("ws:t:{other}", ("x"):rep(12) .. "Ahello")
    receive("ws:b:a", ("x"):rep(12) .. "@hello")
    assert_quiet(list)
    receive("ws:t:{t}", ("x"):rep(12) .. "A")
    assert_all_get(list, 1, "")
  end)

  it("carries the key of a message", function()
    local all = bus.new()
    local list = start(all, { 1, 1 }, nil, { topics = { t = { slow_consumer = "conflate" } } })
    assert.is_true(list[1].context:publish("t", "x", nil, { key = "share:1" }))
    assert.matches("a7:share:1x$", all.sent[1][2])
    all:step()
    assert_all_get(list, 1, "x")
  end)

  it("carries broadcasts where it is told to", function()
    local all = bus.new()
    local list = start(all, { 1, 1 }, { broadcast = true })
    assert.equal(0, list[1].context:broadcast("a", "hello"))
    all:step()
    assert_all_get(list, 1, "hello")
    assert_quiet(list)
    assert.equal(0, list[2].ws[1]:broadcast("again"))
    all:step()
    assert_all_get(list, 1, "again")
    assert.equal(0, list[2].context:broadcast("b", "other"))
    all:step()
    assert_quiet(list)
    -- Connections without subprotocol are a group, too.
    local plain = {}
    for i, one in ipairs(list) do plain[i] = client.open(one.server) end
    assert.equal(0, list[1].ws[2]:broadcast("plain"))
    all:step()
    for i = 1, 2 do assert.same({ 1, "plain" }, { plain[i]:message() }) end
    assert_quiet(list)
  end)

  it("does not carry broadcasts by default", function()
    local all = bus.new()
    local list = start(all, { 1, 1 })
    list[1].context:broadcast("a", "here")
    all:step()
    assert.same({ 1, "here" }, { list[1].clients[1]:message() })
    assert_quiet(list)
  end)

  it("tells which names are present in all contexts", function()
    local all = bus.new()
    local list = start(all, { 2, 1, 0 })
    local one, two, three = list[1], list[2], list[3]
    local function settle()
      for _ = 1, 3 do
        for _, each in ipairs(list) do each.server:settle() end
        all:step()
      end
    end
    local function assert_present(names)
      for i, each in ipairs(list) do assert.same(names, each.context:presence("t"), "context " .. i) end
    end
    assert.is_true(one.ws[1]:subscribe("t", { name = "ada" }))
    assert.same({ "ada" }, one.context:presence("t"))
    assert.is_true(two.ws[1]:subscribe("t", { name = "grace" }))
    -- It has no subscriber, and asks.
    assert.same({}, three.context:presence("t"))
    settle()
    assert_present({ "ada", "grace" })
    one.ws[2]:subscribe("t", { name = "ada" })
    one.ws[1]:unsubscribe("t")
    settle()
    assert_present({ "ada", "grace" })
    -- Another name, and the end of a connection.
    one.ws[2]:subscribe("t", { name = "linus" })
    two.clients[1]:close()
    two.server:pump(function() return two.context:subscribers("t") == 0 end)
    assert.same({}, two.context:presence("t"))
    settle()
    assert_present({ "linus" })
    assert_quiet({ one })
    one.context:destroy()
    list = { two, three }
    settle()
    assert_present({})
  end)

  it("forgets the names of a context that is gone without a word", function()
    local all = bus.new()
    local list = start(all, { 1, 1 }, { presence_timeout = 6 })
    local one, two = list[1], list[2]
    for _, each in ipairs(list) do each.server:fake_time() end
    one.ws[1]:subscribe("t", { name = "ada" })
    two.ws[1]:subscribe("t", { name = "grace" })
    local is_gone = false
    local function pass(seconds)
      for _ = 1, seconds do
        if not is_gone then one.server:advance(1) end
        two.server:advance(1)
        all:step()
      end
    end
    pass(20)
    assert.same({ "ada", "grace" }, two.context:presence("t"))
    is_gone = true
    pass(4)
    assert.same({ "ada", "grace" }, two.context:presence("t"))
    pass(5)
    assert.same({ "grace" }, two.context:presence("t"))
    -- It comes back.
    is_gone = false
    two.context.pubsub.plane:subscribed("ws:t:{t}")
    pass(2)
    assert.same({ "ada", "grace" }, two.context:presence("t"))
  end)

  it("watches a topic without subscribers only as long as it is asked for", function()
    local all = bus.new()
    local list = start(all, { 0 })
    local s = list[1].server
    s:fake_time()
    s.context:presence("far")
    s.context:presence(("x"):rep(257))
    s:settle()
    assert.same({ "open", "+ ws:t:{far}", "+ ws:p:" }, all.log)
    s:advance(50)
    s.context:presence("far")
    s:advance(11)
    s:settle()
    assert.is_nil(all.log[4])
    s:advance(61)
    s:settle()
    assert.equal("- ws:t:{far}", all.log[4])
  end)

  it("may raise: on_error hears it, and the context goes on", function()
    local all, errors = bus.new(), {}
    local function raise() error("broken", 0) end
    local list = start(all, { 1 }, { publish = raise, subscribe = raise, unsubscribe = raise, close = raise }, {
      on_error = function(err) errors[#errors + 1] = err end,
    })
    assert.is_true(list[1].context:publish("t", "x"))
    assert_all_get(list, 1, "x")
    list[1].ws[1]:unsubscribe("t")
    list[1].server:settle()
    list[1].context:destroy()
    assert.same({ "broken", "broken", "broken", "broken" }, errors)
  end)

  it("hands on strings, and nothing to a context that is destroyed", function()
    local all = bus.new()
    local list = start(all, { 1 })
    local receive = all.ends[1].receive
    assert.has_error(function() receive(1, "x") end)
    assert.has_error(function() receive("ws:t:{t}") end)
    list[1].context:destroy()
    receive("ws:t:{t}", ("x"):rep(12) .. "Ahello")
  end)
end)

describe("a back plane that cannot be reached", function()
  local fake

  after_each(function()
    server.stop_all()
    if fake then fake:close() end
    fake = nil
  end)

  it("is reported once, and subscribers of the context get what is published", function()
    fake = fake_redis.new(function() return "-ERR no\r\n" end)
    local heard, logged = {}, {}
    local handler, log = server.recorder()
    local s = server.start({
      default = handler, on_error = function(err, ws) heard[#heard + 1] = { err, ws } end,
      log = function(level, text) logged[#logged + 1] = level .. " " .. text end,
      backplane = { url = "redis://127.0.0.1:" .. fake.port, reconnect = { min = 1, max = 1, jitter = 0 } },
    })
    local turn = s.turn
    function s.turn(...)
      fake:step()
      return turn(...)
    end
    s:fake_time()
    local one = client.open(s)
    log.ws[1]:subscribe("t")
    s:pump(function() return heard[1] end)
    assert.matches("^back plane: 127.0.0.1:%d+ refused HELLO 3: ERR no %(refused%); the next try is in 1.0 s$",
      heard[1][1])
    assert.is_nil(heard[1][2])
    assert.is_true(s.context:publish("t", "here"))
    assert.same({ 1, "here" }, { one:message() })
    for i = 1, 3 do
      s:advance(1)
      s:pump(function() return logged[i] end)
      assert.matches("^warning back plane: ", logged[i])
    end
    assert.is_nil(heard[2])
    -- It is heard of again after it has been there.
    fake.answer = nil
    s:advance(1)
    s:pump(function() return logged[4] end)
    assert.equal("info back plane: connected", logged[4])
    fake:drop()
    s:pump(function() return heard[2] end)
    assert.equal("too_big", select(3, s.context:publish("t", ("x"):rep(2 ^ 24))))
  end)

  it("keeps neither run nor drain waiting, and is no connection of the context's", function()
    fake = fake_redis.new()
    local handler, log = server.recorder()
    local function start_one(options)
      local given = { default = handler, backplane = { url = "redis://127.0.0.1:" .. fake.port } }
      for name, value in pairs(options or {}) do given[name] = value end
      local s = server.start(given)
      local turn = s.turn
      function s.turn(...)
        fake:step()
        return turn(...)
      end
      s:pump(function() return s.context.pubsub.plane.carrier:is_ready() end)
      return s
    end
    local s = start_one()
    assert.equal(0, s.context.connection_count)
    local one = client.open(s)
    for ws in s.context:connections() do assert.equal(log.ws[1], ws) end
    local left
    s.context:drain(60, { on_drained = function(count) left = count end })
    assert.equal(8, (one:message()))
    one:close()
    s:pump(function() return left end)
    assert.equal(0, left)
    s = start_one({ port = 0 })
    s.context:run()
  end)

  it("goes to the log without on_error", function()
    local logged = {}
    local s = server.start({
      log = function(level, text) logged[#logged + 1] = level .. " " .. text end,
      backplane = { url = "unix:/nowhere/socket" },
    })
    s:pump(function() return logged[1] end)
    assert.matches("^error back plane: cannot connect to /nowhere/socket", logged[1])
  end)
end)
