--- What Linux tells of a process.
-- @module soak.process
local process = {}

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

--- Names this process.
-- @treturn integer
function process.id()
  return tonumber((read("/proc/self/stat"):match("^%d+")))
end

--- Counts the descriptors of a process.
-- @tparam integer pid
-- @treturn integer
function process.descriptors(pid)
  local pipe = assert(io.popen(("ls /proc/%d/fd | wc -l"):format(pid)))
  local count = tonumber((pipe:read("*a")))
  pipe:close()
  return count
end

--- Tells how much memory a process has.
-- @tparam integer pid
-- @treturn ?integer KiB, nil where it has ended
function process.resident_kib(pid)
  local text = read(("/proc/%d/status"):format(pid))
  return text and tonumber(text:match("VmRSS:%s*(%d+)"))
end

--- Tells how much processor time a process has taken.
-- @tparam integer pid
-- @treturn number seconds
function process.cpu(pid)
  local user, system = read("/proc/" .. pid .. "/stat"):match("%) %S+" .. (" %S+"):rep(10) .. " (%d+) (%d+)")
  return (user + system) / 100
end

--- Tells how much memory all TCP connections of this system hold.
-- @treturn integer KiB
function process.tcp_kib()
  return 4 * tonumber(read("/proc/net/sockstat"):match("TCP: .- mem (%d+)"))
end

return process
