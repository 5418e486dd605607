--- Topics with a history: in memory, and shared by contexts through Redis or Valkey. The same tests for all.
-- @module spec.interop.history_spec
local client = require("spec.support.client")
local messages = require("spec.support.messages")
local needs = require("spec.support.needs")
local redis = require("spec.support.redis")
local redis_cluster = require("spec.support.redis_cluster")
local server = require("spec.support.server")
local websockets = require("websockets")

local texts, numbers = messages.texts, messages.numbers

local it_is, list
-- Kind -> cluster, for the tests that have one.
local clusters = {}

-- The URL of a back plane, whose server is started where it is not there yet.
local function url_of(kind, lines)
  local cluster = clusters[kind]
  if cluster then return "redis://127.0.0.1:" .. cluster.nodes[2].port end
  it_is = redis.new(kind, lines):start()
  return "unix:" .. it_is.path
end

-- Contexts that share topics, where there is a server of a back plane; else one.
local function start(kind, count, keep, lines, options)
  list = {}
  local url = kind and url_of(kind, lines)
  for i = 1, kind and count or 1 do
    local handler, log = server.recorder()
    local reported = {}
    local given = {
      default = handler, ping_interval = false, on_error = function(err) reported[#reported + 1] = err end,
      topics = function(name) return name:find("^kept") and { history = keep or {} } or nil end,
      backplane = kind and { url = url, reconnect = { min = 0.01, max = 0.05 } } or nil,
    }
    for name, value in pairs(options or {}) do given[name] = value end
    list[i] = server.start(given)
    list[i].log, list[i].reported = log, reported
  end
  server.serve_together(list)
  if kind then
    for _, one in ipairs(list) do
      one:pump(function() return one.context.pubsub.plane.carrier:is_ready() end, "the back plane")
    end
  end
  return list[1], list[2] or list[1]
end

-- A new connection: its client, and the ws of the server.
local function connect(s)
  local one = client.open(s)
  return one, s.log.ws[#s.log.ws]
end

-- A new connection that joins a topic: its client, `since`, and what on_joined was told.
local function join(s, topic, since)
  local one, ws = connect(s)
  local told = {}
  assert.is_true(ws:subscribe(topic, { since = since, on_joined = function(joined, name, is_complete, last)
    assert.equal(ws, joined)
    assert.equal(topic, name)
    told[#told + 1] = { is_complete, last }
  end }))
  s:pump(function() return told[1] end, "joining")
  return one, told[1][1], told[1][2], ws
end

-- Publishes and waits until it is kept; gives the id.
local function publish(s, topic, data, kind, options)
  local id, fault
  local given = { on_stored = function(...) id, fault = ... end }
  for name, value in pairs(options or {}) do given[name] = value end
  assert(s.context:publish(topic, data, kind, given))
  s:pump(function() return id or fault end, "keeping")
  assert.is_nil(fault)
  return id
end

local function tests(kind, test)
  test("gives what was missed, in order, and then what is published", function()
    local s, other = start(kind, 2)
    local ids = {}
    for i = 1, 40 do ids[i] = publish(i % 2 == 0 and s or other, "kept", ("%d"):format(i)) end
    for i = 2, 40 do assert.is_true(ids[i] ~= ids[i - 1]) end
    local one, is_complete, last = join(other, "kept", ids[10])
    assert.is_true(is_complete)
    assert.equal(ids[40], last)
    assert.same(numbers(11, 40), texts(one, 30))
    local two = join(s, "kept", ids[40])
    local three = join(s, "kept", "all")
    assert.same(numbers(1, 40), texts(three, 40))
    publish(s, "kept", "live")
    for _, each in ipairs({ one, two, three }) do assert.same({ "live" }, texts(each, 1)) end
    messages.assert_none(one, two, three)
  end)

  test("keeps text and binary as they are, any bytes", function()
    local s = start(kind, 1)
    publish(s, "kept}{ \r\n", "text")
    publish(s, "kept}{ \r\n", "\0\255\r\n", websockets.WRITE_BINARY)
    publish(s, "kept}{ \r\n", "")
    local one = join(s, "kept}{ \r\n", "all")
    assert.same({ 1, "text" }, { one:message() })
    assert.same({ 2, "\0\255\r\n" }, { one:message() })
    assert.same({ 1, "" }, { one:message() })
  end)

  test("says that it is gone, and then gives what is published", function()
    local s = start(kind, 1, { messages = 5, seconds = 60 })
    local ids = {}
    for i = 1, 8 do ids[i] = publish(s, "kept", ("%d"):format(i)) end
    for _, since in ipairs({ ids[2], "1-0", "0-0", "", "x", "-", "+", "$", "1", ("9"):rep(30) .. "-0", "5-\0" }) do
      local one, is_complete, last = join(s, "kept", since)
      assert.is_false(is_complete, since)
      assert.equal(ids[8], last)
      messages.assert_none(one)
    end
    local one, is_complete = join(s, "kept", ids[3])
    assert.is_true(is_complete)
    assert.same(numbers(4, 8), texts(one, 5))
    publish(s, "kept", "live")
    assert.same({ "live" }, texts(one, 1))
    -- Nothing is known of another topic.
    assert.is_false((select(2, join(s, "kept too", ids[8]))))
    assert.is_true((select(2, join(s, "kept too", "all"))))
  end)

  test("may be joined without an id: on_joined tells the last one", function()
    local s = start(kind, 1)
    local first, is_complete, last = join(s, "kept", nil)
    assert.same({ true, "" }, { is_complete, last })
    local id = publish(s, "kept", "1")
    local second
    second, is_complete, last = join(s, "kept", nil)
    assert.same({ true, id }, { is_complete, last })
    assert.same({ "1" }, texts(first, 1))
    publish(s, "kept", "2")
    for _, one in ipairs({ first, second }) do assert.same({ "2" }, texts(one, 1)) end
    messages.assert_none(first, second)
  end)

  test("comes to those that are subscribed without an id, from the moment on", function()
    local s = start(kind, 1)
    for _, topic in ipairs({ "kept", "kept and new" }) do
      if topic == "kept" then publish(s, topic, "0") end
      local one, ws = connect(s)
      local two, other = connect(s)
      local told = {}
      local function on_joined(_, _, is_complete) told[#told + 1] = is_complete end
      assert.is_true(ws:subscribe(topic, { on_joined = on_joined }))
      assert.is_true(s.context:publish(topic, "1"))
      assert.is_true(other:subscribe(topic, { on_joined = on_joined }))
      assert.is_true(ws:publish(topic, "2"))
      assert.is_true(s.context:publish(topic, "3"))
      s:pump(function() return told[2] ~= nil end, "joining")
      assert.same({ true, true }, told)
      assert.is_true(s.context:publish(topic, "4"))
      assert.same({ "1", "3", "4" }, texts(one, 3))
      assert.same({ "2", "3", "4" }, texts(two, 3))
      messages.assert_none(one, two)
    end
  end)

  test("drops what is too old", function()
    local s = start(kind, 1, { messages = 100, seconds = 0.05 })
    local first = publish(s, "kept", "1")
    local id = publish(s, "kept", "2")
    s:pump(function()
      local _, is_complete = join(s, "kept", first)
      return not is_complete
    end, "the entry to go")
    -- Nothing was missed after the last one.
    local one, is_complete, last = join(s, "kept", id)
    assert.same({ true, id }, { is_complete, last })
    publish(s, "kept", "3")
    assert.same({ "3" }, texts(one, 1))
  end)

  test("gives what encode makes of a message, live and later", function()
    local is_wrong = false
    local s = start(kind, 1, { encode = function(data, id, topic)
      if is_wrong then error("no", 0) end
      return ("%s %s %s"):format(topic, id, data)
    end })
    local one = join(s, "kept", "all")
    local id = publish(s, "kept", "1")
    local expected = ("kept %s 1"):format(id)
    assert.same({ expected }, texts(one, 1))
    assert.same({ expected }, texts(join(s, "kept", "all"), 1))
    is_wrong = true
    publish(s, "kept", "2")
    assert.same({ "2" }, texts(one, 1))
    assert.same({ "no" }, s.reported)
  end)

  test("gives the message itself where encode returns what cannot be sent, and reports that", function()
    local made
    local s = start(kind, 1, { encode = function() return made end })
    local one = join(s, "kept", "all")
    made = "\255"
    publish(s, "kept", "1")
    assert.same({ "1" }, texts(one, 1))
    made = nil
    publish(s, "kept", "2")
    assert.same({ "2" }, texts(one, 1))
    assert.matches('^encode of topic "kept" must return a string that is UTF%-8, and has returned "', s.reported[1])
    assert.equal('encode of topic "kept" must return a string, and has returned no value', s.reported[2])
  end)

  test("leaves a connection out that is excepted, live and not later", function()
    local s, other = start(kind, 2)
    local one, _, _, ws = join(s, "kept", "all")
    local two = join(other, "kept", "all")
    publish(s, "kept", "1", nil, { except = ws })
    local id = publish(s, "kept", "2")
    assert.same({ "2" }, texts(one, 1))
    assert.same({ "1", "2" }, texts(two, 2))
    assert.same({ "1", "2" }, texts(join(s, "kept", "all"), 2))
    assert.is_true((select(2, join(s, "kept", id))))
  end)

  test("is left by unsubscribing and by the end of a connection, also while it is joined", function()
    local s = start(kind, 1)
    publish(s, "kept", "1")
    local one, ws = connect(s)
    assert.is_true(ws:subscribe("kept", { since = "all" }))
    assert.is_true(ws:unsubscribe("kept"))
    local _, other = connect(s)
    assert.is_true(other:subscribe("kept", { since = "all" }))
    other:close(0)
    local third = join(s, "kept", "all")
    publish(s, "kept", "2")
    assert.same({ "1", "2" }, texts(third, 2))
    -- In memory it has joined at once.
    if not kind then assert.same({ "1" }, texts(one, 1)) end
    messages.assert_none(one)
    assert.same({}, ws:topics())
    assert.equal(1, s.context:subscribers("kept"))
  end)

  test("begins anew where the connection is subscribed already", function()
    local s = start(kind, 1)
    local id = publish(s, "kept", "1")
    local one, _, _, ws = join(s, "kept", id)
    publish(s, "kept", "2")
    assert.same({ "2" }, texts(one, 1))
    local is_joined
    ws:subscribe("kept", { since = id, on_joined = function() is_joined = true end })
    s:pump(function() return is_joined end)
    publish(s, "kept", "3")
    assert.same({ "2", "3" }, texts(one, 2))
    messages.assert_none(one)
  end)

  test("counts for max_topics", function()
    local s = start(kind, 1, nil, nil, { max_topics = 2 })
    local _, ws = connect(s)
    for i = 1, 2 do assert.is_true(ws:subscribe("kept" .. i, { since = "all" })) end
    local refusal = { nil, "the connection has its 2 topics", "limit" }
    assert.same(refusal, { ws:subscribe("kept3", { since = "all" }) })
    assert.same(refusal, { ws:subscribe("other") })
    -- One of those that it has is taken again, or in the place of another one.
    assert.is_true(ws:subscribe("kept1", { since = "all" }))
    assert.is_true(ws:unsubscribe("kept1"))
    assert.is_true(ws:subscribe("other"))
  end)

  test("has a connection count as subscribed from the beginning, once", function()
    local s = start(kind, 1)
    publish(s, "kept", "1")
    local one, ws = connect(s)
    local function told() return { ws:topics(), s.context:subscribers("kept") } end
    local at_joined
    assert.is_true(ws:subscribe("kept", { since = "all", on_joined = function() at_joined = told() end }))
    local expected = { { "kept" }, 1 }
    assert.same(expected, told())
    assert.is_true(ws:subscribe("kept"))
    assert.same(expected, told())
    s:pump(function() return at_joined end, "joining")
    assert.same(expected, at_joined)
    assert.same(expected, told())
    publish(s, "kept", "2")
    assert.same({ "1", "2" }, texts(one, 2))
    messages.assert_none(one)
    for _ = 1, 2 do
      assert.is_true(ws:subscribe("kept", { since = "all" }))
      assert.is_true(ws:unsubscribe("kept"))
      assert.same({ {}, 0 }, told())
      assert.is_false(ws:unsubscribe("kept"))
    end
    assert.is_true(ws:subscribe("kept", { since = "all" }))
    one:close()
    s:pump(function() return s.context:subscribers("kept") == 0 end, "the end")
  end)

  test("is for topics that have one", function()
    local s = start(kind, 1)
    local one, ws = connect(s)
    assert.same({ nil, "the topic has no history", "type" }, { ws:subscribe("other", { since = "all" }) })
    local told
    assert.is_true(ws:subscribe("other", { on_joined = function(_, _, ...) told = { ... } end }))
    assert.same({ true, "" }, told)
    s.context:publish("other", "x")
    assert.same({ "x" }, texts(one, 1))
  end)
end

local function stop()
  server.stop_all()
  redis.stop_all()
  it_is = nil
end

describe("a history in memory", function()
  after_each(stop)

  tests(nil, it)

  it("takes no memory for topics that nobody has published to for long", function()
    local s = start(nil, 1, { messages = 10, seconds = 60 })
    s:fake_time()
    for i = 1, 100 do s.context:publish("kept" .. i, "x") end
    local topics = s.context.pubsub.store.topics
    assert.is_truthy(topics.kept1)
    s:advance(61)
    assert.equal(0, #topics.kept1.entries)
    s:advance(86401)
    assert.is_nil(next(topics))
  end)

  it("is not there with a back plane of one's own", function()
    local nothing = function() end
    local s = start(nil, 1, {}, nil, { backplane = {
      open = nothing, publish = nothing, subscribe = nothing, unsubscribe = nothing, close = nothing,
    } })
    local _, ws = connect(s)
    assert.equal("unavailable", select(3, ws:subscribe("kept", { since = "all" })))
    assert.equal("unavailable", select(3, s.context:publish("kept", "x")))
  end)
end)

for _, kind in ipairs({ "Redis", "Valkey" }) do
  local lacking = needs.reason(kind)

  describe("a history in a cluster of " .. kind, function()
    local name = "a cluster of " .. kind

    setup(function()
      if not lacking then clusters[name] = redis_cluster.start(kind) end
    end)

    teardown(redis.stop_all)

    after_each(function()
      server.stop_all()
      if clusters[name] then clusters[name]:clear() end
    end)

    tests(name, needs.test(it, pending, lacking))
  end)

  describe("a history in " .. kind, function()
    local test = needs.test(it, pending, lacking)

    after_each(stop)

    tests(kind, test)

    test("keeps no connection for what it publishes while it joins, however far that has got", function()
      local s, other = start(kind, 2)
      local topics = {}
      for turns = 0, 24 do
        local topic, answers = "kept" .. turns, 0
        topics[#topics + 1] = topic
        local _, ws = connect(s)
        local function on_stored() answers = answers + 1 end
        -- Without `since` it is not subscribed as another message comes meanwhile.
        if turns % 3 == 2 then publish(other, topic, "before") end
        if turns % 2 == 0 then ws:subscribe(topic) else ws:subscribe(topic, { since = "all" }) end
        for _ = 1, math.floor(turns / 2) do s:turn() end
        assert(ws:publish(topic, "1", nil, { on_stored = on_stored }))
        assert(other.context:publish(topic, "2", nil, { on_stored = on_stored }))
        s:pump(function() return answers == 2 end, "the answers")
      end
      for _, topic in ipairs(topics) do
        local state = s.context.pubsub.plane.store.states[topic]
        s:pump(function() return state.is_live end, "the topic")
        s:settle()
        assert.same({ {}, {} }, { state.excepts.left_out, state.excepts.answered }, topic)
      end
    end)

    test("comes in pages where it is long", function()
      local s = start(kind, 1, { messages = 1000, seconds = 60 })
      local filler, stored = (" "):rep(100000), 0
      for i = 1, 60 do
        assert(s.context:publish("kept", i .. filler, nil, { on_stored = function() stored = stored + 1 end }))
      end
      s:pump(function() return stored == 60 end)
      local one, ws = connect(s)
      local is_joined
      ws:subscribe("kept", { since = "all", on_joined = function(_, _, is_complete) is_joined = is_complete end })
      for i = 1, 60 do
        local _, text = one:message()
        assert.equal(i, tonumber(text:match("^%d+")))
        if i % 7 == 0 then s.context:publish("kept", "between") end
      end
      s:pump(function() return is_joined end)
      assert.same({ "between", "between", "between", "between", "between", "between", "between", "between" },
        texts(one, 8))
      messages.assert_none(one)
    end)

    test("has no gap and nothing twice between what was missed and what is published", function()
      local s, other = start(kind, 2, { messages = 10000, seconds = 60 })
      local sent, ids = 0, {}
      local function publish_some()
        for _ = 1, 5 do
          sent = sent + 1
          local number = sent
          assert(other.context:publish("kept", ("%d"):format(number), nil, {
            on_stored = function(id) ids[number] = id end,
          }))
        end
      end
      publish_some()
      s:pump(function() return ids[5] end)
      local joined = {}
      for i = 1, 40 do
        publish_some()
        local one, ws = connect(i % 2 == 0 and s or other)
        local known = #ids
        local from = i % 5 == 0 and known or math.max(1, known - 30)
        joined[i] = { client = one, from = from }
        ws:subscribe("kept", { since = ids[from] })
        publish_some()
        s:turns(i % 3)
      end
      for _, one in ipairs(joined) do
        assert.same(numbers(one.from + 1, sent), texts(one.client, sent - one.from))
        messages.assert_none(one.client)
      end
    end)

    test("refuses while the server is away; what was on its way is kept once it is back", function()
      local s = start(kind, 1, { messages = 1000, seconds = 60 }, "appendonly yes\nappendfsync always")
      local one = join(s, "kept", "all")
      publish(s, "kept", "1")
      it_is:signal("STOP")
      local stored = {}
      for i = 2, 5 do
        local options = { on_stored = function(id) stored[i] = id end }
        assert.is_true(s.context:publish("kept", ("%d"):format(i), nil, options))
      end
      it_is:stop()
      s:pump(function() return not s.context.pubsub.plane.carrier:is_ready() end)
      assert.same({ nil, "the back plane cannot be reached", "unavailable" }, { s.context:publish("kept", "6") })
      assert.is_true(s.context:publish("other", "x"))
      it_is:start()
      s:pump(function() return stored[5] end, "the messages that were on their way")
      assert.same(numbers(1, 5), texts(one, 5))
      publish(s, "kept", "6")
      assert.same({ "6" }, texts(one, 1))
      messages.assert_none(one)
      assert.same(numbers(1, 6), texts(join(s, "kept", "all"), 6))
    end)

    test("tells on_gap where subscribers have lost something", function()
      local gaps = {}
      local s = start(kind, 1, { on_gap = function(ws, topic) gaps[#gaps + 1] = { ws, topic } end })
      local one, _, _, ws = join(s, "kept", "all")
      publish(s, "kept", "1")
      -- It forgets everything.
      it_is:stop()
      it_is:start()
      s:pump(function() return gaps[1] end)
      assert.same({ { ws, "kept" } }, gaps)
      publish(s, "kept", "2")
      assert.same({ "1", "2" }, texts(one, 2))
    end)

    test("has every acknowledged message once, in order, after the server was killed again and again", function()
      local s, other = start(kind, 2, { messages = 100000, seconds = 600 }, "appendonly yes\nappendfsync always")
      local kills = tonumber(os.getenv("KILLS") or 4)
      local one, two = join(s, "kept", "all"), join(other, "kept", "all")
      local sent, acknowledged = { 0, 0 }, { 0, 0 }
      local function publish_some(name, from)
        for _ = 1, 3 do
          local number = sent[name] + 1
          local is_on_its_way = from.context:publish("kept", ("%d:%d"):format(name, number), nil, {
            on_stored = function(id)
              assert(id)
              acknowledged[name] = math.max(acknowledged[name], number)
            end,
          })
          if is_on_its_way then sent[name] = number end
        end
        from:turn(0)
      end
      for _ = 1, kills do
        local before = acknowledged[1] + acknowledged[2]
        s:pump(function()
          publish_some(1, s)
          publish_some(2, other)
          return acknowledged[1] + acknowledged[2] > before + 300
        end)
        it_is:stop()
        for _ = 1, 5 do
          publish_some(1, s)
          publish_some(2, other)
        end
        it_is:start()
      end
      s:pump(function() return acknowledged[1] == sent[1] and acknowledged[2] == sent[2] end, "all acknowledgements")
      for _, each in ipairs({ one, two, (join(s, "kept", "all")) }) do
        local seen = { 0, 0 }
        for _ = 1, sent[1] + sent[2] do
          local _, text = each:message()
          local name, number = text:match("^(%d):(%d+)$")
          name = tonumber(name)
          assert.equal(seen[name] + 1, tonumber(number))
          seen[name] = seen[name] + 1
        end
        messages.assert_none(each)
      end
    end)

    test("gives a message once that the server has twice", function()
      local s = start(kind, 1, { messages = 10, seconds = 60 })
      local id = publish(s, "kept", "1")
      publish(s, "kept", "2")
      -- As after two kills.
      local origin = s.context.pubsub.plane.origin
      for number = 1, 2 do
        it_is:ask(("XADD ws:s:{kept} * p %s o %s n %d h A d %d"):format(id, origin, number, number))
      end
      publish(s, "kept", "3")
      local one, is_complete = join(s, "kept", "all")
      assert.is_true(is_complete)
      assert.same({ "1", "2", "3" }, texts(one, 3))
      publish(s, "kept", "4")
      assert.same({ "4" }, texts(one, 1))
      messages.assert_none(one)
    end)

    test("tells on_stored what the server refuses, and reports it", function()
      local s = start(kind, 1, nil, "maxmemory 1mb\nmaxmemory-policy noeviction")
      local faults, stored = {}, 0
      s:pump(function()
        s.context:publish("kept", ("x"):rep(50000), nil, { on_stored = function(id, message, code)
          if id then stored = stored + 1 else faults[#faults + 1] = { message, code } end
        end })
        return faults[1]
      end)
      assert.matches("^OOM", faults[1][1])
      assert.equal("unavailable", faults[1][2])
      assert.matches("^back plane: a message was refused: OOM", s.reported[1])
      assert.is_nil(s.reported[2])
    end)
  end)
end
