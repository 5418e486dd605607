--- Gives up the rights of root after binding.
-- @module websockets.server.privileges
local privileges = {}

-- LuaJIT can call the operating system directly.
local function by_ffi(gid, uid)
  local found, ffi = pcall(require, "ffi")
  if not found then return nil end
  pcall(ffi.cdef, "int setgroups(size_t, const unsigned *); int setgid(unsigned); int setuid(unsigned);")
  local C = ffi.C
  if gid >= 0 then
    local groups = ffi.new("unsigned[1]", gid)
    if C.setgroups(1, groups) ~= 0 or C.setgid(gid) ~= 0 then return false, "cannot set gid " .. gid end
  end
  if uid >= 0 and C.setuid(uid) ~= 0 then return false, "cannot set uid " .. uid end
  return true
end

-- lua-posix cannot set supplementary groups: if the process has others than gid, it would keep their rights.
local function by_posix(gid, uid)
  local found, posix = pcall(require, "posix.unistd")
  if not found then return nil end
  if gid >= 0 then
    for _, group in ipairs(posix.getgroups() or {}) do
      if group ~= gid then return false, "supplementary group " .. group .. " cannot be dropped by lua-posix" end
    end
    local done, why = posix.setpid("g", gid)
    if not done then return false, ("cannot set gid %d: %s"):format(gid, why) end
  end
  if uid >= 0 then
    local done, why = posix.setpid("u", uid)
    if not done then return false, ("cannot set uid %d: %s"):format(uid, why) end
  end
  return true
end

--- Sets the group and the user of the process.
-- @tparam integer gid group id, also the only supplementary group; -1: no change
-- @tparam integer uid user id; -1: no change
-- @tparam ?function by_engine the accelerator's function for this
-- @treturn[1] boolean true
-- @treturn[2] boolean false
-- @treturn[2] string what failed
function privileges.drop(gid, uid, by_engine)
  if gid < 0 and uid < 0 then return true end
  if by_engine then
    local done, which = by_engine(gid, uid)
    return done, which and ("cannot set %s %d"):format(which, which == "gid" and gid or uid)
  end
  local done, why = by_ffi(gid, uid)
  if done == nil then done, why = by_posix(gid, uid) end
  if done == nil then return false, "gid and uid need LuaJIT or lua-posix" end
  return done, why
end

return privileges
