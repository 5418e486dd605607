--- A server with peers of its own, in which a finalizer raises while messages are read; tells what was lost.
-- @script raising_finalizer
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path

local inside = require("spec.support.inside")
local socket = require("socket")
local websockets = require("websockets")

local PEERS, LEAST = 20, 10
local TAIL = ("x"):rep(3000)
local REQUEST = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Version: 13\r\n"
  .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: a\r\n\r\n"

local received, errors, ends = 0, 0, {}
local context = websockets.context({
  port = "any", interf = "127.0.0.1",
  on_error = function() errors = errors + 1 end,
  protocols = { a = function(ws)
    ws:on_receive(function() received = received + 1 end)
    ws:on_closed(function(_, _, _, _, why) ends[#ends + 1] = why end)
  end },
})

local function turns()
  for _ = 1, 50 do context:service(2) end
end

local peers = {}
for number = 1, PEERS do
  peers[number] = assert(socket.connect("127.0.0.1", context:get_port()))
  peers[number]:send(REQUEST)
end
turns()
for _, peer in ipairs(peers) do peer:send("\129\254" .. string.char(11, 184) .. "\0\0\0\0" .. TAIL) end

local owners, is_done = inside.owners_to_deliver(context), false

-- Each makes the next: one is due in every cycle of the collector.
local function arm()
  local function finalize()
    if is_done then return end
    if owners[LEAST] then
      is_done = true
      error("finalizer", 0)
    end
    arm()
  end
  if rawget(_G, "newproxy") then
    getmetatable(newproxy(true)).__gc = finalize
  else
    setmetatable({}, { __gc = finalize })
  end
end

collectgarbage()
collectgarbage("setpause", 1)
collectgarbage("setstepmul", 100000)
arm()
collectgarbage()
collectgarbage("step", 0)
turns()
local told = "raised %s, received %d, errors %d, ends %s"
print(told:format(tostring(is_done), received, errors, table.concat(ends, " ")))
