--- A server whose process is given little memory; `spec.behaviour.little_memory_spec` talks to it. It prints a line for
-- each fact, `name=value`.
-- @script little_memory
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path

local engines = require("websockets.engine.loader")
local websockets = require("websockets")

local MOST_BYTES, MIB = 2 ^ 30, 2 ^ 20
local BROADCAST_MIB, ROOM_MIB, IDLE_SECONDS = 60, 20, 1
local context

local commands = {}

function commands.stop() context:stop() end

-- Processor time of a second in which nothing comes.
function commands.idle(ws)
  local before = os.clock()
  context:after(IDLE_SECONDS, function() ws:write(("%.2f"):format(os.clock() - before)) end)
end

-- A broadcast for which there is not enough left.
function commands.all(ws)
  local data, ballast = ("b"):rep(BROADCAST_MIB * MIB), {}
  while pcall(function() ballast[#ballast + 1] = ("x"):rep(MIB) .. #ballast end) do end
  for _ = 1, math.min(ROOM_MIB, #ballast) do ballast[#ballast] = nil end
  collectgarbage()
  local is_good, err = pcall(context.broadcast, context, "p", data)
  ballast = nil
  collectgarbage()
  ws:write("broadcast " .. (is_good and "sent" or tostring(err)))
end

local function serve(ws)
  ws:on_receive(function(_, data, kind)
    if commands[data] then
      commands[data](ws)
    else
      ws:write(#data < 1000 and data or ("%d bytes"):format(#data), kind)
    end
  end)
  ws:on_closed(function(_, code, reason, _, why) print(("closed=%d %s %s"):format(code, why, reason)) end)
end

io.stdout:setvbuf("line")
local can_compress = engines.that_compresses(engines.choose()).can_compress
context = websockets.context({
  port = "any", interf = "127.0.0.1", compression = can_compress ~= nil and can_compress(),
  max_message_bytes = MOST_BYTES, max_buffered_bytes = MOST_BYTES, max_buffered_total_bytes = MOST_BYTES,
  max_unfinished_total_bytes = MOST_BYTES, on_error = function(err) print("error=" .. tostring(err)) end,
  protocols = { p = serve },
})
print(("port=%d"):format(context:get_port()))
context:run()
print("end=true")
