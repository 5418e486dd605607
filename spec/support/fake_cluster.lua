--- A Redis cluster of three servers inside the spec that tests a back plane in it, and a context with that back plane.
-- @module spec.support.fake_cluster
local client = require("spec.support.client")
local fake_redis = require("spec.support.fake_redis")
local server = require("spec.support.server")
local slots = require("websockets.pubsub.redis.slots")

local fake_cluster = {}

--- What a node answers HELLO 3 with; the id of each message that is kept.
fake_cluster.HELLO = "%4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n"
  .. "$4\r\nmode\r\n$7\r\ncluster\r\n"
fake_cluster.ID = "1700000000000-0"

--- Writes a string as RESP3 does.
function fake_cluster.bulk(text) return "$" .. #text .. "\r\n" .. text .. "\r\n" end

local HELLO, ID, bulk = fake_cluster.HELLO, fake_cluster.ID, fake_cluster.bulk

--- Gives the channel of a topic.
function fake_cluster.channel_of(topic) return "ws:t:{" .. topic .. "}" end

local channel_of = fake_cluster.channel_of

--- Writes an answer to CLUSTER SLOTS.
-- @tparam {table,...} ranges first, last, port
function fake_cluster.slots_answer(ranges)
  local parts = { "*" .. #ranges .. "\r\n" }
  for _, range in ipairs(ranges) do
    parts[#parts + 1] = ("*3\r\n:%d\r\n:%d\r\n*2\r\n%s:%d\r\n"):format(range[1], range[2], bulk("127.0.0.1"), range[3])
  end
  return table.concat(parts)
end

--- Gives what a node of a cluster answers.
-- @tparam {string,...} words
function fake_cluster.usual(words)
  if words[1] == "HELLO" then return HELLO end
  if words[1] == "SPUBLISH" then return ":1\r\n" end
  if words[1] == "ASKING" then return "+OK\r\n" end
  if words[1] == "EVAL" then return "*1\r\n" .. bulk(ID) end
  return fake_redis.usual(words)
end

--- Tells how often a command has come.
function fake_cluster.count(fake, name)
  local found = 0
  for _, words in ipairs(fake.commands) do
    if words[1] == name then found = found + 1 end
  end
  return found
end

--- Gives the first argument of the last command of a name.
function fake_cluster.last_of(fake, name)
  for i = #fake.commands, 1, -1 do
    if fake.commands[i][1] == name then return fake.commands[i][2] end
  end
end

--- Starts a context whose back plane is a cluster of fakes: the first is that of the URL, the others have slots.
-- @tparam table answers has for each a function as `fake_redis.new` takes it; what it gives nil for is answered as
-- usual, "" not at all
-- @tparam ?table ranges as `slots_answer` takes them
-- @treturn table the server of the spec; `fakes`, with their `ranges`; `plane`, `log`, `reported`
function fake_cluster.start(answers, ranges)
  local fakes = {}
  for i = 1, 3 do
    fakes[i] = fake_redis.new(function(words, fake)
      local answer = answers[i] and answers[i](words, fake)
      if answer == "" then return nil end
      if answer == nil and words[1] == "CLUSTER" then return fake_cluster.slots_answer(fakes.ranges) end
      return answer or fake_cluster.usual(words)
    end)
  end
  fakes.ranges = ranges or { { 0, 8191, fakes[2].port }, { 8192, 16383, fakes[3].port } }
  local reported = {}
  local handler, log = server.recorder()
  local s = server.start({
    default = handler, ping_interval = false, on_error = function(err) reported[#reported + 1] = err end,
    topics = function(name) return name:find("^kept") and { history = {} } or nil end,
    backplane = {
      url = "redis://127.0.0.1:" .. fakes[1].port, timeout = 1000, reconnect = { min = 0.1, max = 0.1, jitter = 0 },
    },
  })
  local turn = s.turn
  function s.turn(...)
    for _, fake in ipairs(fakes) do fake:step() end
    return turn(...)
  end
  s.log, s.reported, s.fakes = log, reported, fakes
  s:fake_time()
  assert(s.context:publish("none", ""))
  s.plane = s.context.pubsub.plane
  return s
end

--- Ends what `start` has begun.
-- @tparam ?table fakes
function fake_cluster.stop(fakes)
  server.stop_all()
  for _, fake in ipairs(fakes or {}) do fake:close() end
end

--- Waits until the context is connected to all nodes.
function fake_cluster.await_up(s)
  s:pump(function() return s.plane.is_up end, "the cluster")
end

--- Has time pass, with turns between.
function fake_cluster.wait(s, seconds)
  for _ = 1, seconds / 0.1 do
    s:advance(0.1)
    s:turns(10)
  end
end

--- Gives a topic with a name that begins so, and a slot of the second or third fake.
function fake_cluster.topic_at(which, prefix)
  for i = 1, 1000 do
    local topic = prefix .. i
    if slots.of(channel_of(topic)) <= 8191 == (which == 2) then return topic end
  end
end

--- Opens a connection that subscribes to a topic.
function fake_cluster.subscribe(s, topic, options)
  local one = client.open(s)
  assert(s.log.ws[#s.log.ws]:subscribe(topic, options))
  return one, s.log.ws[#s.log.ws]
end

return fake_cluster
