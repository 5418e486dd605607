--- What a back plane in a Redis cluster is like after an error that has come between two of its steps: memory that was
-- refused.
-- @module spec.behaviour.cluster_repair_spec
local cluster = require("websockets.pubsub.redis.cluster")
local fake_cluster = require("spec.support.fake_cluster")
local fake_redis = require("spec.support.fake_redis")
local link = require("websockets.pubsub.redis.link")
local topology = require("websockets.pubsub.redis.topology")

local OUT_OF_MEMORY = "not enough memory"

local channel_of, subscribe = fake_cluster.channel_of, fake_cluster.subscribe

local s

-- Has a function raise when it is called next. Returns a function that tells whether it was.
local function refuse_once(object, name)
  local before, has_raised = rawget(object, name), false
  object[name] = function()
    object[name], has_raised = before, true
    error(OUT_OF_MEMORY, 0)
  end
  return function() return has_raised end
end

-- The channels of topics that the carriers of nodes have, and those that the cluster has no node for.
local function channels()
  local list = {}
  for name, one in pairs(s.plane.carrier.members) do
    for channel in pairs(one.carrier.wanted) do list[#list + 1] = name:match("%d+$") .. " " .. channel end
  end
  for channel in pairs(s.plane.carrier.homeless) do list[#list + 1] = "homeless " .. channel end
  table.sort(list)
  return table.concat(list, "\n")
end

-- Waits until the topics are where they belong, and nothing else is anywhere.
local function await_topics(places)
  local wanted, names = {}, {}
  for topic, which in pairs(places) do
    wanted[#wanted + 1], names[#names + 1] = s.fakes[which].port .. " " .. channel_of(topic), topic
  end
  table.sort(wanted)
  local expected = table.concat(wanted, "\n")
  s:pump(function()
    s:advance(0.05)
    for _, topic in ipairs(names) do
      if not s.plane:hears(topic) then return false end
    end
    return s.plane.is_up and channels() == expected
  end, expected)
end

local function member(which) return s.plane.carrier.members["127.0.0.1:" .. s.fakes[which].port].carrier end

describe("a back plane in a cluster after an error", function()
  after_each(function()
    if s then fake_cluster.stop(s.fakes) end
    s = nil
  end)

  it("has each channel at the node that has its slot, wherever it was left", function()
    s = fake_cluster.start({})
    fake_cluster.await_up(s)
    local left, kept = fake_cluster.topic_at(2, "a"), fake_cluster.topic_at(3, "kept")
    local _, ws = subscribe(s, left)
    assert.is_true(ws:subscribe(kept))
    local places = { [left] = 2, [kept] = 3 }
    await_topics(places)
    for _, change in ipairs({
      function() member(2):unsubscribe(channel_of(left)) end,
      function() member(3).wanted[channel_of(kept)] = nil end,
      function() member(3):subscribe(channel_of(left)) end,
      function() member(2):subscribe(channel_of("unknown")) end,
      function() s.plane.carrier.homeless[channel_of("unknown")] = true end,
      function()
        member(2):close()
        s.plane.carrier.members["127.0.0.1:" .. s.fakes[2].port] = nil
      end,
      -- It is known that a slot has another node, and its channels have not heard of that.
      function()
        s.fakes.ranges = { { 0, 16383, s.fakes[3].port } }
        for slot in pairs(s.plane.carrier.topology.owners) do
          s.plane.carrier.topology.owners[slot] = "127.0.0.1:" .. s.fakes[3].port
        end
        places[left] = 3
      end,
    }) do
      change()
      s.context.agenda.is_damaged = true
      await_topics(places)
    end
    s:pump(function() return s.plane.store.states[kept].is_live end, "the history")
    assert.is_true(ws:unsubscribe(left))
    await_topics({ [kept] = 3 })
  end)

  it("follows slots that move while memory is refused", function()
    for _, name in ipairs({ "unheard", "lost" }) do
      s = fake_cluster.start({})
      fake_cluster.await_up(s)
      local places = {}
      for _, prefix in ipairs({ "a", "b", "kept" }) do
        local topic = fake_cluster.topic_at(2, prefix)
        subscribe(s, topic)
        places[topic] = 2
      end
      await_topics(places)
      for topic in pairs(places) do places[topic] = 3 end
      local has_raised = refuse_once(s.plane, name)
      s.fakes.ranges = { { 0, 16383, s.fakes[3].port } }
      if name == "lost" then s.fakes[2]:drop() else s.plane.carrier:refresh() end
      s:pump(function()
        s:advance(0.05)
        return has_raised()
      end, "the refusal")
      await_topics(places)
      fake_cluster.stop(s.fakes)
    end
  end)

  it("opens the connection to a node also where memory is refused for that", function()
    s = fake_cluster.start({})
    local timers, has_raised = s.context.timers, nil
    local open = link.open
    function link.open(...)
      link.open = open
      has_raised = refuse_once(timers, "plan")
      return open(...)
    end
    await_topics({})
    assert.is_true(has_raised())
  end)

  it("is found, and left, also where memory is refused then", function()
    local is_alone = true
    s = fake_cluster.start({ function(words)
      if not is_alone then return nil end
      if words[1] == "EVAL" then return "*3\r\n$0\r\n\r\n:1\r\n*0\r\n" end
      return fake_redis.usual(words)
    end })
    fake_cluster.await_up(s)
    local left, kept = fake_cluster.topic_at(2, "a"), fake_cluster.topic_at(3, "kept")
    local _, ws = subscribe(s, left)
    assert.is_true(ws:subscribe(kept))
    s:pump(function() return s.plane:hears(left) and s.plane:hears(kept) end)
    for _, object in ipairs({ cluster, topology }) do
      local has_raised = refuse_once(object, object == cluster and "subscribe" or "refresh")
      is_alone = false
      s.fakes[1]:drop()
      s:pump(function()
        s:advance(0.05)
        return has_raised()
      end, "the refusal")
      await_topics({ [left] = 2, [kept] = 3 })
      has_raised = refuse_once(object, object == cluster and "hand_back" or "close")
      is_alone = true
      s.fakes[1]:drop()
      s:pump(function()
        s:advance(0.05)
        return has_raised()
      end, "the second refusal")
      s:pump(function()
        s:advance(0.05)
        return s.plane.carrier.is_seed == false and s.plane:hears(left) and s.plane:hears(kept)
      end, "the server alone")
      assert.is_true(s.plane.is_up)
      s:pump(function() return not (s.fakes[2].connection or s.fakes[3].connection) end, "the end of the cluster")
    end
  end)
end)
