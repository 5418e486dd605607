--- The options of both peers under test: the limits that the suite needs, and compression if it is asked for.
-- @module conformance.peer
local engines = require("websockets.engine.loader")

local peer = {}

local MIB = 1024 * 1024

-- The fastest level: the protocol does not depend on it.
local LEVEL = 1

--- Gives the options of a peer. The environment variable `THRESHOLD` is the size in bytes from which messages are
-- compressed; without it nothing is compressed.
-- @treturn table options that `websockets.context` and `context:connect` share
-- @raise if the engine in use cannot compress
function peer.options()
  local threshold = tonumber(os.getenv("THRESHOLD") or "")
  local chosen = engines.choose()
  if threshold and not (chosen.can_compress and chosen.can_compress()) then
    error("the engine '" .. chosen.name .. "' cannot compress", 0)
  end
  return {
    -- Messages of 16 MiB in 65,536 fragments.
    max_message_bytes = 64 * MIB, max_fragments = 1000000, max_buffered_bytes = 256 * MIB,
    compression = threshold and { level = LEVEL, threshold = threshold } or false,
  }
end

return peer
