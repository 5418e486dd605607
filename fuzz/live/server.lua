--- Attacks a server with right requests and frames that were changed and cut, beside an honest client.
-- @script server
--
-- `lua fuzz/live/server.lua SECONDS SEED [BATCH]`: after each batch the figures of the server must be those of the
-- beginning. A batch follows from seed and number alone: with BATCH the run begins there.
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local attacks = require "fuzz.live.attacks"
local child = require "spec.support.child"
local honest = require "fuzz.live.honest"
local mutate = require "fuzz.live.mutate"
local socket = require "socket"

local seconds, seed, first = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3] or 1)
local ATTACKERS, AT_ONCE = 300, 40
-- The longest of the server's own times is two seconds; the machine may have much else to do.
local CALM_SECONDS = 30
local IDLE_SECONDS = 0.5
local MAX_IDLE_CPU = 0.5
-- Of the server's processor time: how long an answer takes depends on what else the machine does.
local MAX_ECHO_CPU_SECONDS = 0.5
local MAX_GROWTH_KIB = 4096
local REPORT_SECONDS = 30

local function read(path)
  local file = assert(io.open(path, "rb"), "the server has ended")
  local text = file:read("*a")
  file:close()
  return text
end

local function descriptors(pid)
  local text = child.run("ls /proc/" .. pid .. "/fd | wc -l")
  return tonumber(text)
end

-- Seconds of processor time; the clock ticks a hundred times a second.
local function cpu(pid)
  local user, system = read("/proc/" .. pid .. "/stat"):match("%) %S+" .. (" %S+"):rep(10) .. " (%d+) (%d+)")
  return (user + system) / 100
end

local function connect(port)
  local one = assert(socket.tcp())
  one:settimeout(10)
  assert(one:connect("127.0.0.1", port))
  one:settimeout(0)
  return one
end

-- One hostile connection: `step` returns whether it goes on.
local function attacker(random, port)
  local self = { pieces = attacks.make(random), at = 1, offset = 1, socket = connect(port), is_deaf = random(4) == 1,
    ending = random(4) }
  function self.finish()
    if self.ending == 1 then self.socket:setoption("linger", { on = true, timeout = 0 }) end
    if self.ending == 2 then self.socket:shutdown("send") end
    -- The others stay, silent, until the batch ends.
    if self.ending <= 1 then self.socket:close() end
    return false
  end
  function self.step()
    if not self.is_deaf then self.socket:receive(65536) end
    local piece = self.pieces[self.at]
    if not piece then return self.finish() end
    local last, why, partial = self.socket:send(piece, self.offset)
    if not last and why ~= "timeout" then
      self.socket:close()
      return false
    end
    self.offset = (last or partial) + 1
    if self.offset > #piece then self.at, self.offset = self.at + 1, 1 end
    self.tries = (self.tries or 0) + 1
    return self.tries < 400
  end
  return self
end

local function attack(random, port, friend)
  local all, active = {}, {}
  while #all < ATTACKERS or #active > 0 do
    while #active < AT_ONCE and #all < ATTACKERS do
      local one = attacker(random, port)
      all[#all + 1], active[#active + 1] = one, one
    end
    for index = #active, 1, -1 do
      if not active[index].step() then table.remove(active, index) end
    end
    friend:step()
  end
  for _, one in ipairs(all) do one.socket:close() end
end

local function figures(port, pid)
  local text = honest.get(port, "/state")
  local made = { descriptors = descriptors(pid), text = text }
  for name, value in text:gmatch("([%w_]+)=(%d+)") do made[name] = tonumber(value) end
  return made
end

-- Waits until the figures are those of the beginning.
local function calm(port, pid, base, friend)
  local deadline = socket.gettime() + CALM_SECONDS
  local now
  while true do
    now = figures(port, pid)
    assert(now.errors == 0, now.text)
    if now.connections == base.connections and now.descriptors == base.descriptors and now.buffered == 0
      and now.unfinished == 0 then
      return now
    end
    if socket.gettime() > deadline then break end
    friend:poll()
    socket.sleep(0.05)
  end
  error(("not back at the start: %s descriptors=%d, at the start %s descriptors=%d"):format(now.text, now.descriptors,
    base.text, base.descriptors), 0)
end

local function idle_cpu(pid)
  local before, start = cpu(pid), socket.gettime()
  socket.sleep(IDLE_SECONDS)
  return (cpu(pid) - before) / (socket.gettime() - start)
end

local function run(server)
  local engine, port, pid = server:expect("^(%a+ %d+ %d+)$"):match("(%a+) (%d+) (%d+)")
  local friend = honest.open(port, function() return cpu(pid) end)
  local start, reported = socket.gettime(), socket.gettime()
  local base, now = figures(port, pid), nil
  local worst = { cpu = 0 }
  local batch = first
  local function report(text)
    local pattern = "%s, %s, seed %d, batch %d: %d connections, %.0f s; worst of %d echoes %.0f ms, %.0f ms of the "
      .. "server's processor; idle %.0f %%, Lua %.0f KiB"
    print(pattern:format(text, engine, seed, batch, (batch - first + 1) * ATTACKERS, socket.gettime() - start,
      friend.count, friend.worst * 1000, friend.worst_cpu * 1000, worst.cpu * 100, now and now.lua_kib or 0))
    io.stdout:flush()
  end
  local is_good, err = pcall(function()
    while true do
      attack(mutate.random(seed, batch), port, friend)
      friend:settle()
      now = calm(port, pid, base, friend)
      worst.cpu = math.max(worst.cpu, idle_cpu(pid))
      assert(worst.cpu < MAX_IDLE_CPU, "the server is busy although nothing happens")
      assert(friend.worst_cpu < MAX_ECHO_CPU_SECONDS, "an honest client waited too long")
      -- After the first batches every table and buffer has its size.
      if batch == first + 5 then base.lua_kib = now.lua_kib end
      assert(batch <= first + 5 or now.lua_kib < base.lua_kib + MAX_GROWTH_KIB, "memory grows")
      if socket.gettime() - start >= seconds then return end
      if socket.gettime() - reported > REPORT_SECONDS then
        report("so far")
        reported = socket.gettime()
      end
      batch = batch + 1
    end
  end)
  if not is_good then
    report("FOUND: " .. tostring(err))
    return false
  end
  report("nothing found")
  honest.get(port, "/stop")
  return true
end

local server = child.start(child.quote(child.this_lua()) .. " fuzz/live/target.lua", "", seconds + 600)
local has_run, result = pcall(run, server)
-- Whatever happened, the server ends here; what it wrote tells why.
print(server:stop() .. (has_run and "" or tostring(result)))
os.exit(has_run and result and 0 or 1)
