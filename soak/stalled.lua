--- Thousands of peers that read nothing under a broadcast of 64 KiB a second, beside some that read: the readers get
-- all, and what the server holds has a bound.
--
-- `lua soak/stalled.lua MINUTES PEERS` runs the engine that WEBSOCKETS_NATIVE names. Exit status 1: a reader missed a
-- message, more was held than the limits allow, or an honest client waited too long.
-- @script stalled
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local child = require("spec.support.child")
local honest = require("fuzz.live.honest")
local process = require("soak.process")
local socket = require("socket")

local minutes, peers = tonumber(arg[1]), tonumber(arg[2])

local READERS, PEERS_A_PROCESS, REPORT_SECONDS = 20, 2000, 10
local MAX_ECHO_SECONDS = 20
-- The default of `max_buffered_total_bytes`, and as much again for messages of which a part has been sent.
local MAX_BUFFERED_KIB = 2 * 256 * 1024
-- In addition to what is buffered: for the process, and for each connection.
local BASE_KIB, KIB_A_CONNECTION = 65536, 16

local function say(...)
  print(string.format(...))
  io.stdout:flush()
end

local function state(port)
  local text = honest.get(port, "/state")
  local made = { ends = text:match("ends: ([^\n]*)") }
  for name, value in text:gmatch("([%w_]+)=(%d+)") do made[name] = tonumber(value) end
  return made
end

local function subscribe(port, count, seconds, number, way)
  local command = ("%s soak/subscribers.lua %d %d %d 127.0.0.%d %s"):format(child.quote(child.this_lua()), port, count,
    seconds, number + 1, way)
  local one = child.start(command, "", seconds + 300)
  one:expect("^(open %d+)$")
  return one
end

local function watch(port, pid, friend, worst)
  local started, report_at = socket.gettime(), 0
  repeat
    friend:step()
    socket.sleep(0.01)
    local now = socket.gettime() - started
    if now >= report_at then
      report_at = now + REPORT_SECONDS
      local seen = state(port)
      worst.resident = math.max(worst.resident, process.resident_kib(pid))
      worst.buffered = math.max(worst.buffered, seen.buffered_kib)
      worst.tcp = math.max(worst.tcp, process.tcp_kib())
      say("%4.0f s: %d messages, %d connections, %d KiB resident, %d KiB buffered, %d KiB in the system; slowest echo "
        .. "%.0f ms; ended: %s", now, seen.sent, seen.connections, process.resident_kib(pid), seen.buffered_kib,
        process.tcp_kib(), friend.worst * 1000, seen.ends)
    end
  until now > minutes * 60
  friend:settle()
end

local function judge(port, readers, friend, worst)
  local last, wrong = state(port), {}
  local text = readers:rest()
  local fewest = tonumber(text:match("fewest (%d+)"))
  if not fewest then say("%s", text) end
  honest.get(port, "/stop")
  say("longest broadcast %d ms; each reader got %s of %d messages; most resident %d KiB, buffered %d KiB, in the "
    .. "system %d KiB", last.longest_ms, tostring(fewest), last.sent, worst.resident, worst.buffered, worst.tcp)
  -- Some may be on their way when the readers end.
  if not fewest or fewest < last.sent - 4 then wrong[#wrong + 1] = "a reader missed messages" end
  if worst.buffered > MAX_BUFFERED_KIB then wrong[#wrong + 1] = "too much is buffered" end
  if worst.resident > BASE_KIB + KIB_A_CONNECTION * peers + 2 * MAX_BUFFERED_KIB then
    wrong[#wrong + 1] = "too much memory"
  end
  if friend.worst > MAX_ECHO_SECONDS then wrong[#wrong + 1] = "an echo took too long" end
  for _, fault in ipairs(wrong) do say("WRONG: %s", fault) end
  return #wrong == 0
end

local function run(server)
  local engine, port, pid = server:expect("^(%a+ %d+ %d+)$"):match("(%a+) (%d+) (%d+)")
  pid = tonumber(pid)
  say("%s: %d peers that read nothing, %d that read, %g minutes", engine, peers, READERS, minutes)
  local friend = honest.open(port, function() return process.cpu(pid) end)
  local list, left = {}, peers
  -- Opening them takes a while.
  local seconds = math.ceil(minutes * 60) + 300
  while left > 0 do
    local part = math.min(left, PEERS_A_PROCESS)
    list[#list + 1] = subscribe(port, part, seconds, #list + 2, "stall")
    left = left - part
  end
  local readers = subscribe(port, READERS, math.ceil(minutes * 60) + 2, 1, "read")
  honest.get(port, "/go")
  local worst = { resident = 0, buffered = 0, tcp = 0 }
  local has_run, err = pcall(watch, port, pid, friend, worst)
  local is_good = has_run and judge(port, readers, friend, worst)
  for _, one in ipairs(list) do one:stop() end
  if not has_run then
    readers:stop()
    error(err, 0)
  end
  return is_good
end

local server = child.start(child.quote(child.this_lua()) .. " soak/broadcaster.lua", "", math.ceil(minutes * 60) + 600)
local has_run, result = pcall(run, server)
-- Whatever happened, the server ends here; what it wrote tells why.
local rest = server:stop()
if not has_run then say("FAILED: %s\n%s", tostring(result), rest) end
say("%s", has_run and result and "stalled peers: passed" or "stalled peers: FAILED")
os.exit(has_run and result and 0 or 1)
