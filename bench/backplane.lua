--- What a back plane of Redis costs: `lua bench/backplane.lua [KIND] [ROUNDS] [MESSAGES]`, KIND is Redis (default) or
-- Valkey.
--
-- It prints the processor time of this process for one message to 1,000 connections: published without a back plane,
-- then published with one, each beside broadcasts in turn with it, and the median of their ratios; and how many
-- messages a second go through the server from one process to another, with the processor time of the one that
-- receives, beside how many come from redis-benchmark: the best of so many rounds (3).
-- @script backplane
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path
local jit = rawget(_G, "jit")
package.cpath = ("build/native/%s/?.so;"):format(jit and "luajit" or "lua" .. _VERSION:match("%d+%.%d+"))
  .. package.cpath

local child = require("spec.support.child")
local median = require("bench.median")
local redis = require("spec.support.redis")
local socket = require("socket")
local websockets = require("websockets")

local CONNECTIONS, PUBLICATIONS, ROUNDS = 1000, 50, tonumber(arg[2] or 3)
local PAIRS = 7 * ROUNDS
-- Redis ends a subscriber for which 32 MiB wait.
local MOST_MESSAGES, MOST_BYTES, IN_FLIGHT = tonumber(arg[3] or 40000), 20 * 1024 * 1024, 256

local function say(...) print(string.format(...)) end

-- The other process: it opens the connections and reads what comes.
local READER = [[
package.path, package.cpath = %q, %q
local websockets = require("websockets")
local context = websockets.context{}
for _ = 1, %d do
  local ws = assert(context:connect("ws://127.0.0.1:%d/", { protocols = { "bench" } }))
  ws:on_receive(function() end)
  ws:on_closed(function() context:stop() end)
end
context:run()
]]

local function write_program(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

local function with_readers(options, measure)
  local list = {}
  options.port, options.interf = "any", "127.0.0.1"
  options.protocols = { bench = function(ws)
    list[#list + 1] = ws
    ws:subscribe("bench")
  end }
  local context = websockets.context(options)
  local path = write_program(READER:format(package.path, package.cpath, CONNECTIONS, context:get_port()))
  local reader = child.start(("%s %s"):format(child.this_lua(), path), "", 300)
  while #list < CONNECTIONS do context:service(10) end
  measure(context)
  context:destroy()
  reader:stop()
  os.remove(path)
end

-- Processor time of one call of `send`, in microseconds; each is a turn of its own, and nothing may wait long.
local function cost(context, send)
  local begun = os.clock()
  for _ = 1, PUBLICATIONS do
    send(context)
    context:service(0)
  end
  local used = (os.clock() - begun) / PUBLICATIONS * 1e6
  for _ = 1, 20 do context:service(1) end
  return used
end

local DATA = ("x"):rep(64)
local function broadcast(context) context:broadcast("bench", DATA) end
local function publish(context) context:publish("bench", DATA) end

-- The medians of a broadcast and a publication, in turn, and of their ratios.
local function compare_ways(context)
  local costs, ratios = { {}, {} }, {}
  for i = 0, PAIRS do
    local pair, ways = {}, { broadcast, publish }
    for at = 1, 2 do
      local way = (i + at) % 2 + 1
      pair[way] = cost(context, ways[way])
    end
    -- The first pair warms up.
    if i > 0 then costs[1][i], costs[2][i], ratios[i] = pair[1], pair[2], pair[2] / pair[1] end
  end
  return median(costs[1]), median(costs[2]), median(ratios)
end

local function await_ready(context)
  local deadline = socket.gettime() + 10
  while not context.pubsub.plane.carrier:is_ready() do
    assert(socket.gettime() < deadline)
    context:service(10)
  end
end

local function fan_out(it_is)
  local words = "one message of 64 bytes to %d connections, us of processor time, %s: broadcast %.0f, publish %.0f; "
    .. "ratio %.3f"
  with_readers({}, function(context) say(words, CONNECTIONS, "without a back plane", compare_ways(context)) end)
  with_readers({ backplane = { url = "unix:" .. it_is.path } }, function(context)
    await_ready(context)
    say(words, CONNECTIONS, "with a back plane", compare_ways(context))
  end)
end

-- The other process: it publishes what it is asked for, so that never too much is on its way.
local SENDER = [[
package.path, package.cpath = %q, %q
local websockets = require("websockets")
local context = websockets.context{ backplane = { url = %q } }
local left, data = %d, ("x"):rep(%d)
while not context.pubsub.plane.carrier:is_ready() do context:service(10) end
while left > 0 do
  for _ = 1, %d do context:publish("bench", data) end
  left = left - %d
  repeat context:service(1) until context.pubsub.plane.carrier.link.last == 0
end
context:service(100)
]]

-- Messages a second that a context receives of what a program publishes, and its processor time for each in
-- microseconds.
local function throughput(it_is, messages, command)
  local best, best_cost = math.huge, math.huge
  for _ = 1, ROUNDS do
    local context = websockets.context{ backplane = { url = "unix:" .. it_is.path } }
    await_ready(context)
    local count, plane = 0, context.pubsub.plane
    plane:retain("bench")
    local message = plane.message
    plane.message = function(...)
      count = count + 1
      return message(...)
    end
    while it_is:subscribers("ws:t:{bench}") == 0 do context:service(1) end
    local sender = child.start(command, "", 300)
    while count == 0 do context:service(10) end
    local begun, used, first = socket.gettime(), os.clock(), count
    while count < messages do context:service(10) end
    best = math.min(best, (socket.gettime() - begun) / (count - first))
    best_cost = math.min(best_cost, (os.clock() - used) / (count - first) * 1e6)
    sender:stop()
    context:destroy()
  end
  return 1 / best, best_cost
end

-- Between two of our processes.
local function compare(it_is, bytes)
  local url = "unix:" .. it_is.path
  local messages = IN_FLIGHT * math.floor(math.min(MOST_MESSAGES, MOST_BYTES / bytes) / IN_FLIGHT)
  local path = write_program(SENDER:format(package.path, package.cpath, url, messages, bytes, IN_FLIGHT, IN_FLIGHT))
  local rate, used = throughput(it_is, messages, ("%s %s"):format(child.this_lua(), path))
  os.remove(path)
  say("messages of %d bytes a second, from one process to another: %.0f (%.1f us of the receiving one)", bytes, rate,
    used)
end

-- What redis-benchmark publishes to one of ours: its payload is written as ours are.
local function limit(it_is, bytes)
  local command = "redis-benchmark -s %s -P 16 -n %d -q publish ws:t:{bench} %s"
  local all = command:format(it_is.path, 2 * MOST_MESSAGES, "redis-benchA" .. ("x"):rep(bytes))
  local rate = throughput(it_is, MOST_MESSAGES, all)
  say("messages of %d bytes a second, from redis-benchmark: %.0f", bytes, rate)
end

local kind = arg[1] or "Redis"
local it_is = redis.new(kind):start()
say("%s, %s, engine %s", kind, child.this_lua():match("[^/]+$"), websockets.engine)
local is_good, err = pcall(function()
  fan_out(it_is)
  for _, bytes in ipairs({ 100, 4096 }) do compare(it_is, bytes) end
  -- It knows no measure: with larger messages Redis ends the subscriber.
  limit(it_is, 100)
end)
redis.stop_all()
if not is_good then error(err, 0) end
