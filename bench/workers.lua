--- What a message costs workers: the processor time of all of them, one worker beside two, in turn in one run. Each
-- worker has as many connections and as much to do; so the ratio tells what sharing a port costs. All workers have one
-- core, so that two do not differ from one by where the system puts them; the load has another.
-- Run from the root of the project: `lua5.4 bench/workers.lua [ROUNDS]`. It needs luv and Linux.
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path
local jit = rawget(_G, "jit")
local lua = jit and "luajit" or "lua" .. _VERSION:match("%d+%.%d+")
package.cpath = ("build/native/%s/?.so;"):format(lua) .. package.cpath

local child = require("spec.support.child")
local median = require("bench.median")
local socket = require("socket")

local ROUNDS = tonumber(arg[1]) or 15
local CONNECTIONS, MESSAGES = 50, 200
local START_SECONDS, LIMIT_SECONDS = 20, 120
local LOAD_CORE, WORKERS_CORE = 0, 1

local REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
-- A binary message of 64 bytes, masked with zeros; unmasked it has four bytes less.
local FRAME = "\130\192\0\0\0\0" .. ("x"):rep(64)
local ANSWER_BYTES = #FRAME - 4

local SERVER = [[
local websockets = require("websockets")
local context = websockets.context{ socket = "worker", ping_interval = false, default = function(ws)
  ws:write(os.getenv("WEBSOCKETS_WORKER"))
  ws:on_receive(function(_, data, type) ws:write(data, type) end)
end }
context:run()
]]

local LAUNCHER = [[
io.stdout:setvbuf("line")
local ready = 0
local launcher
launcher = require("websockets").workers{ port = "any", interf = "127.0.0.1", script = arg[1], count = tonumber(arg[2]),
  log = function(_, message)
    local pid = message:match("process (%%d+)%%) is ready")
    if not pid then return end
    print("pid " .. pid)
    ready = ready + 1
    if ready == tonumber(arg[2]) then print("port " .. launcher:get_port()) end
  end }
launcher:run()
]]

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- Nanoseconds of processor time.
local function cpu(pids)
  local sum = 0
  for _, pid in ipairs(pids) do
    local file = assert(io.open(("/proc/%d/schedstat"):format(pid)))
    sum = sum + file:read("*n")
    file:close()
  end
  return sum
end

local function connect(port)
  local one = assert(socket.connect("127.0.0.1", port))
  one:settimeout(START_SECONDS)
  assert(one:send(REQUEST))
  repeat until assert(one:receive("*l")) == ""
  -- The number of the worker, as a text frame.
  return one, assert(one:receive(3)):sub(3)
end

-- The same number of connections at each worker: which one accepts is chance.
local function connect_all(port, count)
  local list, filled, left, deadline = {}, {}, count * CONNECTIONS, socket.gettime() + LIMIT_SECONDS
  for number = 1, count do filled[number] = {} end
  repeat
    local one, number = connect(port)
    local some = filled[tonumber(number)]
    if #some < CONNECTIONS then
      some[#some + 1] = one
      left = left - 1
    else
      one:close()
    end
    assert(left == 0 or socket.gettime() < deadline, "a worker accepts no connections")
  until left == 0
  -- One worker after the other, so that each has its messages together.
  for _, some in ipairs(filled) do
    for _, one in ipairs(some) do list[#list + 1] = one end
  end
  return list
end

local function start(folder, count)
  local paths = ("LUA_PATH=%s LUA_CPATH=%s"):format(child.quote(package.path), child.quote(package.cpath))
  local pinned = child.has("taskset") and "taskset -c " .. WORKERS_CORE .. " " or ""
  local command = ("%s%s %s/launch.lua %s/serve.lua %d"):format(pinned, child.quote(child.this_lua()), folder, folder,
    count)
  local program = child.start(command, paths, LIMIT_SECONDS)
  local pids = {}
  for i = 1, count do pids[i] = program:expect("^pid (%d+)$") end
  return { program = program, pids = pids, list = connect_all(program:expect("^port (%d+)$"), count), each = {} }
end

local function round(one)
  local before = cpu(one.pids)
  for _ = 1, MESSAGES do
    for _, connection in ipairs(one.list) do assert(connection:send(FRAME)) end
    for _, connection in ipairs(one.list) do assert(connection:receive(ANSWER_BYTES)) end
  end
  return (cpu(one.pids) - before) / (MESSAGES * #one.list) / 1000
end

-- This process has its core from here on; the workers are given another.
local function pin()
  local file = io.open("/proc/self/stat")
  local pid = file and file:read("*n")
  if file then file:close() end
  if pid and child.has("taskset") then child.run(("taskset -p -c %d %d"):format(LOAD_CORE, pid)) end
end

pin()
local folder = child.make_folder()
write(folder .. "/serve.lua", SERVER)
write(folder .. "/launch.lua", (LAUNCHER:gsub("%%%%", "%%")))
local one, two = start(folder, 1), start(folder, 2)
for i = 0, ROUNDS do
  -- In turns, so that neither is always the first.
  local of_one = i % 2 == 0 and round(one)
  local of_two = round(two)
  of_one = of_one or round(one)
  if i > 0 then one.each[i], two.each[i] = of_one, of_two end
end
local ratios = {}
for i = 1, ROUNDS do ratios[i] = two.each[i] / one.each[i] end
print(("%s, %s: one worker %.2f us a message, two %.2f; ratio %.2f"):format(lua, require("websockets").engine,
  median(one.each), median(two.each), median(ratios)))
-- Before the workers drain, which waits for clients.
for _, each in ipairs({ one, two }) do
  for _, connection in ipairs(each.list) do connection:close() end
  each.program:stop()
end
child.remove_folder(folder)
