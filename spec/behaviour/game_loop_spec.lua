--- A loop that serves a client sixty times a second, seen by strace: no call of it waits.
-- @module spec.behaviour.game_loop_spec
local child = require("spec.support.child")
local file = require("spec.support.file")
local needs = require("spec.support.needs")

local LIMIT_SECONDS = 60

-- What sleeps, or waits for others, whatever its arguments are.
local SLEEPS = {
  nanosleep = true, clock_nanosleep = true, pause = true, wait4 = true, waitid = true, flock = true, futex = true,
  rt_sigtimedwait = true, rt_sigsuspend = true, fsync = true, fdatasync = true,
}

-- How a wait that does not wait is written.
local AT_ONCE = {
  select = "tv_sec=0, tv_usec=0}", pselect6 = "tv_sec=0, tv_nsec=0}", poll = ", 0%)", ppoll = "tv_sec=0, tv_nsec=0}",
  epoll_wait = ", 0%)", epoll_pwait = ", 0, NULL, %d+%)", epoll_pwait2 = "tv_sec=0, tv_nsec=0}",
}

local ON_SOCKETS = {
  connect = true, accept = true, accept4 = true, recvfrom = true, recvmsg = true, sendto = true, sendmsg = true,
  read = true, readv = true, write = true, writev = true,
}

local function is_nonblocking(line, name, fd)
  if name == "socket" then return tonumber(line:match("= (%d+)$")), line:find("SOCK_NONBLOCK", 1, true) ~= nil end
  if name == "fcntl" and line:find("F_SETFL", 1, true) then return fd, line:find("O_NONBLOCK", 1, true) ~= nil end
  if name == "ioctl" and line:find("FIONBIO", 1, true) then return fd, line:find("[1]", 1, true) ~= nil end
end

-- The calls of a trace that may wait, and how many of each name there were.
local function judge(trace)
  local blocking, counts, never_waits, is_inside = {}, {}, {}, false
  for line in trace:gmatch("[^\n]+") do
    local name, rest = line:match("^%d*%s*([%w_]+)(%(.*)$")
    local fd = name and tonumber(rest:match("^%((%d+)"))
    local changed, is_free
    if name then changed, is_free = is_nonblocking(line, name, fd) end
    if changed then never_waits[changed] = is_free end
    if line:find('"/game/ends"', 1, true) then is_inside = false end
    if is_inside and name then
      counts[name] = (counts[name] or 0) + 1
      local waits = SLEEPS[name] or AT_ONCE[name] and not line:find(AT_ONCE[name])
        or ON_SOCKETS[name] and never_waits[fd] == false and not line:find("MSG_DONTWAIT", 1, true)
      if waits then blocking[#blocking + 1] = line end
    end
    if name == "close" and fd then never_waits[fd] = nil end
    if line:find('"/game/begins"', 1, true) then is_inside = true end
  end
  return blocking, counts
end

describe("a game loop", function()
  it("sees what waits, in a trace", function()
    local blocking = judge(table.concat({
      'openat(AT_FDCWD, "/game/begins", O_RDONLY) = -1', "socket(AF_INET, SOCK_STREAM, 0) = 5",
      "connect(5, {sa_family=AF_INET}, 16) = 0", "fcntl(5, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
      'recvfrom(5, "x", 8192, 0, NULL, NULL) = 1', "pselect6(6, [5], [], NULL, {tv_sec=0, tv_nsec=500000}, NULL) = 0",
      "pselect6(6, [5], [], NULL, {tv_sec=0, tv_nsec=0}, NULL) = 0", "epoll_pwait(3, [], 1024, -1, NULL, 8) = 0",
      "epoll_pwait(3, [], 1024, 0, NULL, 8) = 0", "nanosleep({tv_sec=0, tv_nsec=1}, NULL) = 0",
      'openat(AT_FDCWD, "/game/ends", O_RDONLY) = -1', "nanosleep({tv_sec=0, tv_nsec=1}, NULL) = 0",
    }, "\n"))
    assert.equal(4, #blocking)
  end)

  it("with a client never waits", function()
    local reason = needs.reason("strace that may trace")
    if reason then return pending(reason) end
    local folder = child.make_folder()
    local program = child.quote(child.this_lua()) .. " spec/support/game.lua "
    local server = child.start(program .. "server", child.library_path(), LIMIT_SECONDS)
    finally(function()
      server:stop()
      child.remove_folder(folder)
    end)
    local port = server:expect("^(%d+)")
    local trace = folder .. "/trace"
    local output, code = child.run(("env %s timeout %d strace -f -o %s %s client %d"):format(child.library_path(),
      LIMIT_SECONDS, child.quote(trace), program, port))
    assert.equal(0, code, output)
    local blocking, counts = judge(file.read(trace))
    assert.same({}, blocking)
    local waits = 0
    for name in pairs(AT_ONCE) do waits = waits + (counts[name] or 0) end
    assert.is_true(waits >= 60 and counts.connect >= 2)
  end)
end)
