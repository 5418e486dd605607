--- What bad peers cost the good one: its median echo time alone and beside a silent peer, a slow handshake, a reader
-- that never reads a file of 100 MiB or a broadcast, and one that vanishes; under `service` and under a loop that
-- watches READ only. Run from the root of the repository: `lua bench/isolation.lua`. Ends with 1 past a ratio of 5.
-- @script isolation
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path

local client = require("spec.support.client")
local median = require("bench.median")
local server = require("spec.support.server")
local socket = require("socket")

local ROUNDS, WARM_UP = 2000, 200
local FILE_BYTES = 100 * 1024 * 1024
local MAX_RATIO = 5
local BROADCAST = ("x"):rep(8 * 1024)

local function sparse_file()
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:seek("set", FILE_BYTES - 1)
  file:write("\0")
  file:close()
  return path
end

local function kilobytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count")
end

-- A loop that watches READ only, as an outside loop of 2012 does.
local function read_only(options)
  local watched = {}
  options.on_add_fd = function(fd) watched[fd] = { getfd = function() return fd end } end
  options.on_del_fd = function(fd) watched[fd] = nil end
  local s = server.start(options)
  function s:turn(ms)
    local list = {}
    for _, object in pairs(watched) do list[#list + 1] = object end
    local ready = socket.select(list, nil, math.min(ms / 1000, self.context:timeout() or 1))
    for i = 1, #ready do self.context:service_fd(ready[i].getfd()) end
    if #ready == 0 then self.context:service_fd(-1) end
  end
  return s
end

local function start(kind, path)
  local options = {
    protocols = { echo = server.echo, flood = function() end },
    on_http = function(ws) ws:serve_http_file(path, "application/octet-stream") end,
  }
  return kind == "service" and server.start(options) or read_only(options)
end

-- Returns what the bad peers go on doing before each echo.
local function bad_peers(s)
  local silent, slow, stuck = client.connect(s), client.connect(s), client.connect(s)
  local deaf, gone = client.open(s, "flood"), client.open(s, "flood")
  stuck:send(client.request("/"))
  gone:send(gone:frame(2, BROADCAST):sub(1, 1000))
  gone:reset()
  local request = client.upgrade({ protocol = "echo", headers = "X-Long: " .. ("x"):rep(4000) .. "\r\n" })
  return function(i)
    slow.connection:send(request:sub(i, i))
    s.context:broadcast("flood", BROADCAST)
    return silent, deaf
  end
end

local function measure(s, before)
  local good, times = client.open(s, "echo"), {}
  for i = 1, ROUNDS + WARM_UP do
    if before then before(i) end
    local from = socket.gettime()
    good.connection:send(good:frame(1, "echo"))
    local opcode
    repeat
      s:turn(1)
      opcode = good:try_message()
    until opcode
    if i > WARM_UP then times[#times + 1] = socket.gettime() - from end
  end
  return median(times)
end

local function compare(kind, path)
  local s = start(kind, path)
  local empty = kilobytes()
  local alone = measure(s)
  local before = bad_peers(s)
  local beside = measure(s, before)
  local ratio = beside / alone
  io.write(("%-9s  alone %6.1f us  beside bad peers %6.1f us  ratio %.2f  memory +%.0f KiB, queued %.0f KiB\n"):format(
    kind, alone * 1e6, beside * 1e6, ratio, kilobytes() - empty, s.context.hub.buffered / 1024))
  server.stop_all()
  return ratio
end

local path = sparse_file()
local worst = math.max(compare("service", path), compare("READ only", path))
os.remove(path)
os.exit(worst <= MAX_RATIO and 0 or 1)
