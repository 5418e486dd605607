--- Test server with a loop of its own: `lua test-server/test-server.lua [test-server/ [port [address]]]`.
-- The port is 8002, or one that the system chooses for `any`; without an address it listens on all of them.
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
    -- More than two ticks ahead means that the clock of the machine was set back.
    if remaining <= 0 or remaining > 2 * demo.TICK_SECONDS then
      demo.tick(context)
      next_tick = socket.gettime() + demo.TICK_SECONDS
      remaining = demo.TICK_SECONDS
    end
    context:service(math.ceil(remaining * 1000))
  end
end)
