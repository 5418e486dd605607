--- The benchmark's server on this library: `ours.lua --port N`.
-- Every connection has its messages echoed; a message of a `fanout` connection goes to all of that subprotocol.
local websockets = require("websockets")

local function echo(ws)
  ws:on_receive(function(self, data, kind)
    self:write(data, kind)
  end)
end

local function fan_out(ws)
  ws:on_receive(function(self, data)
    self:broadcast(data)
  end)
end

local context = websockets.context({
  port = assert(tonumber(arg[2]), "usage: ours.lua --port N"),
  interf = "127.0.0.1",
  origins = "*",
  default = echo,
  protocols = { fanout = fan_out },
})

context:run()
