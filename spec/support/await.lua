--- Waits for what other programs and peers do.
-- @module spec.support.await
local socket = require("socket")

local DEADLINE_SECONDS, PAUSE_SECONDS = 20, 0.001

--- Repeats something until it gives a true value.
-- @function await
-- @tparam function work
-- @tparam string what it waits for
-- @return what it gave
-- @raise after 20 seconds, naming what did not come
return function(work, what)
  local deadline = socket.gettime() + DEADLINE_SECONDS
  repeat
    local result = work()
    if result then return result end
    socket.sleep(PAUSE_SECONDS)
  until socket.gettime() > deadline
  error("no " .. what .. " within " .. DEADLINE_SECONDS .. " s", 2)
end
