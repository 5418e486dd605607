--- A server of the API of 2.x that has no descriptor left for a while; `two_x_shortage_spec` starts it with a low
-- limit.
-- @script two_x_few_descriptors
--
-- `lua spec/support/two_x_few_descriptors.lua ev|copas` writes its port, later how much of the processor it took.
package.path = "lua/?.lua;./?.lua;" .. package.path
local two_x = require("spec.support.two_x")
local websocket = require("websocket")

local SHORT_SECONDS, LIMIT_SECONDS = 0.5, 20

local kind = ...
local host = assert(two_x[kind]())
local options = { port = 0, interface = "127.0.0.1", loop = host.loop, default = function(ws) ws:send("served") end }
local add = host.copas and host.copas.addserver
local port
if add then
  host.copas.addserver = function(listener, ...)
    port = select(2, listener:getsockname())
    return add(listener, ...)
  end
end
local server = websocket.server[kind].listen(options)
port = port or select(2, server:sock():getsockname())

local files, file = {}, io.open("/dev/null")
while file do
  files[#files + 1] = file
  file = io.open("/dev/null")
end
io.stdout:setvbuf("line")
print("port " .. math.floor(tonumber(port)))
local socket = require("socket")
local begin, before = socket.gettime(), os.clock()
host:pump(function() return socket.gettime() - begin > SHORT_SECONDS end)
print("busy " .. (os.clock() - before) / SHORT_SECONDS)
for _, one in ipairs(files) do one:close() end
pcall(host.pump, host, function() return socket.gettime() - begin > LIMIT_SECONDS end)
