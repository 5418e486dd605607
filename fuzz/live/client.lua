--- Attacks clients: hostile servers answer the opening handshake and send frames that were right, changed and cut.
-- @script client
--
-- `lua fuzz/live/client.lua SECONDS SEED [BATCH]`: after each batch the context must be as at the beginning. A batch
-- follows from seed and number alone: with BATCH the run begins there.
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local engine = require("websockets.engine.loader").choose()
local inside = require "spec.support.inside"
local mutate = require "fuzz.live.mutate"
local socket = require "socket"
local streams = require "spec.support.streams"
local websockets = require "websockets"

local seconds, seed, first = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3] or 1)
local SERVERS, AT_ONCE = 200, 60
local BATCH_SECONDS = 60
local MAX_TURN_CPU_SECONDS = 0.5
local MAX_GROWTH_KIB = 4096
local REPORT_SECONDS = 30
local ANSWERS = mutate.seeds("answers", 8)
local CAN_COMPRESS = engine.can_compress and engine.can_compress() or false
local LINES = {
  "Sec-WebSocket-Protocol: chat\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n", "Server: x\r\n",
  "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_max_window_bits=9\r\n",
}

local function answer(random, key)
  if random(6) == 1 then return ANSWERS[random(#ANSWERS)] end
  local lines = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    .. "Sec-WebSocket-Accept: " .. engine.accept_key(key) .. "\r\n"
  if random(2) == 1 then lines = lines .. LINES[random(#LINES)] end
  return lines .. "\r\n"
end

local function messages(random)
  if engine.deflater and random(3) == 1 then
    local how = { window_bits = 15, level = 6, no_context_takeover = random(2) == 1 }
    return streams.generate_packed(random, "client", engine.deflater(how))
  end
  return streams.generate(random, "client")
end

-- What one server sends after the request.
local function attack(random, key)
  local head, rest = answer(random, key), messages(random)
  if random(3) == 1 then head = mutate.change(random, head) end
  if random(3) > 1 then rest = mutate.change(random, rest) end
  return mutate.pieces(random, head .. rest)
end

-- One hostile server; `step` returns whether it goes on.
local function server(random, connection)
  local request, pieces, at, offset, ending = "", nil, 1, 1, random(20)
  connection:settimeout(0)
  local self = {}
  local function finish()
    if ending == 1 then connection:setoption("linger", { on = true, timeout = 0 }) end
    connection:close()
    return false
  end
  function self.step()
    local piece, why, part = connection:receive(65536)
    if not piece and why ~= "timeout" then return finish() end
    if not pieces then
      request = request .. (piece or part)
      local key = request:match("Sec%-WebSocket%-Key: (%S+)\r\n.*\r\n\r\n")
      if key then pieces = attack(random, key) end
      return true
    end
    -- Some say nothing more: the times of the client end them.
    if not pieces[at] then return ending == 2 or finish() end
    local last, _, partial = connection:send(pieces[at], offset)
    offset = (last or partial) + 1
    if offset > #pieces[at] then at, offset = at + 1, 1 end
    return true
  end
  return self
end

local worst_turn = 0

local function turn(context)
  local before = os.clock()
  context:service(0)
  worst_turn = math.max(worst_turn, os.clock() - before)
end

-- What the application does with its connections, and what must not happen to it.
local function watch(random, ws, counts)
  local is_open, is_closed = false, false
  ws:on_open(function()
    assert(not is_open and not is_closed, "opened twice, or after its end")
    is_open = true
    counts.opened = counts.opened + 1
    ws:write("hello")
  end)
  ws:on_receive(function(_, data, kind)
    assert(is_open and not is_closed, "a message before the beginning or after the end")
    counts.messages = counts.messages + 1
    local action = random(30)
    if action == 1 then ws:close(1000) elseif action == 2 then ws:rx_flow_control(false) else ws:write(data, kind) end
    if action == 2 then ws:rx_flow_control(true) end
  end)
  ws:on_closed(function(_, code)
    assert(not is_closed, "closed twice")
    assert(type(code) == "number")
    is_closed = true
    counts.closed = counts.closed + 1
  end)
end

local OPTIONS = { protocols = { "chat" }, timeout = 1, ping_interval = 0.5, ping_timeout = 1, close_timeout = 1,
  max_message_bytes = 100000, max_fragments = 100, compression = CAN_COMPRESS }

-- The least of some counts: `ls` may see the other end of its own pipe before it is closed here.
local function descriptors()
  local least = math.huge
  for _ = 1, 4 do
    local pipe = assert(io.popen("ls /proc/$PPID/fd | wc -l"))
    least = math.min(least, pipe:read("*n"))
    pipe:close()
  end
  return least
end

local function run_batch(random, context, listener)
  local url = "ws://127.0.0.1:" .. select(2, listener:getsockname()) .. "/"
  local counts = { opened = 0, messages = 0, closed = 0 }
  local servers, made, deadline = {}, 0, socket.gettime() + BATCH_SECONDS
  while counts.closed < SERVERS or #servers > 0 do
    if made < SERVERS and made - counts.closed < AT_ONCE then
      watch(random, assert(context:connect(url, OPTIONS)), counts)
      made = made + 1
    end
    local connection = listener:accept()
    if connection then servers[#servers + 1] = server(random, connection) end
    for index = #servers, 1, -1 do
      if not servers[index].step() then table.remove(servers, index) end
    end
    turn(context)
    assert(socket.gettime() < deadline, ("only %d of %d connections have ended"):format(counts.closed, SERVERS))
  end
  turn(context)
  assert(inside.connections(context) == 0 and inside.buffered(context) == 0 and inside.budget(context) == 0,
    "something is left of connections that have ended")
  return counts
end

local function run()
  local errors = {}
  local context = websockets.context({ on_error = function(err) errors[#errors + 1] = tostring(err) end,
    compression = CAN_COMPRESS })
  local listener = assert(socket.bind("127.0.0.1", 0, 1024))
  listener:settimeout(0)
  local start, reported, batch, all = socket.gettime(), socket.gettime(), first, { opened = 0, messages = 0 }
  local base, kib = nil, 0
  local function report(text)
    local pattern = "%s, %s, seed %d, batch %d: %d servers, %d opened, %d messages, %.0f s; worst turn %.0f ms, "
      .. "Lua %.0f KiB"
    print(pattern:format(text, websockets.engine, seed, batch, (batch - first + 1) * SERVERS, all.opened, all.messages,
      socket.gettime() - start, worst_turn * 1000, kib))
    io.stdout:flush()
  end
  local function check()
    collectgarbage()
    collectgarbage()
    kib = collectgarbage("count")
    -- After the first batches every table and buffer has its size.
    if batch == first + 5 then base = { kib = kib, descriptors = descriptors() } end
    assert(not errors[1], errors[1])
    assert(worst_turn < MAX_TURN_CPU_SECONDS, "a turn that took too long")
    assert(not base or kib < base.kib + MAX_GROWTH_KIB, "memory grows")
    assert(not base or descriptors() == base.descriptors, "descriptors are left open")
  end
  local is_good, err = pcall(function()
    while true do
      local counts = run_batch(mutate.random(seed, batch), context, listener)
      for name in pairs(all) do all[name] = all[name] + counts[name] end
      check()
      if socket.gettime() - start >= seconds then return end
      if socket.gettime() - reported > REPORT_SECONDS then
        report("so far")
        reported = socket.gettime()
      end
      batch = batch + 1
    end
  end)
  report(is_good and "nothing found" or "FOUND: " .. tostring(err))
  os.exit(is_good and 0 or 1)
end

run()
