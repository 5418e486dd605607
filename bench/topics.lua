--- What topics cost: in memory and time, up to a million subscriptions; and a publication beside a broadcast.
-- @script topics
--
-- `lua bench/topics.lua [connections] [topics of each] [of how many] [publications]`: 10,000, 100 and 10,000, after a
-- hundredth and a tenth of the connections. These have no sockets: what is measured is the index. The last line is
-- about 400 real connections on 127.0.0.1: each publication (400) is measured beside a broadcast, both with their turn
-- and its system calls. The library and the accelerator are found by LUA_PATH and LUA_CPATH.
package.path = "./?.lua;" .. package.path
local median = require("bench.median")
local socket = require("socket")
local websocket = require("websockets.websocket")
local websockets = require("websockets")

local CONNECTIONS, EACH, TOPICS = tonumber(arg[1] or 10000), tonumber(arg[2] or 100), tonumber(arg[3] or 10000)
local PUBLICATIONS, LEAVING = 2000, 200
local REAL, PAIRS = 400, tonumber(arg[4] or 400)
local PAYLOAD = ("x"):rep(64)
local REQUEST = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: all\r\n\r\n"

local function heap_bytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count") * 1024
end

-- Seconds that a function takes.
local function time(work)
  local before = os.clock()
  work()
  return os.clock() - before
end

-- Connections without sockets: their wires only count what is queued.
local function unreal(count)
  local context, list, sent = websockets.context({}), {}, 0
  context.wire_class = setmetatable({ fanout = function(_, many)
    sent = sent + many
    return 0
  end }, { __index = context.wire_class })
  -- Inside of a turn, as when a callback does it.
  context.busy = true
  for i = 1, count do
    local wire = { buffered = function() return 0 end }
    list[i] = setmetatable({ context = context, settings = context.settings, state = "open", fast = wire, wire = wire },
      websocket)
  end
  return context, list, function() return sent end
end

-- The names are there already, as strings of messages are.
local names = {}
for i = 0, TOPICS - 1 do names[i] = "topic:" .. i end

-- The topics of a connection: spread, so that each topic has connections from everywhere.
local function topic_of(i, k) return names[(i * 7919 + k * 104729) % TOPICS] end

local function measure_index(count)
  local context, list, sent = unreal(count)
  local before, total, leaving_count = heap_bytes(), count * EACH, math.min(LEAVING, math.floor(count / 2))
  local subscribing = time(function()
    for i, ws in ipairs(list) do
      for k = 1, EACH do assert(ws:subscribe(topic_of(i, k))) end
    end
  end)
  local bytes = (heap_bytes() - before) / total
  local publishing = time(function()
    for n = 1, PUBLICATIONS do context:publish(names[n * 31 % TOPICS], PAYLOAD) end
  end)
  local deliveries = sent()
  local unsubscribing = time(function()
    for i = 1, leaving_count do
      for k = 1, EACH do list[i]:unsubscribe(topic_of(i, k)) end
    end
  end)
  local leaving = time(function()
    for i = leaving_count + 1, 2 * leaving_count do context.subscriptions:leave_all(list[i]) end
  end)
  print(("%9d subscriptions: %5.1f bytes each, subscribe %5.0f ns; publish %6.2f us to %5.1f connections, "
    .. "%4.0f ns each; unsubscribe %5.0f ns; an end with %d topics %6.1f us"):format(total, bytes,
    1e9 * subscribing / total, 1e6 * publishing / PUBLICATIONS, deliveries / PUBLICATIONS,
    1e9 * publishing / math.max(1, deliveries), 1e9 * unsubscribing / leaving_count / EACH, EACH,
    1e6 * leaving / leaving_count))
end

-- So many open connections, and the clients' ends of them.
local function connect(context, count)
  local clients = {}
  for i = 1, count do
    local client = assert(socket.connect("127.0.0.1", context:get_port()))
    client:send(REQUEST)
    client:settimeout(0)
    local head = ""
    repeat
      context:service(1)
      local _, _, part = client:receive(4096)
      head = head .. (part or "")
    until head:find("\r\n\r\n", 1, true)
    clients[i] = client
  end
  return clients
end

local function measure_cost()
  local context = websockets.context({
    port = "any", interf = "127.0.0.1", protocols = { all = function(ws) ws:subscribe("all") end },
  })
  local clients = connect(context, REAL)
  local ways = {
    function() context:broadcast("all", PAYLOAD) end,
    function() context:publish("all", PAYLOAD) end,
  }
  local costs, ratios = { {}, {} }, {}
  for i = 1, PAIRS do
    local pair = {}
    -- In turns, so that neither is always the first.
    for at = 1, 2 do
      local way = (i + at) % 2 + 1
      pair[way] = time(ways[way]) / REAL
      for _, client in ipairs(clients) do client:receive(2 + #PAYLOAD) end
    end
    costs[1][i], costs[2][i], ratios[i] = pair[1], pair[2], pair[2] / pair[1]
  end
  print(("a message to %d real connections: broadcast %.2f us each, topic %.2f us each, ratio %.3f"):format(REAL,
    1e6 * median(costs[1]), 1e6 * median(costs[2]), median(ratios)))
  context:destroy()
end

print(("%s, engine %s"):format(rawget(_G, "jit") and jit.version or _VERSION, websockets.engine))
for _, part in ipairs({ 100, 10, 1 }) do measure_index(math.max(1, math.floor(CONNECTIONS / part))) end
measure_cost()
