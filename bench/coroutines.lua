--- Compares handlers that are coroutines with callbacks: the server's processor time for each message. All kinds take
-- turns in one run, so that the ratio does not depend on the machine.
-- Run from the root of the project: `lua bench/coroutines.lua [ROUNDS]`. Exits with 1 where a ratio of the first shape
-- is above the goal; the second is the hardest one, because a message costs least there.
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path
local jit = rawget(_G, "jit")
local lua = jit and "luajit" or "lua" .. _VERSION:match("%d+%.%d+")
package.cpath = ("build/native/%s/?.so;"):format(lua) .. package.cpath

local median = require "bench.median"
local socket = require "socket"
local websockets = require "websockets"

local GOAL = 1.5
local ROUNDS = tonumber(arg[1]) or 20
local WARM_UP = math.ceil(ROUNDS / 10)
local LIMIT_SECONDS = 30
local MESSAGES_A_ROUND = 8000
-- Connections of each kind, messages that each sends at once. In pure Lua select has room for no more.
local SHAPES = { { websockets.engine == "native" and 1000 or 150, 1 }, { 1, 16 } }
local KINDS = { "callbacks", "coroutines", "coroutines with a timeout" }
-- A subprotocol for each kind.
local PROTOCOLS = { KINDS[1], KINDS[2], "timeouts" }

local REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
-- A binary message of 64 bytes, masked with zeros; unmasked it has four bytes less.
local FRAME = "\130\192\0\0\0\0" .. ("x"):rep(64)
local ANSWER_BYTES = #FRAME - 4

local function echo(timeout)
  return websockets.coroutine(function(ws)
    while true do
      local data, type = ws:receive(timeout)
      if not data then return end
      ws:write(data, type)
    end
  end)
end

local context = websockets.context({
  port = "any", interf = "127.0.0.1", max_half_open = 10000, ping_interval = false,
  protocols = {
    callbacks = function(ws)
      ws:on_receive(function(_, data, type) ws:write(data, type) end)
    end,
    coroutines = echo(nil),
    timeouts = echo(60),
  },
})

-- Serves until a condition holds; gives the processor time that serving took.
local function serve(is_done)
  local spent, deadline = 0, socket.gettime() + LIMIT_SECONDS
  repeat
    local before = os.clock()
    context:service(0)
    spent = spent + os.clock() - before
    assert(socket.gettime() < deadline, "no answer in time")
  until is_done()
  return spent
end

local function connect(protocol)
  local client = assert(socket.connect("127.0.0.1", context:get_port()))
  client:setoption("tcp-nodelay", true)
  client:settimeout(0)
  client:send(REQUEST:format(protocol))
  local head = ""
  serve(function()
    local bytes, _, part = client:receive(4096)
    head = head .. (bytes or part or "")
    return head:find("\r\n\r\n", 1, true)
  end)
  return client
end

-- Each client sends some messages at once and gets them back.
local function exchange(clients, in_flight)
  local bytes, expected = FRAME:rep(in_flight), in_flight * ANSWER_BYTES
  for _, client in ipairs(clients) do assert(client:send(bytes)) end
  local at, got = 1, 0
  return serve(function()
    while clients[at] do
      local whole, _, part = clients[at]:receive(expected - got)
      got = got + #(whole or part or "")
      if got < expected then return false end
      at, got = at + 1, 0
    end
    return true
  end)
end

-- Nanoseconds a message, for each kind.
local function measure(connections, in_flight)
  local clients, spent, costs = {}, {}, {}
  for kind, protocol in ipairs(PROTOCOLS) do
    clients[kind], spent[kind] = {}, {}
    for i = 1, connections do clients[kind][i] = connect(protocol) end
  end
  local repeats = math.ceil(MESSAGES_A_ROUND / (connections * in_flight))
  for round = 1, WARM_UP + ROUNDS do
    for kind in ipairs(KINDS) do
      local seconds = 0
      for _ = 1, repeats do seconds = seconds + exchange(clients[kind], in_flight) end
      if round > WARM_UP then table.insert(spent[kind], seconds) end
    end
  end
  for kind in ipairs(KINDS) do
    costs[kind] = median(spent[kind]) * 1e9 / (repeats * connections * in_flight)
    for _, client in ipairs(clients[kind]) do client:close() end
  end
  return costs
end

local is_good = true
for number, shape in ipairs(SHAPES) do
  print(("%s %s, %d connections, %d in flight on each:"):format(lua, websockets.engine, shape[1], shape[2]))
  local costs = measure(shape[1], shape[2])
  for kind, name in ipairs(KINDS) do
    local ratio = costs[kind] / costs[1]
    print(("  %s: %.0f ns a message, %.2f times"):format(name, costs[kind], ratio))
    if number == 1 and ratio > GOAL then is_good = false end
  end
end
context:destroy()
if not is_good then os.exit(1) end
