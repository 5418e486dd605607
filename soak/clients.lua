--- The clients of the soak: connections that come, talk, idle, misbehave and vanish, so many at a time.
-- `lua soak/clients.lua PORT CONNECTIONS SECONDS SEED ADDRESS` ends by itself. It prints how often each kind came, and
-- what a right client did not get.
-- @script clients
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local kinds = require("soak.kinds")
local socket = require("socket")

local port, connections, seconds, seed, address = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]),
  tonumber(arg[4]), arg[5]

-- New connections a second at most: more at the start would be a flood that no server could serve.
local ARRIVALS_A_SECOND, LATE_SECONDS = 100, 0.5
local SLEEP_SECONDS = 0.005
local RESET = { on = true, timeout = 0 }

math.randomseed(seed)

local counts, faults, kept = {}, {}, {}
local live, next_at = 0, socket.gettime()

local function connect()
  local one = assert(socket.tcp4())
  one:settimeout(0)
  -- Each process has an address of its own: one address has too few ports for so many connections.
  assert(one:bind(address, 0))
  local is_done, why = one:connect("127.0.0.1", port)
  if is_done or why == "timeout" or why == "Operation already in progress" then return one end
  one:close()
  return nil
end

-- The methods by which a kind uses its connection. Those that have to wait suspend the coroutine of the connection.
local function new_handle(connection)
  local handle = { buffer = "" }

  function handle.pause(time)
    coroutine.yield(time)
  end

  -- Receives what has come. Returns false once the server has ended the connection.
  function handle.fill(most)
    local whole, why, part = connection:receive(most or 16384)
    handle.buffer = handle.buffer .. (whole or part or "")
    return whole ~= nil or why == "timeout" or (part ~= nil and part ~= ""), why
  end

  function handle.send(bytes)
    local from = 1
    for _ = 1, 200 do
      local last, why, partial = connection:send(bytes, from)
      if last then return true end
      if why ~= "timeout" and why ~= "Socket is not connected" then return false end
      from = (partial or from - 1) + 1
      coroutine.yield(0.05)
    end
    return false
  end

  function handle.finish() connection:shutdown("send") end

  function handle.reset() connection:setoption("linger", RESET) end

  return handle
end

local function fail(name, why)
  local text = name .. ": " .. tostring(why)
  faults[text] = (faults[text] or 0) + 1
end

local function start(now)
  local connection = connect()
  if not connection then return end
  local name, work = kinds.choose()
  local one = { at = now, connection = connection, name = name }
  one.thread = coroutine.create(function() work(new_handle(connection)) end)
  counts[name] = (counts[name] or 0) + 1
  live = live + 1
  kept[live] = one
end

local function step(one, now)
  local is_good, wait = coroutine.resume(one.thread)
  if not is_good then fail(one.name, wait) end
  if coroutine.status(one.thread) == "dead" then return false end
  one.at = now + (wait or 0)
  return true
end

local function round(now, may_start)
  while may_start and live < connections and next_at <= now do
    start(now)
    next_at = next_at + 1 / ARRIVALS_A_SECOND
  end
  -- Connections that could not be opened in time are not made up for.
  if next_at < now - LATE_SECONDS then next_at = now - LATE_SECONDS end
  for i = live, 1, -1 do
    local one = kept[i]
    if one.at <= now and not step(one, now) then
      one.connection:close()
      kept[i] = kept[live]
      kept[live] = nil
      live = live - 1
    end
  end
end

local until_time = socket.gettime() + seconds
repeat
  local now = socket.gettime()
  round(now, true)
  socket.sleep(SLEEP_SECONDS)
until now >= until_time
-- All connections end at once, most of them in the middle of something.
for i = 1, live do
  if i % 2 == 0 then kept[i].connection:setoption("linger", RESET) end
  kept[i].connection:close()
end
for name, count in pairs(counts) do print(("kind %s %d"):format(name, count)) end
for text, count in pairs(faults) do print(("fault %d times: %s"):format(count, (text:gsub("%s+", " ")))) end
print("end")
