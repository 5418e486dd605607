--- Lists the library's files in which Lua code runs while one thing is served; `run.py` starts it, and names the tree
-- in LUA_PATH and LUA_CPATH.
-- @script walk
--
-- Prints one line for each thing: its name, a tab, the files in the order in which they begin. A hook sees every byte
-- code, and both ends of the connection tell where the library has received and where it has sent: a file that only
-- works before or after has parentheses. Files of Rust are not listed.
local socket = require("socket")
local websockets = require("websockets")

local TIMEOUT_SECONDS, MOST_TURNS, WARM_UP = 10, 10, 20
local UPGRADE = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
local GET = "GET /page HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
local MASK = "\0\0\0\0"
local ECHO, CLOSE = "\129\192" .. MASK .. ("x"):rep(64), "\136\130" .. MASK .. "\3\232"
local CLOSE_OPCODE_FIN = 136
local ROOT = "@" .. package.searchpath("websockets", package.path):gsub("websockets%.lua$", "")

-- The header Date is made anew once a second, so not in most turns: here the time of day stands still.
local start_time = os.time()
os.time = function() return start_time end -- luacheck: ignore 122

-- A server with one connection, by `connect`; `opened` is its ws, and `is_closed` whether `on_closed` has been called.
local function start()
  local server = { is_closed = false }
  server.context = websockets.context({
    port = "any", interf = "127.0.0.1",
    default = function(ws)
      server.opened = ws
      ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
      ws:on_closed(function() server.is_closed = true end)
    end,
    on_http = function(ws) ws:respond(200, { ["Content-Type"] = "text/plain" }, "page") end,
  })
  return server
end

local function connect(server)
  local peer = socket.tcp4()
  peer:settimeout(TIMEOUT_SECONDS)
  assert(peer:connect("127.0.0.1", server.context:get_port()))
  return peer
end

local function has_bytes(peer) return #socket.select({ peer }, nil, 0) > 0 end

-- Waits without a time limit, as `context:run` does.
local function serve_until(server, is_done)
  for _ = 1, MOST_TURNS do
    if is_done() then return end
    server.context:service(-1)
  end
  error("not served")
end

local function read_head(peer)
  local length = 0
  repeat
    local line = assert(peer:receive("*l"))
    length = tonumber(line:lower():match("^content%-length:%s*(%d+)")) or length
  until line == ""
  return length > 0 and peer:receive(length)
end

local function upgrade(server)
  local peer = connect(server)
  peer:send(UPGRADE)
  serve_until(server, function() return has_bytes(peer) end)
  read_head(peer)
  return peer
end

-- Whether bytes wait at the server's end of a connection.
local function is_waiting(server, peer)
  local pattern = (":%04X %%x+:%04X %%x+ %%x+:(%%x+)"):format(server.context:get_port(), select(2, peer:getsockname()))
  for line in io.lines("/proc/net/tcp") do
    local bytes = line:match(pattern)
    if bytes then return tonumber(bytes, 16) > 0 end
  end
  return false
end

-- Gives a function that tells how far the library is with what `peer` has sent. Only a C function receives: to look
-- after every byte code would take so long that deadlines end.
local function progress(server, peer)
  local state = "waiting"
  return function(has_called_c)
    if state == "waiting" and has_called_c and not is_waiting(server, peer) then state = "received" end
    if state == "received" and has_bytes(peer) then state = "sent" end
    return state
  end
end

-- Traces the files of `work`; `phase(has_called_c)` tells how far it is.
local function trace(phase, work)
  local list, places, last, state, has_called_c = {}, {}, nil, phase(false), false
  debug.sethook(function(event)
    local running = debug.getinfo(2, "S")
    if event ~= "count" then
      has_called_c = has_called_c or running.what == "C"
      return
    end
    local now = phase(has_called_c)
    -- The byte code before this one received, sent, or ran in between.
    if last and (state ~= now or now == "received") then last.is_between = true end
    state, last, has_called_c = now, nil, false
    if running.source:sub(1, #ROOT) ~= ROOT then return end
    local name = running.source:sub(#ROOT + 1)
    if not places[name] then
      places[name] = { name = name }
      list[#list + 1] = places[name]
    end
    last = places[name]
  end, "c", 1)
  work()
  debug.sethook()
  return list
end

local function report(name, list)
  local names = {}
  for i, file in ipairs(list) do names[i] = file.is_between and file.name or "(" .. file.name .. ")" end
  print(name .. "\t" .. table.concat(names, " "))
end

-- One turn, after some that were alike.
local function walk_turn(name, open, request, take)
  local server = start()
  local peer = open(server)
  for _ = 1, WARM_UP do
    peer:send(request)
    serve_until(server, function() return has_bytes(peer) end)
    take(peer)
  end
  peer:send(request)
  report(name, trace(progress(server, peer), function() server.context:service(-1) end))
  take(peer)
  server.context:destroy()
end

-- A closing handshake, until `on_closed` has been called; all of its files count.
local function walk_closing(name, begin, answer)
  local server = start()
  local peer = upgrade(server)
  report(name, trace(function() return "received" end, function()
    begin(server, peer)
    serve_until(server, function() return has_bytes(peer) end)
    assert(peer:receive(4):byte() == CLOSE_OPCODE_FIN)
    peer:send(answer)
    peer:close()
    serve_until(server, function() return server.is_closed end)
  end))
  server.context:destroy()
end

walk_turn("echo", upgrade, ECHO, function(peer) assert(#peer:receive(66) == 66) end)
walk_turn("HTTP GET", connect, GET, function(peer) assert(read_head(peer) == "page") end)
walk_closing("closing, the peer begins", function(_, peer) peer:send(CLOSE) end, "")
walk_closing("closing, we begin", function(server) server.opened:close(1000) end, CLOSE)
