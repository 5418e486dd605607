--- The benchmark's server on this library: `ours.lua --port N`.
-- Every connection has its messages echoed; a message of a `fanout` connection goes to all of that subprotocol.
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

local function fan_out(ws)
  ws:on_receive(publish)
end

-- A heap of idle connections hardly changes: to collect it early costs little and saves much.
if os.getenv("BENCH_IDLE") then collectgarbage("setpause", 120) end

local context = websockets.context({
  port = assert(tonumber(arg[2]), "usage: ours.lua --port N"),
  interf = "127.0.0.1",
  origins = "*",
  default = echo,
  protocols = { fanout = fan_out },
})

context:run()
