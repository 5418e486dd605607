--- Protected calls that cannot be suspended from inside.
-- @module websockets.turn.guard
local guard = {}

local gsub, running, unpack = string.gsub, coroutine.running, table.unpack or unpack

-- Yielding across a C call raises in the coroutine that yields.
local function across_c(work, ...)
  local arguments, count = { ... }, select("#", ...)
  local first, second, third
  local is_good, err = pcall(gsub, "x", "x", function()
    first, second, third = work(unpack(arguments, 1, count))
  end)
  if not is_good then return false, err end
  return true, first, second, third
end

--- Chooses how a turn is run: if a callback suspended it, others would find it half done.
-- @treturn function `pcall`, or one like it that returns up to three results and lets nothing yield
function guard.choose()
  -- In the main thread of the program nothing can yield; Lua 5.1 and LuaJIT then name no thread at all.
  local thread, is_main = running()
  return thread and not is_main and across_c or pcall
end

return guard
