--- Topics: which connections get what is published, in which order, and what ends a subscription.
-- @module spec.behaviour.topics_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local steps = require("spec.support.steps")
local websockets = require("websockets")

local BINARY = websockets.WRITE_BINARY

-- A server with so many open connections, all subscribed to "t" and then to what is named.
local function start(count, options, ...)
  local handler, log = server.recorder()
  options = options or {}
  options.protocols = { a = handler, b = handler }
  local s, clients = server.start(options), {}
  for i = 1, count do
    clients[i] = client.open(s, "a")
    for _, name in ipairs({ "t", ... }) do assert.is_true(log.ws[i]:subscribe(name)) end
  end
  return s, clients, log.ws, log
end

-- The error of a call, which names the line of its caller.
local function assert_raises(expected, call)
  local is_good, message = pcall(call)
  assert.is_false(is_good)
  assert.matches("topics_spec.lua:%d+: " .. expected, message)
end

local function assert_quiet(s, clients)
  s:settle()
  for i, one in pairs(clients) do assert.is_nil(one:try_message(), "client " .. i) end
end

describe("a topic", function()
  after_each(server.stop_all)

  it("reaches its subscribers, once each, in the order of publishing, as text or binary", function()
    local s, clients, ws = start(3)
    local other = client.open(s, "a")
    assert.is_true(ws[1]:subscribe("t"))
    assert.is_true(s.context:publish("t", "one"))
    assert.is_true(s.context:publish("t", "\255\0", BINARY))
    assert.is_true(s.context:publish("t", 3))
    assert.is_true(s.context:publish("t", "", websockets.WRITE_TEXT))
    for i = 1, 3 do
      assert.same({ 1, "one" }, { clients[i]:message() })
      assert.same({ 2, "\255\0" }, { clients[i]:message() })
      assert.same({ 1, "3" }, { clients[i]:message() })
      assert.same({ 1, "" }, { clients[i]:message() })
    end
    assert_quiet(s, { other, clients[1], clients[2], clients[3] })
  end)

  it("without subscribers takes what is published", function()
    local s, clients = start(1)
    assert.is_true(s.context:publish("nothing", "x"))
    assert.equal(0, s.context:subscribers("nothing"))
    assert_quiet(s, clients)
  end)

  it("ws:publish reaches all but the publisher, which need not be subscribed; so does the option except", function()
    local s, clients, ws = start(4)
    ws[4]:unsubscribe("t")
    for i = 1, 4 do
      assert.is_true(ws[i]:publish("t", "by " .. i))
      assert.is_true(s.context:publish("t", "but " .. i, BINARY, { except = ws[i] }))
    end
    for i = 1, 3 do
      for from = 1, 4 do
        if from ~= i then
          assert.same({ 1, "by " .. from }, { clients[i]:message() })
          assert.same({ 2, "but " .. from }, { clients[i]:message() })
        end
      end
    end
    assert_quiet(s, clients)
  end)

  it("knows which names are present", function()
    local s, clients, ws = start(3)
    assert.same({}, s.context:presence("t"))
    local told
    for i, name in ipairs({ "grace", "ada", "ada" }) do
      assert.is_true(ws[i]:subscribe("t", { name = name, on_joined = function(_, _, ...) told = { ... } end }))
    end
    assert.same({ true, "" }, told)
    assert.same({ "ada", "grace" }, s.context:presence("t"))
    assert.same({}, s.context:presence("other"))
    assert.same({}, s.context:presence(("x"):rep(257)))
    ws[2]:unsubscribe("t")
    assert.same({ "ada", "grace" }, s.context:presence("t"))
    clients[3]:close()
    s:pump(function() return s.context:subscribers("t") == 1 end)
    assert.same({ "grace" }, s.context:presence("t"))
    assert.same({ nil, "the name is longer than max_topic_bytes", "limit" },
      { ws[1]:subscribe("t", { name = ("x"):rep(257) }) })
  end)

  it("unsubscribe tells whether it was subscribed, and ends it", function()
    local s, clients, ws = start(2)
    assert.is_true(ws[1]:unsubscribe("t"))
    assert.is_false(ws[1]:unsubscribe("t"))
    assert.is_false(ws[2]:unsubscribe("other"))
    s.context:publish("t", "x")
    assert.same({ 1, "x" }, { clients[2]:message() })
    assert_quiet(s, clients)
    assert.equal(1, s.context:subscribers("t"))
  end)

  it("nothing is subscribed before there are topics", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    client.open(s, "a")
    assert.is_false(log.ws[1]:unsubscribe("t"))
    assert.same({}, log.ws[1]:topics())
    assert.equal(0, s.context:subscribers("t"))
  end)

  it("ws:topics lists the names", function()
    local _, _, ws = start(1, nil, "u", "1")
    local names = ws[1]:topics()
    table.sort(names)
    assert.same({ "1", "t", "u" }, names)
  end)

  it("an end leaves all topics, however it comes; nothing follows our close frame", function()
    local s, clients, ws = start(5, nil, "u")
    ws[1]:close(1000)
    clients[2]:send_close(1000)
    clients[3]:reset()
    ws[4]:close(0)
    s:pump(function() return s.context:subscribers("u") == 1 end, "the ends")
    assert.same({ {}, {}, {}, {} }, { ws[1]:topics(), ws[2]:topics(), ws[3]:topics(), ws[4]:topics() })
    s.context:publish("t", "x")
    assert.same({ 1, "x" }, { clients[5]:message() })
    assert.same({ 1000, "" }, { clients[1]:close_code() })
    clients[1]:send_close(1000)
    assert.equal("", clients[1]:drain())
    assert.equal(1, s.context:subscribers("t"))
  end)

  it("subscribe to a connection that is not open gives nil, a message and why", function()
    local before, since
    local s = server.start({ on_http = function(ws)
      before = { ws:subscribe("t") }
      since = { ws:subscribe("t", { since = "all" }) }
      ws:respond(200)
    end, protocols = { a = function() end } })
    client.connect(s):send(client.request("/"))
    s:pump(function() return before end, "a request")
    assert.same({ nil, "the connection is not open yet", "type" }, before)
    assert.same(before, since)
    local _, _, ws = start(1)
    ws[1]:close()
    assert.equal("closing", select(3, ws[1]:subscribe("u")))
    ws[1]:close(0)
    assert.equal("closed", select(3, ws[1]:subscribe("u")))
    assert.same({}, ws[1]:topics())
  end)

  it("on_broadcast hears broadcasts only, and a topic may have the name of a subprotocol", function()
    local s, clients, ws = start(2, nil, "a")
    local heard = {}
    ws[1]:on_broadcast(function(_, data) heard[#heard + 1] = data end)
    ws[2]:on_broadcast(BINARY)
    s.context:publish("a", "published")
    s.context:broadcast("a", "broadcast")
    assert.same({ 1, "published" }, { clients[1]:message() })
    assert.same({ 1, "published" }, { clients[2]:message() })
    assert.same({ 2, "broadcast" }, { clients[2]:message() })
    assert.same({ "broadcast" }, heard)
    assert_quiet(s, clients)
  end)

  it("text that is not UTF-8 reaches no subscriber", function()
    local s, clients, ws = start(1)
    assert.same({ nil, "a text is not UTF-8", "utf8" }, { s.context:publish("t", "\255") })
    assert.same({ nil, "a text is not UTF-8", "utf8" }, { ws[1]:publish("t", "\255") })
    assert_quiet(s, clients)
  end)

  it("waits for the last fragment of a message that is being sent", function()
    local s, clients, ws = start(2)
    ws[1]:write("begun ", websockets.WRITE_TEXT + websockets.WRITE_NO_FIN)
    s.context:publish("t", "between")
    ws[1]:write("ended", websockets.WRITE_CONTINUATION)
    assert.same({ 1, "between" }, { clients[2]:message() })
    assert.same({ 1, "begun ended" }, { clients[1]:message() })
    assert.same({ 1, "between" }, { clients[1]:message() })
    assert_quiet(s, clients)
  end)

  it("reaches many, whichever leave, are left out or are sending in fragments, and counts each once", function()
    local s, clients, ws = start(20)
    local first, before = websockets.WRITE_TEXT + websockets.WRITE_NO_FIN, s.context:metrics().sent.messages
    ws[4]:unsubscribe("t")
    clients[11]:close()
    s:pump(function() return s.context:subscribers("t") == 18 end, "the end of a connection")
    for _, i in ipairs({ 3, 9, 20 }) do ws[i]:write("begun ", first) end
    s.context:publish("t", "some", nil, { except = ws[9] })
    s.context:publish("t", "all")
    for _, i in ipairs({ 3, 9, 20 }) do ws[i]:write("ended", websockets.WRITE_CONTINUATION) end
    s.context:publish("t", "but one", nil, { except = ws[17] })
    for i = 1, 20 do
      if i ~= 4 and i ~= 11 then
        if i == 3 or i == 9 or i == 20 then assert.same({ 1, "begun ended" }, { clients[i]:message() }) end
        if i ~= 9 then assert.same({ 1, "some" }, { clients[i]:message() }) end
        assert.same({ 1, "all" }, { clients[i]:message() })
        if i ~= 17 then assert.same({ 1, "but one" }, { clients[i]:message() }) end
      end
    end
    clients[11] = nil
    assert_quiet(s, clients)
    assert.equal(3 + 17 + 18 + 17, s.context:metrics().sent.messages - before)
  end)

  it("counts as use for idle_timeout", function()
    local s, clients, ws, log = start(1, { idle_timeout = 10, ping_interval = false })
    s:fake_time()
    -- Subscribed before time stood still: this use begins its seconds.
    s.context:publish("t", "x")
    assert.same({ 1, "x" }, { clients[1]:message() })
    for _ = 1, 4 do
      s:advance(6)
      s.context:publish("t", "x")
      assert.same({ 1, "x" }, { clients[1]:message() })
    end
    assert.equal(0, #log.closed)
    assert.equal(1, #ws)
    s:advance(11)
    s:settle()
    assert.same({ 1001, "" }, { clients[1]:close_code() })
  end)

  it("reaches a connection whose reading is paused", function()
    local s, clients, ws = start(1)
    ws[1]:rx_flow_control(false)
    s.context:publish("t", "x")
    assert.same({ 1, "x" }, { clients[1]:message() })
  end)

  it("may be subscribed, left and published to inside of callbacks", function()
    local s, clients, ws = start(3)
    ws[1]:on_receive(function(one, data)
      one:unsubscribe("t")
      ws[2]:unsubscribe("t")
      one:publish("t", data)
      one:subscribe("t")
      s.context:publish("t", data .. " again")
    end)
    clients[1]:text("go")
    assert.same({ 1, "go" }, { clients[3]:message() })
    assert.same({ 1, "go again" }, { clients[3]:message() })
    assert.same({ 1, "go again" }, { clients[1]:message() })
    assert_quiet(s, clients)
  end)

  it("several publications of a turn leave in one send for each subscriber", function()
    local s, clients, ws = start(1)
    local sends = inside.count_sends(s.context, ws[1])
    ws[1]:on_receive(function()
      for i = 1, 16 do s.context:publish("t", "number " .. i) end
    end)
    clients[1]:text("go")
    for i = 1, 16 do assert.same({ 1, "number " .. i }, { clients[1]:message() }) end
    assert.equal(1, sends())
  end)

  it("a connection that this side opened may subscribe; it is opened again without topics", function()
    local s, _, ws = start(1)
    local got, opened = {}, 0
    local mine = s.context:connect(("ws://127.0.0.1:%d/"):format(s.port), {
      protocols = { "b" }, reconnect = { min = 0.01, max = 0.01 },
    })
    mine:on_open(function(one)
      opened = opened + 1
      assert.same({}, one:topics())
      one:subscribe("t")
    end)
    s:pump(function() return opened == 1 end, "on_open")
    local far = ws[2]
    far:on_receive(function(_, data, kind) got[#got + 1] = { kind, data } end)
    ws[1]:publish("t", "out")
    s:pump(function() return got[1] end, "the message")
    assert.same({ { 0, "out" } }, got)
    far:close(0)
    s:pump(function() return opened == 2 end, "the next connection")
    assert.equal(2, s.context:subscribers("t"))
  end)

  it("costs what its subscribers cost, an end what it was subscribed to, and a turn nothing", function()
    local s, clients, ws = start(3, { max_topics = 1e6 })
    local function count()
      local counts = {}
      for i, work in ipairs({
        function() s.context:publish("t", "x") end, function() ws[3]:unsubscribe("t") end,
        function() ws[3]:subscribe("t") end, function() s.context:service(0) end,
      }) do counts[i] = steps.count(work) end
      return counts
    end
    count()
    local few = count()
    ws[1]:on_receive(function(one)
      for i = 1, 20000 do one:subscribe("other " .. i) end
    end)
    clients[1]:text("subscribe")
    s:pump(function() return s.context:subscribers("other 20000") == 1 end, "subscriptions")
    local many = count()
    for i = 1, #few do assert.is_true(many[i] < few[i] + 200, few[i] .. " steps, then " .. many[i]) end
    local ending = steps.count(function() ws[2]:close(0) end)
    assert.is_true(ending < 3000, ending)
    s:settle()
    assert.equal(2, s.context:subscribers("t"))
  end)

  it("keeps nothing of a connection that has ended", function()
    local kept = setmetatable({}, { __mode = "k" })
    local s = server.start({ protocols = { a = function(ws)
      ws:subscribe("t")
      kept[ws], kept[ws.wire] = true, true
    end } })
    local clients = {}
    for i = 1, 5 do clients[i] = client.open(s, "a") end
    s.context:publish("t", "x")
    for i = 2, 5 do clients[i]:reset() end
    s:pump(function() return s.context:subscribers("t") == 1 end, "the ends")
    s:settle()
    collectgarbage()
    collectgarbage()
    local count = 0
    for _ in pairs(kept) do count = count + 1 end
    assert.equal(2, count)
  end)

  it("destroy ends every subscription", function()
    local s, _, ws = start(2)
    s.context:destroy()
    assert.same({}, ws[1]:topics())
    assert_raises("websocket context destroyed", function() s.context:publish("t", "x") end)
    assert_raises("websocket context destroyed", function() s.context:subscribers("t") end)
    assert_raises("websocket context destroyed", function() ws[1]:publish("t", "x") end)
  end)

  it("max_topics limits each connection, by route too; max_topic_bytes limits a name", function()
    local s, _, ws = start(2, { max_topics = 2, max_topic_bytes = 8 })
    assert.is_true(ws[1]:subscribe("u"))
    assert.same({ nil, "the connection has its 2 topics", "limit" }, { ws[1]:subscribe("v") })
    assert.is_true(ws[1]:subscribe("u"))
    assert.is_true(ws[2]:subscribe("v"))
    ws[1]:unsubscribe("t")
    assert.is_true(ws[1]:subscribe("v"))
    ws[1]:unsubscribe("t")
    local message = "a topic's name has 9 bytes, and at most 8 are allowed"
    assert.same({ nil, message, "limit" }, { ws[2]:subscribe(("x"):rep(9)) })
    assert.same({ nil, message, "limit" }, { s.context:publish(("x"):rep(9), "y") })
    assert.equal(0, s.context:subscribers(("x"):rep(9)))
    ws[2]:unsubscribe("v")
    assert.is_true(ws[2]:subscribe(("x"):rep(8)))
  end)

  it("max_topics of a route is for its connections", function()
    local handler, log = server.recorder()
    local s = server.start({ routes = {
      ["/none"] = { protocols = { a = handler }, max_topics = 0 }, ["/"] = { protocols = { a = handler } },
    } })
    client.open(s, { protocol = "a", target = "/none" })
    client.open(s, "a")
    assert.equal("limit", select(3, log.ws[1]:subscribe("t")))
    assert.is_true(log.ws[2]:subscribe("t"))
  end)

  it("a wrong argument raises at the caller's line", function()
    local s, _, ws = start(1)
    local context, one = s.context, ws[1]
    for expected, call in pairs({
      ["#1 to 'subscribe' %(topic expected, got 7%)"] = function() one:subscribe(7) end,
      ["#1 to 'unsubscribe' %(topic expected, got no value%)"] = function() one:unsubscribe() end,
      ["#1 to 'publish' %(topic expected, got table%)"] = function() one:publish({}, "x") end,
      ["#1 to 'subscribers' %(topic expected, got no value%)"] = function() context:subscribers() end,
      ["#1 to 'publish' %(topic expected, got true%)"] = function() context:publish(true, "x") end,
      ["#2 to 'publish' %(string or number expected, got table%)"] = function() context:publish("t", {}) end,
      ["#2 to 'publish' %(string or number expected, got no value%)"] = function() one:publish("t") end,
      ["#3 to 'publish' %(WRITE_TEXT or WRITE_BINARY expected, got 2%)"] = function() context:publish("t", "x", 2) end,
      ["#3 to 'publish' %(WRITE_TEXT or WRITE_BINARY expected, got table%)"] = function() one:publish("t", "x", {}) end,
      ["#4 to 'publish' %(table expected, got true%)"] = function() context:publish("t", "x", 0, true) end,
      ["#4 to 'publish' %(except, key or on_stored expected, got the option \"but\"%)"] = function()
        context:publish("t", "x", 0, { but = one })
      end,
      ["#4 to 'publish' %(key or on_stored expected, got the option \"except\"%)"] = function()
        one:publish("t", "x", 0, { except = one })
      end,
      ["#4 to 'publish' %(string as key expected, got 1%)"] = function() one:publish("t", "x", 0, { key = 1 }) end,
      ["#4 to 'publish' %(connection as except expected, got 3%)"] = function()
        context:publish("t", "x", 0, { except = 3 })
      end,
    }) do
      assert_raises("bad argument " .. expected, call)
    end
  end)

  it("ends functions that publish what calls them again, and reports that", function()
    local nothing = function() end
    local function try(expected, make)
      local errors, calls = {}, 0
      local s
      local function publish(data)
        calls = calls + 1
        s.context:publish("t", "again")
        return data
      end
      local handler, log = server.recorder()
      local options = make(publish)
      options.default, options.on_error = handler, function(err) errors[#errors + 1] = err end
      s = server.start(options)
      local one = client.open(s)
      assert.is_true(log.ws[1]:subscribe("t"))
      calls, errors = 0, {}
      assert.is_true(s.context:publish("t", "first"))
      assert.same({ 10, { expected .. " publishes what calls it again, without end" } }, { calls, errors })
      local count = 0
      s:settle()
      while one:try_message() do count = count + 1 end
      assert.equal(11, count)
      s.context:publish("t", "first")
      assert.equal(20, calls)
    end
    try("encode", function(publish) return { topics = { t = { history = { encode = publish } } } } end)
    try("publish of the back plane", function(publish)
      return { backplane = {
        open = nothing, subscribe = nothing, unsubscribe = nothing, close = nothing,
        publish = function() publish() end,
      } }
    end)
  end)
end)
