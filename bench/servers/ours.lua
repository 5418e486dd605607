--- The benchmark's server on this library: `ours.lua --port N`.
-- Every connection has its messages echoed; a message of a `fanout` connection goes to all of that subprotocol.
local websockets = require("websockets")

local function echo_message(ws, data, kind)
  ws:write(data, kind)
end

local function fan_message_out(ws, data)
  ws:broadcast(data)
end

local function echo(ws)
  ws:on_receive(echo_message)
end

local function fan_out(ws)
  ws:on_receive(fan_message_out)
end

local context = websockets.context({
  port = assert(tonumber(arg[2]), "usage: ours.lua --port N"),
  interf = "127.0.0.1",
  origins = "*",
  default = echo,
  protocols = { fanout = fan_out },
})

context:run()
