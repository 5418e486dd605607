--- A back plane whose URL leads to a cluster, then to a server alone, and to the cluster again.
-- @module spec.interop.cluster_left_spec
local client = require("spec.support.client")
local needs = require("spec.support.needs")
local redis = require("spec.support.redis")
local redis_cluster = require("spec.support.redis_cluster")
local server = require("spec.support.server")
local slots = require("websockets.pubsub.redis.slots")

-- A history in the second third of the slots: the node at the port that a server alone gets later does not have it.
local kept = "kept"
while math.floor(slots.of("ws:t:{" .. kept .. "}") / slots.COUNT * 3) ~= 1 do kept = kept .. "+" end

-- Contexts that share topics, by the port of a server.
local function start(port, count)
  local list = {}
  for i = 1, count do
    local handler, log = server.recorder()
    list[i] = server.start({
      default = handler, ping_interval = false, on_error = function() end,
      backplane = { url = "redis://127.0.0.1:" .. port, reconnect = { min = 0.02, max = 0.2 }, timeout = 1 },
      topics = function(name) return name:find("^kept") and { history = { messages = 100, seconds = 600 } } or nil end,
    })
    list[i].log, list[i].plane = log, list[i].context.pubsub.plane
  end
  server.serve_together(list)
  for _, one in ipairs(list) do
    one:pump(function() return one.plane.is_up end, "the back plane")
  end
  return list
end

-- Whether each context hears its topics, and all names are present.
local function await_whole(list, is_cluster)
  for _, s in ipairs(list) do
    s:pump(function()
      return s.plane.is_up and (s.plane.carrier.members ~= nil) == is_cluster and s.plane:hears("t")
        and s.plane:hears(kept) and s.plane.store.states[kept].is_live
        and table.concat(s.context:presence("t"), " ") == "name1 name2"
    end, is_cluster and "the cluster" or "the server alone")
  end
end

-- Each of what one context publishes comes to all, once.
local function check(list, clients, word)
  for i, s in ipairs(list) do
    for _, topic in ipairs({ "t", kept }) do
      local text = ("%s %s %d"):format(word, topic, i)
      assert(s.context:publish(topic, text))
      for _, one in ipairs(clients) do assert.same({ 1, text }, { one:message() }) end
    end
  end
  for i, one in ipairs(clients) do
    list[i]:settle()
    assert.is_nil(one:try_message())
  end
end

for _, kind in ipairs({ "Redis", "Valkey" }) do
  local lacking = needs.reason(kind)

  describe("a back plane that leaves a cluster of " .. kind, function()
    local test = needs.test(it, pending, lacking)

    after_each(server.stop_all)
    teardown(redis.stop_all)

    test("has its topics, histories and names at the server alone, and again in the cluster", function()
      local cluster = redis_cluster.start(kind, "appendonly yes\nappendfsync always")
      local alone = redis.new(kind)
      alone.port = cluster.nodes[1].port
      local list, clients, told, joined = start(alone.port, 2), {}, {}, nil
      for i, s in ipairs(list) do
        clients[i] = client.open(s)
        assert.is_true(s.log.ws[1]:subscribe("t", { name = "name" .. i }))
        assert.is_true(s.log.ws[1]:subscribe(kept))
      end
      await_whole(list, true)
      check(list, clients, "cluster")
      for _, node in ipairs(cluster.nodes) do node:signal("STOP") end
      for i = 1, 3 do
        assert(list[1].context:publish(kept, "lost " .. i, nil, {
          on_stored = function(id, _, code) told[i] = id or code end,
        }))
      end
      list[1]:turns(5)
      local late = client.open(list[2])
      assert.is_true(list[2].log.ws[2]:subscribe(kept, {
        since = "all", on_joined = function(_, _, is_complete) joined = is_complete end,
      }))
      for _, node in ipairs(cluster.nodes) do node:stop() end
      alone:start()
      await_whole(list, false)
      assert.same({ "unavailable", "unavailable", "unavailable" }, told)
      list[2]:pump(function() return joined ~= nil end, "the connection that joins")
      assert.is_nil(late:try_message())
      list[2].log.ws[2]:close()
      check(list, clients, "alone")
      alone:stop()
      for _, node in ipairs(cluster.nodes) do node:start() end
      await_whole(list, true)
      check(list, clients, "again")
    end)
  end)
end
