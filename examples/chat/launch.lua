--- Runs the chat in several processes on one port. They share their rooms through Redis; the environment variable
-- REDIS_URL has its URL.
-- It needs luv: Debian's lua-luv, or the rock luv.
-- `lua examples/chat/launch.lua [port [workers]]`; the default is port 8004 and a worker for each processor.
-- @script launch

local here = arg[0]:match("^.*[/\\]") or "./"
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
io.stdout:setvbuf("line")

if not os.getenv("REDIS_URL") then
  io.stderr:write("REDIS_URL is not set: each worker would have rooms of its own\n")
  os.exit(1)
end

local launcher = require("websockets").workers{
  port = tonumber(arg[1] or 8004) or arg[1], interf = "127.0.0.1",
  count = tonumber(arg[2]) or arg[2], script = here .. "server.lua", drain_seconds = 5,
  log = function(level, message) io.stderr:write("launch: ", level, ": ", message, "\n") end,
}
print(("http://127.0.0.1:%d/"):format(launcher:get_port()))
launcher:run()
