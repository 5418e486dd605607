--- Flags of descriptors that LuaSocket does not set: a call on them never waits, and a program that is started does not
-- inherit them. The accelerator and LuaJIT can set them; plain Lua cannot.
-- @module websockets.transport.flags
local flags = {}

local F_SETFD, F_GETFL, F_SETFL = 2, 3, 4
local FD_CLOEXEC = 1

-- The number of O_NONBLOCK; nil where it is not known.
local function nonblock_flag(system)
  if system.os ~= "Linux" then return (system.os == "OSX" or system.os == "BSD") and 4 or nil end
  return system.arch:find("^mips") and 0x80 or 0x800
end

-- LuaJIT can call the operating system directly.
local function by_ffi(fd, never_blocks, closes_on_exec)
  local system = rawget(_G, "jit")
  local nonblock = system and nonblock_flag(system)
  if not nonblock then return false end
  local found, ffi = pcall(require, "ffi")
  if not found then return false end
  -- A program may have declared it already.
  pcall(ffi.cdef, "int fcntl(int, int, ...);")
  local C, int = ffi.C, ffi.typeof("int")
  local is_done = true
  if never_blocks then
    local now = C.fcntl(fd, F_GETFL)
    is_done = now >= 0 and C.fcntl(fd, F_SETFL, int(require("bit").bor(now, nonblock))) == 0
  end
  if closes_on_exec then is_done = C.fcntl(fd, F_SETFD, int(FD_CLOEXEC)) == 0 and is_done end
  return is_done
end

--- Sets flags of a descriptor.
-- @tparam number fd nothing is done below 0
-- @tparam boolean never_blocks whether a call on it fails with `timeout` instead of waiting
-- @tparam boolean closes_on_exec whether programs that this one starts do not inherit it
-- @tparam ?function by_engine the accelerator's function for this
-- @treturn boolean whether that was done
function flags.set(fd, never_blocks, closes_on_exec, by_engine)
  if fd < 0 then return false end
  return (by_engine or by_ffi)(fd, never_blocks, closes_on_exec)
end

return flags
