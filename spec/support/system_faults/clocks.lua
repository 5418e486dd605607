--- Rows of the table of system faults: clocks that are set.
-- @module spec.support.system_faults.clocks
local peer = require("spec.support.peer")

local HOUR = 3600

-- The machine may have much else to do.
local PATIENCE_SECONDS = 15
-- A clock that goes too fast is found out after a quarter of a second.
local TIMEOUT_SECONDS, LEAST_SECONDS = 0.5, 0.3

-- Each step is `{ seconds ahead, rate }`; the real time goes on between them.
local function jumps(fault, steps)
  return { call = "clock", fault = fault,
    options = { ping_interval = 0.4, ping_timeout = 10, handshake_timeout = 10 },
    must = "nothing ends early; pings and timeouts come in time",
    run = function(world)
      local silent = world:accepted()
      local one = world:open()
      local far = peer.listen(world.run)
      local _, log = far:connect({ timeout = 10 })
      far:read_request()
      local pings = 0
      for _, step in ipairs(steps) do
        world.clock(step[1], step[2])
        world:settle()
        for _ = 1, 3 do world.context:service(5) end
        silent:poll()
        assert(not silent.ended, "a half-open connection has ended")
        assert(#log.closed == 0, "connecting has ended")
        assert(#world.closed == 0, "an open connection has ended")
      end
      -- Time goes on: a ping of one that says nothing, and the end of one whose answer never comes.
      world:pump(function()
        if one:try_message() == 9 then pings = pings + 1 end
        return pings > 0
      end, "a ping")
      world.clock(0, 1)
    end }
end

local function fires(fault, seconds, rate)
  return { call = "clock", fault = fault, options = { handshake_timeout = TIMEOUT_SECONDS },
    must = "a timeout comes in time",
    run = function(world)
      local real = require("websockets.connection.clock").running
      local began = real()
      local silent = world:accepted()
      world.clock(seconds, rate)
      repeat
        world.context:service(10)
        silent:poll()
      until silent.ended or real() - began > PATIENCE_SECONDS
      local took = real() - began
      world.clock(0, 1)
      assert(silent.ended, "the timeout never came")
      assert(took >= LEAST_SECONDS, "it came after " .. took)
    end }
end

local there_and_back = {}
for i = 1, 10 do there_and_back[i] = { i % 2 == 0 and HOUR or -HOUR, 1 } end

return {
  jumps("the wall clock is set an hour ahead", { { HOUR, 1 } }),
  jumps("the wall clock is set an hour back", { { -HOUR, 1 } }),
  jumps("the wall clock is set by ten years", { { 10 * 365 * 24 * HOUR, 1 } }),
  jumps("the wall clock is set back and ahead, 10 times", there_and_back),
  fires("a timeout runs while the wall clock is set an hour ahead", HOUR, 1),
  fires("a timeout runs while the wall clock is set an hour back", -HOUR, 1),
  fires("a timeout runs while the wall clock goes at half its speed", 0, 0.5),
  fires("a timeout runs while the wall clock goes at twice its speed", 0, 2),
}
