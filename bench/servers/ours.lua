--- The benchmark's server on this library: `ours.lua --port N`.
-- Every connection has its messages echoed; a message of a `fanout` connection goes to all of that subprotocol, with
-- BENCH_TOPIC as that of a topic.
local websockets = require("websockets")

-- One function for all connections: in Lua 5.4 a closure for each is memory for each.
local function answer(ws, data, kind)
  ws:write(data, kind)
end

local function publish(ws, data)
  ws:broadcast(data)
end

local function echo(ws)
  ws:on_receive(answer)
end

local function publish_to_topic(ws, data)
  ws.context:publish("topic", data)
end

local function fan_out(ws)
  ws:on_receive(publish)
end

local function subscribe(ws)
  ws:subscribe("topic")
  ws:on_receive(publish_to_topic)
end

-- A heap of idle connections hardly changes: to collect it early costs little and saves much.
if os.getenv("BENCH_IDLE") then collectgarbage("setpause", 120) end

-- The folder of certificate and key, where the load speaks TLS.
local folder = os.getenv("BENCH_TLS")

local context = websockets.context({
  port = assert(tonumber(arg[2]), "usage: ours.lua --port N"),
  interf = "127.0.0.1",
  origins = "*",
  tls = folder and { certificate = folder .. "/cert.pem", key = folder .. "/key.pem" } or nil,
  default = echo,
  protocols = { fanout = os.getenv("BENCH_TOPIC") and subscribe or fan_out },
})

context:run()
