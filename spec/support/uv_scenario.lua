--- One scenario on the sockets of libuv, inside of Neovim or under luv: a server and its clients in one context,
-- without LuaSocket. It prints one line for each fact, `name=value`. The environment says more: `WAY` is `run`,
-- `service`, or `itself`, where the loop serves the context and nothing else is called; `LUA_ROOT` is the project.
-- @script uv_scenario
local root = os.getenv("LUA_ROOT")
package.path = root .. "/lua/?.lua;" .. root .. "/?.lua;" .. package.path
package.cpath = (os.getenv("ACCELERATOR") or "") .. ";" .. package.cpath
if os.getenv("HAS_LUASOCKET") == "yes" then
  package.path = os.getenv("LUA_MODULES") .. ";" .. package.path
  require("socket")
else
  package.preload.socket = function() error("module 'socket' not found: this program has none") end
end

local websockets = require("websockets")

local neovim = rawget(_G, "vim")
local uv = neovim and (neovim.uv or neovim.loop) or require("luv")
local way = os.getenv("WAY")
local PEERS, BROADCASTS, FILE_BYTES = 30, 20, 24 * 1024 * 1024
local SIZES = { 0, 1, 125, 126, 65535, 65536, 900 * 1024 }
local LIMIT_SECONDS = 40

local function tell(name, value)
  io.stdout:write(name, "=", tostring(value), "\n")
  io.stdout:flush()
end

local path = os.tmpname()
local file = assert(io.open(path, "wb"))
for _ = 1, FILE_BYTES / 65536 do file:write(("x"):rep(65536)) end
file:close()

local log = {}
local context
context = websockets.context({
  port = "any", interf = "127.0.0.1", handshake_timeout = LIMIT_SECONDS,
  protocols = { echo = function(ws)
    ws:on_broadcast(function() ws:write("to all") end)
    ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
  end },
  on_http = function(ws) ws:serve_http_file(path) end,
  on_error = function(err) tell("error", err) end,
  log = function(level, message) log[#log + 1] = level .. ": " .. message end,
})
local port = context:get_port()

-- Its deadlines are so short that peers would be missed by them that only have to wait for the processor.
local strict = websockets.context({
  port = "any", interf = "127.0.0.1", handshake_timeout = 0.3, ping_interval = 0.3, ping_timeout = 0.3,
  default = function() end, on_error = function(err) tell("error", err) end,
})

-- Serves until a condition holds; false after a time.
local function pump(condition)
  local is_over = false
  local limit = context:after(LIMIT_SECONDS, function() is_over = true end)
  local function is_done() return is_over or condition() end
  if way == "service" then
    while not is_done() do context:service(50) end
  elseif way == "run" then
    local check = context:every(0.002, function() if is_done() then context:stop() end end)
    context:run()
    check:cancel()
  elseif neovim then
    neovim.wait(1000 * LIMIT_SECONDS, is_done, 2)
  else
    while not is_done() do uv.run("once") end
  end
  limit:cancel()
  return not is_over
end

local function open(options)
  local all = { protocols = { "echo" }, max_message_bytes = 1024 * 1024 }
  for name, value in pairs(options or {}) do all[name] = value end
  local ws = assert(context:connect(("ws://127.0.0.1:%d/"):format(port), all))
  ws:on_closed(function(_, _, reason, _, why) tell("closed", why .. " " .. reason) end)
  return ws
end

-- A peer that is no WebSocket: it counts what comes.
local function raw_peer(bytes, at)
  local peer = { count = 0, ended = false, handle = uv.new_tcp() }
  peer.handle:connect("127.0.0.1", at, function()
    if bytes then peer.handle:write(bytes) end
    peer.handle:read_start(function(_, got)
      if got then peer.count = peer.count + #got else peer.ended = true end
    end)
  end)
  return peer
end

tell("library", context.sockets.name)
tell("engine", websockets.engine)
tell("has LuaSocket", type(package.loaded.socket) == "table")

-- Echo.
local ws, sizes = open(), {}
ws:on_open(function() ws:write("") end)
ws:on_receive(function(_, data)
  sizes[#sizes + 1] = data == ("a"):rep(#data) and #data or "wrong"
  local following = SIZES[#sizes + 1]
  if following then ws:write(("a"):rep(following)) end
end)
pump(function() return #sizes == #SIZES end)
tell("sizes", table.concat(sizes, " "))

-- Broadcasts, to many.
local opened, heard, members = 0, 0, {}
for i = 1, PEERS do
  members[i] = open()
  members[i]:on_open(function() opened = opened + 1 end)
  members[i]:on_receive(function() heard = heard + 1 end)
end
pump(function() return opened == PEERS end)
for _ = 1, BROADCASTS do context:broadcast("echo", "now") end
pump(function() return heard >= PEERS * BROADCASTS end)
tell("broadcasts", heard)

-- A file that is read slowly, while others echo.
local reader, echoes, worst = raw_peer("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", port), 0, 0
local sent_at = uv.hrtime()
ws:on_receive(function()
  echoes, worst = echoes + 1, math.max(worst, (uv.hrtime() - sent_at) / 1e9)
  sent_at = uv.hrtime()
  if not reader.ended then ws:write("beside") end
end)
ws:write("beside")
pump(function() return reader.ended end)
tell("file", reader.count > FILE_BYTES)
tell("echoes beside it", echoes > 2 and worst < 5)

-- Deadlines: a peer that says nothing, and an open one that answers no ping.
local silent = raw_peer(nil, strict:get_port())
local deaf = raw_peer("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", strict:get_port())
tell("deadlines", pump(function() return silent.ended and deaf.ended end))
strict:destroy()

for _, peer in ipairs({ reader, silent, deaf }) do peer.handle:close() end

-- Timers.
local count = 0
context:every(0.01, function(timer)
  count = count + 1
  if count == 5 then timer:cancel() end
end)
tell("timers", pump(function() return count == 5 end))

-- Closing handshakes, and what cannot be reached.
local clean = 0
for i = 1, PEERS do
  members[i]:on_closed(function(_, code, _, is_clean) if is_clean and code == 1000 then clean = clean + 1 end end)
  members[i]:close(1000)
end
pump(function() return clean == PEERS end)
tell("clean", clean)
local why
local refused = context:connect("ws://127.0.0.1:1/")
refused:on_closed(function(_, _, message, _, word) why = word .. ": " .. message end)
pump(function() return why end)
tell("refused", why)

-- Echo times, and how often an idle loop is woken up.
local begun, trips = uv.hrtime(), 0
ws:on_receive(function()
  trips = trips + 1
  if trips < 2000 then ws:write("trip") end
end)
ws:write("trip")
pump(function() return trips == 2000 end)
tell("trip ms", ("%.3f"):format((uv.hrtime() - begun) / 1e6 / trips))

if way == "itself" then
  local prepare, rounds, is_over = uv.new_prepare(), 0, false
  local inside = require("spec.support.inside")
  ws:on_closed(function() end)
  ws:close()
  pump(function() return inside.connections(context) == 0 end)
  prepare:start(function() rounds = rounds + 1 end)
  local timer = uv.new_timer()
  timer:start(1000, 0, function() is_over = true end)
  if neovim then
    neovim.wait(5000, function() return is_over end, 5000)
  else
    while not is_over do uv.run("once") end
  end
  prepare:close()
  timer:close()
  tell("idle rounds a second", rounds)
end

context:destroy()
if not neovim then uv.run() end
os.remove(path)
tell("log", table.concat(log, "; "))
tell("done", true)
