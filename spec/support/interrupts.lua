--- Errors that come between any two steps of a program, as from Ctrl-C.
-- @module spec.support.interrupts
local interrupts = {}

local jit_here = rawget(_G, "jit")
local has_raised = false

local function is_running(fn)
  local level = 3
  while true do
    local found = debug.getinfo(level, "f")
    if not found then return false end
    if found.func == fn then return true end
    level = level + 1
  end
end

--- Raises `interrupted` after so many more steps of the Lua that runs this, if a function is still running then.
-- @tparam integer steps
-- @tparam function fn
function interrupts.arm(steps, fn)
  debug.sethook(function()
    debug.sethook()
    if not is_running(fn) then return end
    has_raised = true
    error("interrupted", 0)
  end, "", steps)
end

--- Tries a function with an interrupt after one step, then after some steps more each time, until none came before its
-- end.
-- @tparam integer stride steps more each time
-- @tparam function try called with the number of steps, for `arm`
-- @treturn integer how often an interrupt came
function interrupts.sweep(stride, try)
  -- Compiled code asks no hook.
  if jit_here then
    jit_here.off()
    jit_here.flush()
  end
  local count = -1
  local is_good, err
  repeat
    count, has_raised = count + 1, false
    is_good, err = pcall(try, 1 + count * stride)
    debug.sethook()
  until not has_raised or not is_good
  if jit_here then jit_here.on() end
  if not is_good then error(("after %d steps: %s"):format(1 + count * stride, tostring(err)), 0) end
  return count
end

return interrupts
