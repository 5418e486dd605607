--- What both peers under test are set to: the limits that the suite needs, and compression where it asks for it.
-- @module conformance.peer
local engines = require("websockets.engine.loader")

local peer = {}

local MIB = 1024 * 1024

-- Quick, for the level is no matter of the protocol.
local LEVEL = 1

--- Gives the options of one peer. By the environment: `THRESHOLD`, bytes from which messages are compressed; without
-- it nothing is compressed.
-- @treturn table options that `websockets.context` and `context:connect` share
-- @raise where the engine at work would leave compression to another one
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
