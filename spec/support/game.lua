--- A game whose loop serves a client sixty times a second: `game.lua server`, which prints its port, and
-- `game.lua client port`. The system calls of the loop lie between two attempts to open files that are not there.
-- @script game
local socket = require("socket")
local websockets = require("websockets")

local FRAMES, FRAME_SECONDS = 60, 1 / 60

local function serve()
  local context = websockets.context({ port = "any", interf = "127.0.0.1", default = function(ws)
    ws:on_receive(function(from, data, kind) from:write(data, kind) end)
  end })
  print(context:get_port())
  io.stdout:flush()
  context:run()
end

-- Draws, as it were: the loop gives the processor away to nobody.
local function draw(deadline)
  while socket.gettime() < deadline do end
end

-- A server that takes no more connections.
local function black_hole()
  local listener, fillers = assert(socket.tcp4()), {}
  assert(listener:bind("127.0.0.1", 0))
  listener:listen(0)
  local _, port = listener:getsockname()
  for i = 1, 2 do
    fillers[i] = socket.tcp4()
    fillers[i]:settimeout(0)
    fillers[i]:connect("127.0.0.1", port)
  end
  return port, { listener, fillers }
end

local function play(port)
  local hole_port, hole = black_hole()
  local context = websockets.context({})
  local echoes, frames = 0, 0
  io.open("/game/begins")
  local ws = context:connect(("ws://localhost:%s/"):format(port))
  ws:on_receive(function() echoes = echoes + 1 end)
  ws:on_open(function() ws:write("hello") end)
  local lost = context:connect(("ws://127.0.0.1:%s/"):format(hole_port))
  local deadline = socket.gettime()
  while frames < FRAMES or echoes < FRAMES / 2 do
    frames = frames + 1
    deadline = deadline + FRAME_SECONDS
    if echoes > 0 then ws:write(("x"):rep(frames % 2 == 0 and 100 or 100000)) end
    context:service(0)
    draw(deadline)
  end
  lost:close()
  ws:close(1000)
  for _ = 1, 10 do context:service(0) end
  io.open("/game/ends")
  context:destroy()
  print("frames", frames, "echoes", echoes, #hole)
end

if arg[1] == "server" then serve() else play(arg[2]) end
