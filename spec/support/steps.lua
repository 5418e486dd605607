--- Counts what Lua itself does, which no other program on the machine changes.
-- @module spec.support.steps
local steps = {}

local jit_here = rawget(_G, "jit")

--- Counts the byte codes that a call takes, under LuaJIT without its compiler.
-- @tparam function call
-- @treturn integer
function steps.count(call)
  if jit_here then
    jit_here.off()
    jit_here.flush()
  end
  local count = 0
  debug.sethook(function() count = count + 1 end, "", 1)
  local is_good, err = pcall(call)
  debug.sethook()
  if jit_here then jit_here.on() end
  if not is_good then error(err, 0) end
  return count
end

return steps
