--- Random bytes from the operating system, a few thousand fetched at a time.
-- @module websockets.engine.pure.random

local sub = string.sub

local random = {}

local SOURCE = "/dev/urandom"
local POOL_BYTES = 4096

local pool, taken = "", 0

local function fetch(count)
  local file, why = io.open(SOURCE, "rb")
  if not file then return nil, "no random bytes: " .. why, "entropy" end
  local bytes = file:read(count)
  file:close()
  if not bytes or #bytes < count then return nil, "no random bytes: " .. SOURCE .. " ended", "entropy" end
  return bytes
end

--- Gives unpredictable random bytes.
-- @tparam number count how many, 0 or more
-- @treturn[1] string
-- @treturn[2] nil
-- @treturn[2] string what failed
-- @treturn[2] string `entropy`
-- @rfc 6455 10.3
function random.bytes(count)
  if count > POOL_BYTES then return fetch(count) end
  if taken + count > #pool then
    local bytes, why, code = fetch(POOL_BYTES)
    if not bytes then return nil, why, code end
    pool, taken = bytes, 0
  end
  taken = taken + count
  return sub(pool, taken - count + 1, taken)
end

return random
