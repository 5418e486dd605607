--- Protected calls that cannot be suspended from inside.
-- @module websockets.turn.guard
local guard = {}

local gsub, running, unpack = string.gsub, coroutine.running, table.unpack or unpack

-- In the main thread of the program nothing can yield; Lua 5.1 and LuaJIT then name no thread at all.
local function can_yield()
  local thread, is_main = running()
  return thread ~= nil and not is_main
end

-- Yielding across a C call raises in the coroutine that yields.
local function across_c(work, ...)
  local results, arguments, count = nil, { ... }, select("#", ...)
  gsub("x", "x", function() results = { pcall(work, unpack(arguments, 1, count)) } end)
  return unpack(results, 1, 4)
end

--- Chooses how a turn is run: if a callback suspended it, others would find it half done.
-- @treturn function `pcall`, or one like it that returns up to three results and lets nothing yield
function guard.choose()
  return can_yield() and across_c or pcall
end

return guard
