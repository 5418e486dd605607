--- The back plane in a Redis cluster: nodes that refer to each other, and answers that no cluster gives.
-- @module spec.behaviour.redis_cluster_spec
local fake_cluster = require("spec.support.fake_cluster")
local fake_redis = require("spec.support.fake_redis")
local prometheus = require("websockets.prometheus")
local reader = require("spec.support.exposition")
local slots = require("websockets.pubsub.redis.slots")

local HELLO, ID = fake_cluster.HELLO, fake_cluster.ID
local await_up, bulk, channel_of = fake_cluster.await_up, fake_cluster.bulk, fake_cluster.channel_of
local count = fake_cluster.count
local last_of, slots_answer, subscribe = fake_cluster.last_of, fake_cluster.slots_answer, fake_cluster.subscribe
local topic_at, usual, wait = fake_cluster.topic_at, fake_cluster.usual, fake_cluster.wait

local fakes

local function start(...)
  local s = fake_cluster.start(...)
  fakes = s.fakes
  return s
end

describe("a back plane in a cluster", function()
  after_each(function()
    fake_cluster.stop(fakes)
    fakes = nil
  end)

  it("asks each node for its own channels, one a command", function()
    local s = start({})
    await_up(s)
    local left, right = topic_at(2, "a"), topic_at(3, "a")
    local one = subscribe(s, left)
    subscribe(s, right)
    s:pump(function() return last_of(fakes[2], "SSUBSCRIBE") and last_of(fakes[3], "SSUBSCRIBE") end)
    assert.equal(channel_of(left), last_of(fakes[2], "SSUBSCRIBE"))
    assert.equal(channel_of(right), last_of(fakes[3], "SSUBSCRIBE"))
    assert(s.context:publish(right, "x"))
    s:pump(function() return count(fakes[3], "SPUBLISH") == 1 end)
    assert.equal(0, count(fakes[2], "SPUBLISH") + count(fakes[1], "SPUBLISH"))
    fakes[2]:send(">3\r\n$8\r\nsmessage\r\n" .. bulk(channel_of(left)) .. bulk("publisher---Ahello"))
    assert.same({ 1, "hello" }, { one:message() })
    assert.same({}, s.reported)
  end)

  it("uses classic pub/sub with a cluster that is older than 7", function()
    local s = start({ function(words)
      return words[1] == "HELLO" and HELLO:gsub("7%.0%.15", "6.2.16") or nil
    end })
    await_up(s)
    subscribe(s, "a")
    s:pump(function() return count(fakes[1], "SUBSCRIBE") > 0 end)
    assert.equal(0, count(fakes[1], "CLUSTER"))
    assert.equal("unavailable", select(3, s.context:publish("kept", "x")))
  end)

  it("follows a channel that a node does not have, wherever what the node says is cut", function()
    local topic = topic_at(2, "a")
    local size, refusal = 0, nil
    local s = start({ nil, function(words)
      if words[1] ~= "SSUBSCRIBE" or words[2] ~= channel_of(topic) then return nil end
      return refusal:sub(1, size)
    end })
    refusal = ("-MOVED %d 127.0.0.1:%d\r\n"):format(slots.of(channel_of(topic)), fakes[3].port)
    await_up(s)
    subscribe(s, topic)
    while size < #refusal do
      local before = fakes[2].count
      s:pump(function() return last_of(fakes[2], "SSUBSCRIBE") == channel_of(topic) end)
      s:settle()
      fakes[2].commands = {}
      fakes[2]:drop()
      size = size + 1
      s:pump(function()
        s:advance(0.05)
        return fakes[2].count > before
      end, "the next connection")
    end
    fakes.ranges = { { 0, 16383, fakes[3].port } }
    s:pump(function()
      s:advance(0.05)
      return last_of(fakes[3], "SSUBSCRIBE") == channel_of(topic)
    end, "the other node")
    s:pump(function() return s.plane.is_up end)
    assert.is_true(s.plane:hears(topic))
  end)

  it("subscribes anew what a node has ended, and is not confused by the error that follows", function()
    local topics = { topic_at(2, "a"), topic_at(2, "b"), topic_at(2, "c") }
    local s = start({ nil, function(words)
      if words[1] ~= "SUNSUBSCRIBE" then return nil end
      return (">3\r\n$12\r\nsunsubscribe\r\n%s:0\r\n-MOVED 1 127.0.0.1:%d\r\n"):format(bulk(words[2]), fakes[3].port)
    end })
    await_up(s)
    local one, ws = subscribe(s, topics[1])
    subscribe(s, topics[2])
    s:pump(function() return count(fakes[2], "SSUBSCRIBE") >= 2 end)
    s:settle()
    -- The slot of the second moves; at the same time the first is not wanted any more.
    fakes.ranges = { { 0, 16383, fakes[3].port } }
    ws:unsubscribe(topics[1])
    fakes[2]:send((">3\r\n$12\r\nsunsubscribe\r\n%s:0\r\n"):format(bulk(channel_of(topics[2]))))
    s:pump(function()
      s:advance(0.05)
      return last_of(fakes[3], "SSUBSCRIBE") == channel_of(topics[2])
    end, "the other node")
    subscribe(s, topics[3])
    s:pump(function() return last_of(fakes[3], "SSUBSCRIBE") == channel_of(topics[3]) end)
    s:settle()
    assert.is_nil(one:try_message())
    assert.is_true(s.plane.is_up)
    assert.same({}, s.reported)
  end)

  it("keeps channels for which memory is refused while they go to another node", function()
    local s = start({})
    await_up(s)
    local topics = { topic_at(2, "a"), topic_at(2, "b"), topic_at(2, "c") }
    for _, topic in ipairs(topics) do subscribe(s, topic) end
    s:pump(function() return count(fakes[2], "SSUBSCRIBE") >= 3 end)
    s:settle()
    local cluster, refusals = s.plane.carrier, 0
    local one = cluster.members["127.0.0.1:" .. fakes[3].port].carrier
    function one.subscribe()
      one.subscribe, refusals = nil, refusals + 1
      error("not enough memory", 0)
    end
    fakes.ranges = { { 0, 16383, fakes[3].port } }
    cluster:refresh()
    s:pump(function()
      s:advance(0.05)
      return refusals == 1
    end, "the refusal")
    s:pump(function()
      s:advance(0.05)
      for _, topic in ipairs(topics) do
        if not s.plane:hears(topic) then return false end
      end
      return true
    end, "all channels")
    assert.same({}, cluster.homeless)
  end)

  it("asks again and again, but not often, where nodes refer to each other without end", function()
    local function refer(to, word)
      return function(words)
        if words[1] ~= "SSUBSCRIBE" and words[1] ~= "EVAL" and words[1] ~= "SPUBLISH" then return nil end
        return ("-%s 5 127.0.0.1:%d\r\n"):format(word, fakes[to].port)
      end
    end
    for _, word in ipairs({ "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN" }) do
      local s = start({ nil, refer(3, word), refer(2, word) })
      await_up(s)
      local told
      subscribe(s, topic_at(2, "a"))
      subscribe(s, topic_at(3, "kept"), { since = "all" })
      assert(s.context:publish(topic_at(2, "kept"), "x", nil, { on_stored = function() told = true end }))
      for _ = 1, 20 do
        assert(s.context:publish(topic_at(3, "a"), "x"))
        s:advance(1)
        s:turns(500)
      end
      local asked = count(fakes[1], "CLUSTER") + count(fakes[2], "CLUSTER") + count(fakes[3], "CLUSTER")
      assert.is_true(asked <= 25, word .. " " .. asked)
      for i = 1, 3 do
        assert.is_true(#fakes[i].commands < 400, word .. " " .. #fakes[i].commands)
        assert.equal(1, fakes[i].count)
      end
      s:pump(function()
        s:advance(0.1)
        return count(fakes[1], "CLUSTER") + count(fakes[2], "CLUSTER") + count(fakes[3], "CLUSTER") > 5
      end, "questions for slots")
      assert.is_nil(told)
      assert.equal(word == "CLUSTERDOWN" and 1 or 0, #s.reported)
      s.context:destroy()
      assert.is_true(told)
      for _, fake in ipairs(fakes) do fake:close() end
    end
  end)

  it("reports slots that cannot be read, once, and goes on when they can", function()
    local function range(first, last, host, port)
      return ("*1\r\n*3\r\n%s%s*2\r\n%s%s"):format(first, last, host, port)
    end
    local host = bulk("127.0.0.1")
    local many = {}
    for i = 1, 1001 do many[i] = { i, i, i } end
    local wrong = {
      "+OK\r\n", ":5\r\n", "$-1\r\n", "*0\r\n", "-ERR no\r\n", "#t\r\n", "_\r\n", ",1.5\r\n", "%1\r\n+a\r\n+b\r\n",
      "*1\r\n*0\r\n", "*1\r\n:1\r\n", "*1\r\n*2\r\n:0\r\n:1\r\n", "*1\r\n*3\r\n:0\r\n:1\r\n:1\r\n",
      range(":-1\r\n", ":1\r\n", host, ":1\r\n"), range(":0\r\n", ":16384\r\n", host, ":1\r\n"),
      range(":5\r\n", ":1\r\n", host, ":1\r\n"), range("+a\r\n", ":1\r\n", host, ":1\r\n"),
      range(",0.5\r\n", ":1\r\n", host, ":1\r\n"), range(":0\r\n", ",inf\r\n", host, ":1\r\n"),
      range(":0\r\n", ":1\r\n", ":1\r\n", ":1\r\n"), range(":0\r\n", ":1\r\n", bulk("a b"), ":1\r\n"),
      range(":0\r\n", ":1\r\n", bulk("x@y"), ":1\r\n"), range(":0\r\n", ":1\r\n", bulk("?"), ":1\r\n"),
      range(":0\r\n", ":1\r\n", bulk("a\r\nb"), ":1\r\n"), range(":0\r\n", ":1\r\n", host, ":0\r\n"),
      range(":0\r\n", ":1\r\n", host, ":65536\r\n"), range(":0\r\n", ":1\r\n", host, ":-1\r\n"),
      range(":0\r\n", ":1\r\n", host, ",inf\r\n"), range(":0\r\n", ":1\r\n", host, host),
      slots_answer({ { 0, 5, 1 }, { 5, 9, 2 } }), slots_answer(many),
    }
    local now = wrong[1]
    local s = start({ function(words) return words[1] == "CLUSTER" and now or nil end })
    s:pump(function() return count(fakes[1], "CLUSTER") > 0 end)
    for i, answer in ipairs(wrong) do
      now = answer
      local before = count(fakes[1], "CLUSTER")
      s:pump(function()
        s:advance(0.1)
        return count(fakes[1], "CLUSTER") >= before + 2
      end, "the question after " .. answer)
      s:settle()
      assert.is_false(s.plane.is_up)
      if i == 1 then assert.matches("^back plane: the slots of the cluster cannot be read: ", s.reported[1]) end
      assert.is_nil(s.reported[2])
    end
    local asked = count(fakes[1], "CLUSTER")
    wait(s, 10)
    assert.is_true(count(fakes[1], "CLUSTER") <= asked + 11)
    now = nil
    s:pump(function()
      s:advance(0.1)
      return s.plane.is_up
    end, "the cluster")
  end)

  it("asks the address that it knows where a node does not tell its own, and no node where it tells none", function()
    local s = start({})
    fakes.ranges = {}
    local answer = ("*2\r\n*3\r\n:0\r\n:8191\r\n*2\r\n%s:%d\r\n*3\r\n:8192\r\n:16383\r\n*2\r\n%s:%d\r\n")
    local hosts = { "$-1\r\n", bulk("?") }
    for _, fake in ipairs(fakes) do
      local usual_answer = fake.answer
      function fake.answer(words, it)
        if words[1] ~= "CLUSTER" then return usual_answer(words, it) end
        return answer:format(hosts[1], fakes[2].port, hosts[2], fakes[3].port)
      end
    end
    await_up(s)
    local topic = topic_at(3, "a")
    subscribe(s, topic)
    wait(s, 5)
    assert.equal(0, fakes[3].count)
    assert.is_false(s.plane:hears(topic))
    hosts = { bulk(""), bulk("localhost") }
    s:pump(function()
      s:advance(0.1)
      return last_of(fakes[3], "SSUBSCRIBE") == channel_of(topic)
    end, "the other node")
  end)

  it("tells that a message was not kept which a node refused before it took a later one", function()
    local topic, is_refusing = topic_at(2, "kept"), false
    local s = start({ nil, function(words)
      if words[1] ~= "EVAL" then return nil end
      if not is_refusing then return "*1\r\n" .. bulk(ID) end
      is_refusing = false
      return "-CLUSTERDOWN The cluster is down\r\n"
    end })
    await_up(s)
    local told = {}
    local function publish(text)
      assert(s.context:publish(topic, text, nil, { on_stored = function(id, _, code) told[text] = id or code end }))
    end
    publish("1")
    s:pump(function() return told["1"] end)
    is_refusing = true
    publish("2")
    publish("3")
    s:pump(function() return told["2"] and told["3"] end)
    assert.same({ ID, "unavailable", ID }, { told["1"], told["2"], told["3"] })
    assert.equal(3, count(fakes[2], "EVAL"))
  end)

  it("sends one message first where a node is back, and the others when it was taken", function()
    local topic, answer = topic_at(2, "kept"), "*1\r\n" .. bulk(ID)
    local s = start({ nil, function(words) return words[1] == "EVAL" and answer or nil end })
    await_up(s)
    local told = {}
    answer = ""
    for i = 1, 3 do
      assert(s.context:publish(topic, tostring(i), nil, { on_stored = function(id) told[#told + 1] = id and i end }))
    end
    s:pump(function() return count(fakes[2], "EVAL") == 1 end)
    s:settle()
    assert.equal(1, count(fakes[2], "EVAL"))
    fakes[2]:drop()
    answer = "-CLUSTERDOWN The cluster is down\r\n"
    s:pump(function()
      s:advance(0.05)
      return count(fakes[2], "EVAL") == 3
    end, "the first message again")
    assert.same({}, told)
    answer = "*1\r\n" .. bulk(ID)
    s:pump(function()
      s:advance(0.05)
      return told[3]
    end, "all messages")
    assert.same({ 1, 2, 3 }, told)
  end)

  it("counts messages without history that a node refuses, whatever it says", function()
    local topic, fault = topic_at(2, "a"), nil
    local s = start({ nil, function(words) return words[1] == "SPUBLISH" and fault or nil end })
    await_up(s)
    local faults = { "MOVED 5 127.0.0.1:1", "ASK 5 127.0.0.1:1", "TRYAGAIN no", "CLUSTERDOWN no", "NOPERM no" }
    for i, text in ipairs(faults) do
      fault = "-" .. text .. "\r\n"
      assert.is_true(s.context:publish(topic, "x"))
      s:pump(function() return s.context:metrics().backplane.refused == i end, text)
    end
    fault = nil
    assert.is_true(s.context:publish(topic, "x"))
    s:pump(function() return count(fakes[2], "SPUBLISH") == #faults + 1 end)
    s:settle()
    assert.equal(#faults, s.context:metrics().backplane.refused)
    local families = reader.read(prometheus.text(s.context))
    assert.equal(#faults, reader.value(families, "websockets_backplane_refused_total"))
  end)

  it("is left where the URL leads to a server alone, and found again", function()
    local is_alone = false
    local s = start({ function(words, fake)
      if not is_alone then return nil end
      if words[1] == "CLUSTER" then return "-ERR This instance has cluster support disabled\r\n" end
      if words[1] == "EVAL" then return "*3\r\n$0\r\n\r\n:1\r\n*0\r\n" end
      return fake_redis.usual(words, fake)
    end })
    await_up(s)
    local topic, kept, told = topic_at(2, "a"), topic_at(3, "kept"), {}
    local one, ws = subscribe(s, topic)
    assert.is_true(ws:subscribe(kept))
    s:pump(function() return last_of(fakes[2], "SSUBSCRIBE") and last_of(fakes[3], "SSUBSCRIBE") end)
    -- A message that is not answered when the server changes is not sent to the other one.
    fakes[3].answer = function(words) return words[1] ~= "EVAL" and usual(words) or nil end
    assert(s.context:publish(kept, "x", nil, { on_stored = function(_, _, code) told[#told + 1] = code or "kept" end }))
    is_alone = true
    fakes[1]:drop()
    s:pump(function()
      s:advance(0.05)
      return count(fakes[1], "SUBSCRIBE") > 0 and s.plane:hears(kept)
    end, "the server alone")
    assert.same({ "unavailable" }, told)
    assert.is_true(s.plane.is_up)
    s:pump(function() return not (fakes[2].connection or fakes[3].connection) end, "the end of what was the cluster")
    local asked = count(fakes[1], "CLUSTER")
    wait(s, 10)
    assert.equal(asked, count(fakes[1], "CLUSTER"))
    assert(s.context:publish(topic_at(2, "b"), "x"))
    s:pump(function() return count(fakes[1], "PUBLISH") == 1 end)
    for name, text in pairs({ [topic] = "Ahello", [kept] = "H" .. ID .. "  1 Ahello" }) do
      fakes[1]:send(">3\r\n$7\r\nmessage\r\n" .. bulk(channel_of(name)) .. bulk("publisher---" .. text))
      assert.same({ 1, "hello" }, { one:message() })
    end
    -- What was left while it was a cluster, and alone, is not asked for later.
    assert.is_true(ws:unsubscribe(topic))
    is_alone = false
    fakes[1]:drop()
    fakes[3].commands = {}
    s:pump(function()
      s:advance(0.05)
      return last_of(fakes[3], "SSUBSCRIBE") == channel_of(kept) and s.plane.is_up
    end, "the cluster")
    assert.is_false(s.plane:hears(topic))
    assert.is_true(s.plane:hears(kept))
  end)
end)
