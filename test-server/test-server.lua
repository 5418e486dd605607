--- Test server with its own loop: `lua test-server/test-server.lua [test-server/ [port [address]]]`.
-- The default port is 8002; for `any` the system chooses one. Without an address it listens on all interfaces.
-- @script test-server

local here = arg[0]:match("^.*[/\\]") or "./"
package.path = here .. "../lua/?.lua;" .. here .. "../lua/?/init.lua;" .. package.path
io.stdout:setvbuf("line")

local socket = require "socket"
local websockets = require "websockets"
local demo = dofile(here .. "demo.lua")

local context = demo.context(websockets, demo.arguments(arg, here))

demo.run(context, function()
  local next_tick = socket.gettime() + demo.TICK_SECONDS
  while true do
    local remaining = next_tick - socket.gettime()
    -- If the next tick is more than two ticks away, the clock of the machine was set back.
    if remaining <= 0 or remaining > 2 * demo.TICK_SECONDS then
      demo.tick(context)
      next_tick = socket.gettime() + demo.TICK_SECONDS
      remaining = demo.TICK_SECONDS
    end
    context:service(math.ceil(remaining * 1000))
  end
end)
