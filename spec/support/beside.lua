--- Programs that run beside a server that is served in the spec's own process.
-- @module spec.support.beside
local child = require("spec.support.child")
local socket = require("socket")

local beside = {}

-- It ends what hangs; a machine with much else to do must not reach it.
local LIMIT_SECONDS = 170

local function read(path)
  local file = io.open(path, "r")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

--- Run a command to its end; the server is served meanwhile.
-- @tparam table run of `spec.support.server`
-- @tparam string command one simple command for the shell
-- @treturn ?number exit code; nil where it took too long
-- @treturn string what it wrote
function beside.run(run, command)
  local folder = child.make_folder()
  local rc, out = folder .. "/rc", folder .. "/out"
  local line = ("{ timeout -k 2 %d %s >%s 2>&1 </dev/null; echo $? >%s.new; mv %s.new %s; } >/dev/null 2>&1 & echo $!")
    :format(LIMIT_SECONDS, command, out, rc, rc, rc)
  local pipe = assert(io.popen(line, "r"))
  local pid = tonumber(pipe:read("*l"))
  pipe:close()
  local deadline, code = socket.gettime() + LIMIT_SECONDS + 5
  repeat
    run.context:service(5)
    code = tonumber(read(rc))
  until code or socket.gettime() > deadline
  if not code then child.run("kill -KILL " .. pid) end
  local text = read(out)
  child.remove_folder(folder)
  return code, text
end

return beside
