--- What each kind of loop costs: the median of an echo (the best of five rounds), and how often an idle server wakes,
-- for both engines.
-- `lua bench/hosts.lua` measures all under this Lua and prints the table that README has. It uses the accelerator of
-- build/native. A loop that is not there is left out.
-- @script hosts
package.path = "./?.lua;lua/?.lua;" .. package.path

local child = require("spec.support.child")
local libev = require("spec.support.libev")
local websockets = require("websockets")

local ROUNDS, ECHOES, IDLE_SECONDS, TEXT = 5, 3000, 3, ("x"):rep(64)
local ORDER = { "service", "run", "select", "ev", "luv", "cqueues", "copas", "uv", "neovim", "love" }
local TITLE = {
  service = "`context:service(-1)`", run = "`context:run()`", select = "`select`, with `context:selectable()`",
  ev = "lua-ev", luv = "luv", cqueues = "cqueues", copas = "copas",
  uv = 'luv, `sockets = "uv"`', neovim = "Neovim", love = "LÖVE, in `love.update`",
}

-- Those that are no program of this Lua; the environment says which one it is, for they have other arguments.
local IN_NEOVIM = "nvim --headless -u NONE -i NONE -c 'luafile bench/hosts.lua'"
local IN_LOVE = [[sh -c 'd=$(mktemp -d) && cp spec/fixtures/love/conf.lua $d && '\
'echo "dofile(\"bench/hosts.lua\")" > $d/main.lua && exec love $d']]
local COMMAND = { neovim = IN_NEOVIM, love = IN_LOVE }

local RUN = {}

function RUN.service(context)
  while true do context:service(-1) end
end

function RUN.run(context) context:run() end

function RUN.select(context)
  local socket = require("socket")
  while true do
    local reads, writes = context:selectable()
    socket.select(reads, writes, context:timeout())
    context:service(0)
  end
end

function RUN.ev(context)
  local ev = assert(libev.load())
  require("websockets.loop.ev").attach(context)
  ev.Loop.default:loop()
end

function RUN.luv(context)
  require("websockets.loop.luv").attach(context)
  require("luv").run()
end

function RUN.cqueues(context)
  local loop = require("cqueues").new()
  require("websockets.loop.cqueues").attach(context, loop)
  assert(loop:loop())
end

function RUN.copas(context)
  require("websockets.loop.copas").attach(context)
  require("copas").loop()
end

function RUN.uv() require("luv").run() end

-- Its loop goes on by itself.
function RUN.neovim() end

function RUN.love(context)
  rawget(_G, "love").update = function() context:service(0) end
end

-- How often this process has waited.
local function waits()
  local file = assert(io.open("/proc/self/status"))
  local text = file:read("*a")
  file:close()
  return text:match("\nvoluntary_ctxt_switches:%s*(%d+)")
end

local function serve(name)
  local context = websockets.context({ port = "any", interf = "127.0.0.1", log = print, ping_interval = false,
    sockets = name == "uv" and "uv" or nil,
    default = function(ws)
      ws:on_receive(function(_, data) ws:write(data == "waits" and waits() or data) end)
    end })
  io.stdout:setvbuf("line")
  io.stdout:write("port ", context:get_port(), "\n")
  RUN[name](context)
end

local function echo(ws, text)
  assert(ws:write(text) == 0)
  local answer = ws:receive(10)
  assert(type(answer) == "string", "no answer")
  return answer
end

local function median(ws)
  local socket, times = require("socket"), {}
  for i = 1, ECHOES do
    local begin = socket.gettime()
    echo(ws, TEXT)
    times[i] = (socket.gettime() - begin) * 1e6
  end
  table.sort(times)
  return times[ECHOES / 2]
end

-- Microseconds of the median echo, in the round that others disturbed least, and wake-ups a second.
local function measure(port)
  local socket = require("socket")
  local ws = assert(websockets.connect("ws://127.0.0.1:" .. port))
  local least = math.huge
  for _ = 1, ROUNDS do least = math.min(least, median(ws)) end
  -- Answering takes one wake-up of its own.
  local before = echo(ws, "waits")
  socket.sleep(IDLE_SECONDS)
  local woken = echo(ws, "waits") - before - 1
  ws:close()
  return least, math.max(0, woken) / IDLE_SECONDS
end

local function cell(name, engine)
  local lua = child.this_lua()
  if COMMAND[name] and (engine == "on" and (name == "love" or not jit) or not child.has(COMMAND[name]:match("nvim")
    or "love")) then
    return nil
  end
  local command = COMMAND[name] or ("%s bench/hosts.lua"):format(child.quote(lua))
  local server = child.start(command, ("HOST=%s WEBSOCKETS_NATIVE=%s LUA_CPATH=%s"):format(name, engine,
    child.quote(package.cpath)))
  local is_there, port = pcall(server.expect, server, "^port (%d+)")
  local is_measured, echo_us, woken = pcall(measure, port)
  server:stop()
  if not (is_there and is_measured) then return nil end
  return ("%.0f µs, %.1f"):format(echo_us, woken)
end

local host = os.getenv("HOST")
if host then return serve(host) end

local name_of_lua = jit and "luajit" or "lua" .. _VERSION:match("%d+%.%d+")
package.cpath = "build/native/" .. name_of_lua .. "/?.so;" .. package.cpath
print("| loop | accelerator: echo, idle wake-ups a second | pure Lua |")
print("|---|---|---|")
for _, name in ipairs(ORDER) do
  local native, pure = cell(name, "on"), cell(name, "off")
  if native or pure then print(("| %s | %s | %s |"):format(TITLE[name], native or "", pure or "")) end
end
