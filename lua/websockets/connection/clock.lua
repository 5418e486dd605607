--- Seconds that only go forward.
-- @module websockets.connection.clock
local luasocket = require("websockets.transport.luasocket")

local clock = {}

--- Wraps a wall clock so that it never goes back.
-- @tparam function wall returns seconds
-- @treturn function returns seconds, never less than before
function clock.steady(wall)
  local last, offset = wall(), 0
  return function()
    local now = wall() + offset
    if now < last then
      offset = offset + (last - now)
      now = last
    end
    last = now
    return now
  end
end

-- CLOCK_MONOTONIC has this number on Linux only; elsewhere the wall clock serves.
local function monotonic()
  local jit_here = rawget(_G, "jit")
  if not jit_here or jit_here.os ~= "Linux" then return nil end
  local found, ffi = pcall(require, "ffi")
  if not found then return nil end
  -- The name of our own keeps clear of what other modules may have declared for the same function.
  local made, spec = pcall(ffi.new, "websockets_timespec")
  if not made then
    pcall(ffi.cdef, [[
      typedef struct { long sec; long nsec; } websockets_timespec;
      int websockets_clock_gettime(int, websockets_timespec *) __asm__("clock_gettime");
    ]])
    made, spec = pcall(ffi.new, "websockets_timespec")
    if not made then return nil end
  end
  local C = ffi.C
  return function()
    C.websockets_clock_gettime(1, spec)
    return tonumber(spec.sec) + tonumber(spec.nsec) / 1e9
  end
end

--- Makes the best clock there is.
-- @tparam ?function now the accelerator's
-- @treturn function returns seconds from an arbitrary start, never less than before
function clock.new(now)
  return monotonic() or now or clock.steady(luasocket.library().gettime)
end

return clock
