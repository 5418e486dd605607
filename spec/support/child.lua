--- A program that a spec starts: its output line by line, its end certain.
-- @module spec.support.child

local child = {}
child.__index = child

local LIMIT_SECONDS = 170

--- Quote a word for the shell.
-- @tparam string word any text
-- @treturn string the word as the shell reads it back
function child.quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- Run a command to its end.
-- @tparam string command for the shell
-- @treturn string what it wrote, on both outputs
-- @treturn number its exit code
function child.run(command)
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1 </dev/null; printf '\\n%d' $?", "r"))
  local text, code = pipe:read("*a"):match("^(.*)\n(%d+)$")
  pipe:close()
  return text, tonumber(code)
end

--- Tell whether a command can be found.
-- @tparam string name of the command
-- @treturn boolean
function child.has(name)
  local _, code = child.run("command -v " .. child.quote(name))
  return code == 0
end

--- The interpreter that runs this spec.
-- @treturn string its path
function child.this_lua()
  local first = -1
  while arg[first - 1] do
    first = first - 1
  end
  return (child.run("command -v " .. child.quote(arg[first])):gsub("%s+$", ""))
end

--- Assignments for the shell by which a Lua program finds the library, in whatever folder it runs.
-- @treturn string
function child.library_path()
  local version = _VERSION:match("%d+%.%d+"):gsub("%.", "_")
  local path = child.quote(os.getenv("PWD") .. "/lua/?.lua;;")
  return ("LUA_PATH=%s LUA_PATH_%s=%s"):format(path, version, path)
end

--- Make an empty folder.
-- @treturn string its path
function child.make_folder()
  local path, code = child.run("mktemp -d")
  assert(code == 0, path)
  return (path:gsub("%s+$", ""))
end

--- Remove a folder that `child.make_folder` made.
-- @tparam string path of the folder
function child.remove_folder(path)
  child.run("rm -rf " .. child.quote(path))
end

--- Start a program; it ends after so many seconds at the latest.
-- @tparam string command one simple command for the shell
-- @tparam[opt=""] string environment assignments for it
-- @tparam[opt=170] number seconds that no spec needs on a machine with much else to do
-- @treturn table with `pid`
function child.start(command, environment, seconds)
  -- The shell turns into `timeout`: its process id is known before the program writes anything.
  local line = ("echo $$; exec env %s timeout -k 2 %d %s 2>&1 </dev/null"):format(
    environment or "", seconds or LIMIT_SECONDS, command)
  local pipe = assert(io.popen(line, "r"))
  return setmetatable({ pipe = pipe, pid = assert(tonumber(pipe:read("*l"))) }, child)
end

--- Wait for a line of output that fits a pattern.
-- @tparam string pattern
-- @treturn string what the pattern captured; raises where the program ends before
function child:expect(pattern)
  local seen = {}
  for line in self.pipe:lines() do
    local found = line:match(pattern)
    if found then
      return found
    end
    seen[#seen + 1] = line
  end
  error("the program ended before it wrote " .. pattern .. ":\n" .. table.concat(seen, "\n"), 2)
end

--- Wait for the program's own end.
-- @treturn string the rest of its output
function child:rest()
  local rest = self.pipe:read("*a")
  self.pipe:close()
  self.pipe = nil
  return rest
end

--- Tell the process id of the program itself: `pid` is that of `timeout`, which has started it. Linux only.
-- @treturn integer
function child:child_pid()
  local file = assert(io.open(("/proc/%d/task/%d/children"):format(self.pid, self.pid)))
  local pid = file:read("*a"):match("%d+")
  file:close()
  return tonumber(pid)
end

--- End the program without letting it know.
function child:kill()
  -- What is started is `timeout`, and what it has started would live on.
  child.run(("pkill -KILL -P %d; kill -KILL %d"):format(self.pid, self.pid))
end

--- End the program by its process id, once.
-- @tparam[opt="TERM"] string signal
-- @treturn string the rest of its output
function child:stop(signal)
  if not self.pipe then
    return ""
  end
  child.run(("kill -%s %d"):format(signal or "TERM", self.pid))
  return self:rest()
end

return child
