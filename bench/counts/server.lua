--- The server whose work is counted; `run.py` starts it, and names the library's tree in LUA_PATH and LUA_CPATH.
-- @script server
--
-- `server.lua run|service [codes]`: serves by `context:run()` or by one `context:service(-1)` after the other; `codes`
-- has it count Lua's byte codes. Prints its port. Connections without a subprotocol and those of `fanout` are served as
-- by `bench/servers/ours.lua`; one of a `topic` connection goes to all of these as a message of a topic. A message of a
-- `control` connection names a number and gets it.
local websockets = require("websockets")

local is_counting, codes, is_stopped = arg[2] == "codes", 0, false
local context

local function count() codes = codes + 1 end

local function heap_bytes()
  collectgarbage()
  collectgarbage()
  return math.floor(collectgarbage("count") * 1024)
end

local numbers = {
  codes = function() return codes end,
  -- callgrind begins a new report where `setlocale` is called. How far the collector has got is chance.
  mark = function()
    collectgarbage("stop")
    os.setlocale()
    return 0
  end,
  allocated = function()
    collectgarbage("stop")
    return math.floor(collectgarbage("count") * 1024)
  end,
  heap = heap_bytes,
  stop = function()
    is_stopped = true
    context:stop()
    return 0
  end,
}

local function answer(ws, data, kind)
  ws:write(data, kind)
end

local function publish(ws, data)
  ws:broadcast(data)
end

local function publish_to_topic(ws, data)
  ws.context:publish("topic", data)
end

local function control(ws, data)
  ws:write(("%d"):format(numbers[data]()))
end

-- As in `bench/servers/ours.lua`, so that memory is what is measured there.
if os.getenv("BENCH_IDLE") then collectgarbage("setpause", 120) end

context = websockets.context({
  port = "any",
  interf = "127.0.0.1",
  origins = "*",
  default = function(ws) ws:on_receive(answer) end,
  protocols = {
    fanout = function(ws) ws:on_receive(publish) end,
    topic = function(ws)
      ws:subscribe("topic")
      ws:on_receive(publish_to_topic)
    end,
    control = function(ws) ws:on_receive(control) end,
  },
})
io.stdout:write(("%d\n"):format(context:get_port()))
io.stdout:flush()

if is_counting then debug.sethook(count, "", 1) end
if arg[1] == "run" then
  context:run()
else
  repeat context:service(-1) until is_stopped
end
