--- The soak: thousands of connections that come, talk, idle, misbehave and vanish, and a server that afterwards has as
-- much as before.
--
-- `lua soak/soak.lua MINUTES CONNECTIONS` runs the engine that WEBSOCKETS_NATIVE names. The figures of the start are
-- taken after a first wave, when every table and buffer has its size. Exit status 1: something was left, memory grew,
-- an honest client was not served.
-- @script soak
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local child = require("spec.support.child")
local honest = require("fuzz.live.honest")
local process = require("soak.process")
local socket = require("socket")

local minutes, connections = tonumber(arg[1]), tonumber(arg[2])

local CONNECTIONS_A_PROCESS = 1250
local WAVE_SECONDS, CALM_SECONDS, REPORT_SECONDS = math.ceil(math.min(60, minutes * 60)), 90, 30
local MAX_ECHO_SECONDS, MAX_IDLE_CPU = 20, 0.05
-- So much may differ although nothing is kept: pages of the allocator, and buffers that reach their full size later.
local MAX_GROWTH, MAX_GROWTH_KIB = 1.15, 4096
local SAME = { "connections", "descriptors", "timers", "tables", "userdatas", "threads", "topics", "waiting", "kept" }
-- In pure Lua, code that unmasks is made for each length when a payload of that length first comes.
local MAX_NEW_FUNCTIONS = 64
local SHOWN = { "connections", "descriptors", "timers", "tables", "functions", "userdatas", "threads", "lua_kib",
  "resident_kib" }

local function say(...)
  print(string.format(...))
  io.stdout:flush()
end

local function figures(port, pid)
  -- Before the server is asked, because asking takes a descriptor.
  local made = { descriptors = process.descriptors(pid), resident_kib = process.resident_kib(pid) }
  local text = honest.get(port, "/state")
  for name, value in text:gmatch("([%w_]+)=(%d+)") do made[name] = tonumber(value) end
  made.ends, made.text = text:match("ends: ([^\n]*)"), text
  return made
end

local function start_clients(port, seconds, count, seed)
  local list = {}
  while count > 0 do
    local part = math.min(count, CONNECTIONS_A_PROCESS)
    local number = #list + 1
    local command = ("%s soak/clients.lua %d %d %d %d 127.0.0.%d"):format(child.quote(child.this_lua()), port, part,
      seconds, seed + number, number + 1)
    list[number] = child.start(command, "", seconds + 60)
    count = count - part
  end
  return list
end

-- Serves the honest client until the time is over. Returns the most memory in the first half and in the second.
local function watch(friend, pid, seconds, started)
  local until_time, report_at = socket.gettime() + seconds, socket.gettime() + REPORT_SECONDS
  local most = { 0, 0 }
  repeat
    friend:step()
    socket.sleep(0.02)
    local now = socket.gettime()
    if now > report_at then
      report_at = now + REPORT_SECONDS
      local half = now < until_time - seconds / 2 and 1 or 2
      most[half] = math.max(most[half], process.resident_kib(pid))
      say("%4.0f s: %d descriptors, %d KiB resident, %.0f s of processor, slowest echo %.0f ms", now - started,
        process.descriptors(pid), process.resident_kib(pid), process.cpu(pid), friend.worst * 1000)
    end
  until now > until_time
  friend:settle()
  return most
end

local function finish_clients(list, sum)
  local is_good = true
  for _, one in ipairs(list) do
    local text = one:rest()
    for name, count in text:gmatch("kind ([%a ]+) (%d+)") do sum[name] = (sum[name] or 0) + tonumber(count) end
    for fault in text:gmatch("fault ([^\n]*)") do
      say("  a client: %s", fault)
      is_good = false
    end
    if not text:find("end\n*$") then
      say("  clients broke off: %s", text)
      is_good = false
    end
  end
  return is_good
end

-- Waits until nothing but the honest client is left.
local function calm(port, pid, friend)
  local until_time = socket.gettime() + CALM_SECONDS
  local now, left
  repeat
    for _ = 1, 20 do
      friend:poll()
      socket.sleep(0.05)
    end
    now = figures(port, pid)
    -- The honest client, and the connection that asks.
    left = now.buffered + now.unfinished + now.waiting + now.topics + now.kept
  until now.connections <= 2 and left == 0 or socket.gettime() > until_time
  -- The connection that asked before has ended when these are answered: its end came before them.
  for _ = 1, 2 do
    friend:step()
    friend:settle()
  end
  return figures(port, pid)
end

local function idle_cpu(pid)
  local before, start = process.cpu(pid), socket.gettime()
  socket.sleep(2)
  return (process.cpu(pid) - before) / (socket.gettime() - start)
end

local function has_grown(before, after)
  return after > before * MAX_GROWTH + MAX_GROWTH_KIB
end

local function judge(first, last, most, friend, pid)
  local wrong = {}
  for _, name in ipairs(SAME) do
    if first[name] ~= last[name] then wrong[#wrong + 1] = ("%s: %d, not %d"):format(name, last[name], first[name]) end
  end
  if last.functions > first.functions + MAX_NEW_FUNCTIONS then wrong[#wrong + 1] = "functions have grown" end
  if has_grown(first.lua_kib, last.lua_kib) then wrong[#wrong + 1] = "lua_kib has grown" end
  -- The allocator keeps as much as was in use at the peak, and the number of connections at the peak always differs a
  -- little.
  if most[1] > 0 and has_grown(most[1], most[2]) then wrong[#wrong + 1] = "memory has grown from half to half" end
  if last.errors > 0 then wrong[#wrong + 1] = last.text end
  if friend.worst > MAX_ECHO_SECONDS then wrong[#wrong + 1] = "an echo took " .. friend.worst end
  local idle = idle_cpu(pid)
  if idle > MAX_IDLE_CPU then wrong[#wrong + 1] = ("idle, but %.0f %% of a processor"):format(idle * 100) end
  return wrong
end

local function show(cold, first, last)
  say("%-14s %10s %10s %10s", "", "cold", "start", "end")
  for _, name in ipairs(SHOWN) do say("%-14s %10d %10d %10d", name, cold[name], first[name], last[name]) end
end

local function run(server)
  local engine, port, pid = server:expect("^(%a+ %d+ %d+)$"):match("(%a+) (%d+) (%d+)")
  pid = tonumber(pid)
  say("%s: %d connections, %g minutes", engine, connections, minutes)
  local started, sum = socket.gettime(), {}
  local friend = honest.open(port, function() return process.cpu(pid) end)
  local cold = figures(port, pid)
  local list = start_clients(port, WAVE_SECONDS, connections, 1000)
  watch(friend, pid, WAVE_SECONDS, started)
  local is_good = finish_clients(list, sum)
  local first = calm(port, pid, friend)
  list = start_clients(port, math.ceil(minutes * 60), connections, 2000)
  local most = watch(friend, pid, minutes * 60, started)
  is_good = finish_clients(list, sum) and is_good
  local last = calm(port, pid, friend)
  show(cold, first, last)
  local names = {}
  for name, count in pairs(sum) do names[#names + 1] = ("%s %d"):format(name, count) end
  table.sort(names)
  say("most resident in the first half %d KiB, in the second %d KiB", most[1], most[2])
  say("came: %s", table.concat(names, ", "))
  say("ended: %s; %d messages dropped", last.ends, last.dropped)
  say("%d echoes of the honest client, the slowest %.0f ms; %.0f s of processor", friend.count, friend.worst * 1000,
    process.cpu(pid))
  local wrong = judge(first, last, most, friend, pid)
  for _, text in ipairs(wrong) do say("WRONG: %s", text) end
  honest.get(port, "/stop")
  return is_good and #wrong == 0
end

local server = child.start(child.quote(child.this_lua()) .. " soak/server.lua", "", math.ceil(minutes * 60) + 600)
local has_run, result = pcall(run, server)
-- Whatever happened, the server ends here; what it wrote tells why.
local rest = server:stop()
if not has_run then say("FAILED: %s\n%s", tostring(result), rest) end
say("%s", has_run and result and "soak: passed" or "soak: FAILED")
os.exit(has_run and result and 0 or 1)
