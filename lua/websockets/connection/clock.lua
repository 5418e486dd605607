--- Seconds that only go forward.
-- @module websockets.connection.clock
local clock = {}

-- A wall clock that is set (by NTP, after a suspend) goes wrong by more than this.
local CHECKED_SECONDS = 0.25
-- The running time of the system is told in hundredths.
local GRAIN_SECONDS = 0.01

--- Wraps a wall clock so that it never goes back and, where the running time of the system is known, never jumps.
-- @tparam function wall returns seconds
-- @tparam ?function running returns seconds since the system has started, in hundredths; nil where they cannot be read
-- @treturn function returns seconds, never less than before
function clock.steady(wall, running)
  local start = wall()
  local last, offset = start, 0
  local checked_at, ran_at = start, running and running()
  local check_at = ran_at and start + CHECKED_SECONDS or math.huge

  local function correct(now)
    local ran = ran_at and running()
    if ran then
      local passed, most = now - checked_at, ran - ran_at + GRAIN_SECONDS
      if passed > most or passed < most - 2 * GRAIN_SECONDS then
        offset = offset + (most - GRAIN_SECONDS - passed)
        now = checked_at + most - GRAIN_SECONDS
      end
      checked_at, ran_at, check_at = now, ran, now + CHECKED_SECONDS
    end
    if now < last then
      -- A clock that goes too fast stands still until it is right; without the running time it goes on from here.
      if not ran then offset = offset + (last - now) end
      now = last
    end
    return now
  end

  return function()
    local now = wall() + offset
    -- Rarely, because it takes three system calls.
    if now < last or now > check_at then now = correct(now) end
    last = now
    return now
  end
end

--- Tells how long the system has been running, where Linux shows it.
-- @treturn ?number seconds, in hundredths
function clock.running()
  local file = io.open("/proc/uptime")
  if not file then return nil end
  local seconds = file:read("*n")
  file:close()
  return seconds
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
-- @tparam table sockets the library: `time()` is its wall clock; `now()`, where it has one, only goes forward
-- @treturn function returns seconds from an arbitrary start, never less than before
function clock.new(now, sockets)
  local wall = sockets.wall and sockets.wall() or sockets.time
  return monotonic() or now or sockets.now or clock.steady(wall, clock.running)
end

return clock
