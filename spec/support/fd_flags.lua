--- The flags of this program's descriptors, as Linux shows them.
-- @module spec.support.fd_flags
local fd_flags = {}

-- More than a spec has.
local HIGHEST = 255
local NONBLOCK, CLOEXEC = tonumber("4000", 8), tonumber("2000000", 8)

local function has(number, flag)
  return math.floor(number / flag) % 2 == 1
end

--- Tells whether this system shows them.
-- @treturn boolean
function fd_flags.are_shown()
  local file = io.open("/proc/self/fdinfo/0")
  if file then file:close() end
  return file ~= nil
end

--- Reads the flags of a descriptor.
-- @tparam integer fd
-- @treturn table `never_blocks`, `closes_on_exec`
function fd_flags.of(fd)
  local file = assert(io.open("/proc/self/fdinfo/" .. fd))
  local number = tonumber(file:read("*a"):match("flags:%s*(%d+)"), 8)
  file:close()
  return { never_blocks = has(number, NONBLOCK), closes_on_exec = has(number, CLOEXEC) }
end

--- Counts this program's descriptors that something still uses.
-- @treturn integer
function fd_flags.count()
  local count = 0
  -- What earlier specs have left is closed by the collector at any time.
  collectgarbage()
  collectgarbage()
  for fd = 0, HIGHEST do
    local file = io.open("/proc/self/fdinfo/" .. fd)
    if file then
      count = count + 1
      file:close()
    end
  end
  return count
end

return fd_flags
