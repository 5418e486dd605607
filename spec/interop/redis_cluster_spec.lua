--- Contexts that share topics by a cluster of Redis or Valkey.
-- @module spec.interop.redis_cluster_spec
local client = require("spec.support.client")
local needs = require("spec.support.needs")
local redis = require("spec.support.redis")
local redis_cluster = require("spec.support.redis_cluster")
local server = require("spec.support.server")
local slots = require("websockets.pubsub.redis.slots")

local RECONNECT = { min = 0.02, max = 0.2 }

local list

-- Contexts that share the topics of a cluster.
local function start(cluster, count, backplane)
  list = {}
  for i = 1, count do
    local handler, log = server.recorder()
    local given = { url = "redis://127.0.0.1:" .. cluster.nodes[1].port, reconnect = RECONNECT }
    for name, value in pairs(backplane or {}) do given[name] = value end
    local reported = {}
    list[i] = server.start({
      default = handler, ping_interval = false, backplane = given,
      on_error = function(err) reported[#reported + 1] = err end,
      topics = function(name)
        return name:find("^kept") and { history = { messages = 100000, seconds = 600 } } or nil
      end,
    })
    list[i].log, list[i].reported = log, reported
    assert.same({}, list[i].context:presence("none"))
  end
  server.serve_together(list)
  for _, one in ipairs(list) do
    one:pump(function() return one.context.pubsub.plane.is_up end, "the back plane")
  end
  return list[1], list[2]
end

-- A new connection: its client, and the ws of the server.
local function connect(s)
  local one = client.open(s)
  return one, s.log.ws[#s.log.ws]
end

local function channel_of(topic) return "ws:t:{" .. topic .. "}" end

-- How many connections are subscribed to the channel of a topic, at each node.
local function subscribers(cluster, topic) return table.concat(cluster:subscribers(channel_of(topic)), " ") end

-- Waits until the node that has the slot of a topic knows of one connection, and no other does.
local function await_heard(cluster, s, topic)
  local expected = {}
  for i, node in ipairs(cluster.nodes) do
    expected[i] = node == cluster:owner(slots.of(channel_of(topic))) and 1 or 0
  end
  expected = table.concat(expected, " ")
  s:pump(function() return subscribers(cluster, topic) == expected end, "the channel of " .. topic)
  s:settle()
end

-- Publishes numbers to a history, and knows which were acknowledged.
local function publisher(s, topic)
  local self = { sent = 0, acknowledged = 0, refused = 0 }
  function self.publish(count)
    for _ = 1, count do
      local number = self.sent + 1
      local is_sent = s.context:publish(topic, ("%d"):format(number), nil, { on_stored = function(id)
        if not id then
          self.refused = self.refused + 1
          return
        end
        assert(number == self.acknowledged + 1)
        self.acknowledged = number
      end })
      if not is_sent then return end
      self.sent = number
    end
  end
  return self
end

local function assert_all(one, last)
  for i = 1, last do
    local _, text = one:message()
    assert.equal(("%d"):format(i), text)
  end
  one.server:settle()
  assert.is_nil(one:try_message())
end

for _, kind in ipairs({ "Redis", "Valkey" }) do
  local lacking = needs.reason(kind)

  describe("a back plane of a cluster of " .. kind, function()
    local cluster

    setup(function()
      if not lacking then cluster = redis_cluster.start(kind, "appendonly yes\nappendfsync always") end
    end)

    teardown(redis.stop_all)

    local test = needs.test(it, pending, lacking)

    after_each(function()
      server.stop_all()
      if cluster then cluster:clear() end
    end)

    test("has each topic at the node that has its slot, and brings each message once, in order", function()
      local s, other = start(cluster, 2)
      local one, ws = connect(s)
      local nodes = {}
      for i = 1, 30 do
        assert.is_true(ws:subscribe("t" .. i))
        nodes[cluster:owner(slots.of(channel_of("t" .. i)))] = true
      end
      for i = 1, 30 do await_heard(cluster, s, "t" .. i) end
      for _, node in ipairs(cluster.nodes) do assert.is_true(nodes[node]) end
      for n = 1, 20 do
        for i = 1, 30 do assert(other.context:publish("t" .. i, ("%d %d"):format(i, n))) end
      end
      local last = {}
      for _ = 1, 600 do
        local _, text = one:message()
        local topic, number = text:match("^(%d+) (%d+)$")
        assert.equal((last[topic] or 0) + 1, tonumber(number))
        last[topic] = tonumber(number)
      end
      s:settle()
      assert.is_nil(one:try_message())
      ws:unsubscribe("t1")
      s:pump(function() return subscribers(cluster, "t1") == "0 0 0" end)
      assert.same({}, s.reported)
    end)

    test("follows a slot that moves while messages are published, and loses nothing of a history", function()
      local s, other = start(cluster, 2)
      local topic = "kept-moving"
      local slot = slots.of(channel_of(topic))
      local one, ws = connect(s)
      ws:subscribe(topic, { since = "all" })
      await_heard(cluster, s, topic)
      local it_is = publisher(other, topic)
      local from = cluster:owner(slot)
      local to = cluster:other_than(from)
      local function go_on(count)
        local before = it_is.sent
        s:pump(function()
          it_is.publish(3)
          s:turn(0)
          return it_is.sent >= before + count
        end)
      end
      for round = 1, 3 do
        go_on(100)
        redis_cluster.begin_move(slot, from, to)
        go_on(50)
        redis_cluster.move_keys(slot, from, to, 1)
        go_on(50)
        redis_cluster.move_keys(slot, from, to, 100)
        go_on(50)
        -- The target has the keys, and is asked for each message.
        if round == 2 then s:pump(function() return it_is.acknowledged == it_is.sent end, "all acknowledgements") end
        cluster:end_move(slot, to)
        go_on(50)
        cluster:await_owner(slot, to)
        from, to = to, from
      end
      s:pump(function() return it_is.acknowledged == it_is.sent end, "all acknowledgements")
      assert.equal(0, it_is.refused)
      assert_all(one, it_is.sent)
      local late, late_ws = connect(s)
      late_ws:subscribe(topic, { since = "all" })
      assert_all(late, it_is.sent)
      assert.same({}, s.reported)
      assert.same({}, other.reported)
    end)

    test("goes on with a topic whose slot has moved, nothing twice and in order, also with many of them", function()
      local s, other = start(cluster, 2)
      local one, ws = connect(s)
      for i = 1, 20 do assert.is_true(ws:subscribe("t" .. i)) end
      for i = 1, 20 do await_heard(cluster, s, "t" .. i) end
      local number, last = 0, {}
      local function publish()
        number = number + 1
        for i = 1, 20 do other.context:publish("t" .. i, ("%d %d"):format(i, number)) end
        s:turn(0)
      end
      local function take()
        local _, text = one:try_message()
        while text do
          local topic, n = text:match("^(%d+) (%d+)$")
          assert.is_true(tonumber(n) > (last[topic] or 0))
          last[topic] = tonumber(n)
          _, text = one:try_message()
        end
      end
      local to = cluster.nodes[2]
      for i = 1, 20 do
        local slot = slots.of(channel_of("t" .. i))
        local from = cluster:owner(slot)
        publish()
        if from ~= to then
          redis_cluster.begin_move(slot, from, to)
          publish()
          cluster:end_move(slot, to)
        end
        for _ = 1, 5 do publish() end
      end
      -- Each topic has come back.
      local since = number
      s:pump(function()
        publish()
        take()
        for i = 1, 20 do
          if (last[("%d"):format(i)] or 0) <= since then return false end
        end
        return true
      end, "messages of all topics")
      assert.same({}, s.reported)
      assert.same({}, other.reported)
    end)

    test("has connections join a history while its keys are at two nodes", function()
      local s, other = start(cluster, 2)
      local topic = "kept-joined"
      local slot = slots.of(channel_of(topic))
      local it_is = publisher(other, topic)
      it_is.publish(10)
      s:pump(function() return it_is.acknowledged == 10 end)
      local from = cluster:owner(slot)
      local to = cluster:other_than(from)
      local clients = {}
      local function join()
        local one, ws = connect(s)
        ws:subscribe(topic, { since = "all" })
        clients[#clients + 1] = one
        s:turns(20)
      end
      redis_cluster.begin_move(slot, from, to)
      join()
      redis_cluster.move_keys(slot, from, to, 1)
      join()
      redis_cluster.move_keys(slot, from, to, 10)
      join()
      it_is.publish(5)
      s:pump(function() return it_is.acknowledged == 15 end)
      join()
      cluster:end_move(slot, to)
      join()
      it_is.publish(5)
      s:pump(function() return it_is.acknowledged == 20 end)
      for _, one in ipairs(clients) do assert_all(one, 20) end
      assert.same({}, s.reported)
    end)

    test("goes on without a node that is killed, and with it when it is back", function()
      local s, other = start(cluster, 2)
      for _, node in ipairs(cluster.nodes) do
        redis_cluster.ask(node, "CONFIG SET cluster-require-full-coverage no")
      end
      local topics, publishers, clients, victim = {}, {}, {}, cluster.nodes[1]
      for i = 1, 12 do
        topics[i] = "kept" .. i
        local one, ws = connect(s)
        ws:subscribe(topics[i], { since = "all" })
        clients[i], publishers[i] = one, publisher(other, topics[i])
      end
      local function go_on(is_there)
        local before = {}
        for i, it_is in ipairs(publishers) do before[i] = it_is.acknowledged end
        s:pump(function()
          local is_done = true
          for i, it_is in ipairs(publishers) do
            if is_there(topics[i]) then
              if it_is.sent - it_is.acknowledged < 100 then it_is.publish(2) end
              is_done = is_done and it_is.acknowledged >= before[i] + 30
            end
          end
          s:turn(0)
          return is_done
        end, "acknowledgements")
      end
      local function is_anywhere() return true end
      local at_victim = {}
      for _, topic in ipairs(topics) do at_victim[topic] = cluster:owner(slots.of(channel_of(topic))) == victim end
      go_on(is_anywhere)
      -- It is the one of the URL as well.
      victim:stop()
      s:pump(function() return not s.context.pubsub.plane.is_up and not other.context.pubsub.plane.is_up end)
      go_on(function(topic) return not at_victim[topic] end)
      for _, topic in ipairs(topics) do
        if at_victim[topic] then assert.equal("unavailable", select(3, other.context:publish(topic, "x"))) end
      end
      victim:start()
      s:pump(function() return s.context.pubsub.plane.is_up and other.context.pubsub.plane.is_up end)
      cluster:await_whole()
      go_on(is_anywhere)
      s:pump(function()
        for _, it_is in ipairs(publishers) do
          if it_is.acknowledged < it_is.sent then return false end
        end
        return true
      end, "all acknowledgements")
      for i, one in ipairs(clients) do assert_all(one, publishers[i].sent) end
      for _, one in ipairs(list) do
        assert.equal(1, #one.reported)
        assert.matches("^back plane: 127.0.0.1:%d+ .*; the next try is in", one.reported[1])
      end
    end)

    test("goes on with the replica of a node that is killed", function()
      local s, other = start(cluster, 2)
      local victim = cluster:other_than(cluster:owner(slots.of(channel_of("none"))))
      local replica = cluster:add_replica(victim)
      local topics = {}
      for i = 1, 200 do
        local at = slots.of(channel_of("kept" .. i))
        if #topics < 3 and cluster:owner(at) == victim then topics[#topics + 1] = "kept" .. i end
      end
      local one, ws = connect(s)
      for _, topic in ipairs(topics) do
        ws:subscribe(topic)
        await_heard(cluster, s, topic)
      end
      local function exchange(text)
        s:pump(function()
          return other.context:publish(topics[1], text)
        end, "publishing")
        for _, topic in ipairs({ topics[2], topics[3] }) do assert(other.context:publish(topic, text)) end
        for _ = 1, 3 do assert.same({ 1, text }, { one:message() }) end
      end
      exchange("before")
      victim:stop()
      s:pump(function() return not other.context.pubsub.plane.is_up end)
      s:pump(function() return s.context.pubsub.plane.is_up and other.context.pubsub.plane.is_up end, "the failover")
      assert.equal(replica, cluster:owner(slots.of(channel_of(topics[1]))))
      exchange("after")
      -- It comes back as a replica, and is asked for nothing.
      victim:start()
      exchange("at last")
    end)
  end)

  describe("a cluster of " .. kind .. " used as one server", function()
    local cluster

    setup(function()
      if not lacking then cluster = redis_cluster.start(kind) end
    end)

    teardown(redis.stop_all)

    local test = needs.test(it, pending, lacking)

    after_each(server.stop_all)

    test("carries topics by any node, broadcasts and presence too, and refuses histories", function()
      local s, other = start(cluster, 2, { sharded = false, broadcast = true })
      local one, ws = connect(s)
      local two = connect(other)
      assert.is_true(ws:subscribe("t", { name = "ada" }))
      s:pump(function() return s.context.pubsub.plane:hears("t") end)
      s:pump(function() return other.context:presence("t")[1] == "ada" end, "presence")
      assert(other.context:publish("t", "hello"))
      assert.same({ 1, "hello" }, { one:message() })
      ws:broadcast("all")
      assert.same({ 1, "all" }, { two:message() })
      local refusal = "a cluster keeps histories by sharded pub/sub alone"
      local _, why, code = s.context:publish("kept", "x")
      assert.is_truthy(why:find(refusal, 1, true))
      assert.equal("unavailable", code)
      local told
      ws:subscribe("kept", { since = "all", on_joined = function(_, _, is_complete) told = is_complete end })
      s:pump(function() return told ~= nil end)
      assert.is_false(told)
      assert.is_truthy(s.reported[1]:find(refusal, 1, true))
    end)

    test("carries broadcasts and presence by its nodes", function()
      local s, other = start(cluster, 2, { broadcast = true })
      local _, ws = connect(s)
      local two = connect(other)
      assert.is_true(ws:subscribe("t", { name = "ada" }))
      s:pump(function() return other.context:presence("t")[1] == "ada" end, "presence")
      s:pump(function()
        ws:broadcast("all")
        return two:try_message()
      end, "a broadcast")
    end)
  end)
end
