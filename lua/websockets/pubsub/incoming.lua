--- What comes to this process over the carrier of a back plane.
--
-- A message on a channel begins with the name of the process that sent it and a letter for what it is.
-- @module websockets.pubsub.incoming
local message = require("websockets.pubsub.message")

local byte, sub = string.byte, string.sub

local incoming = {
  --- How many bytes the name of a process has.
  ORIGIN_BYTES = 12,
  --- Beside the letters of `websockets.pubsub.message`: a broadcast.
  CAST = "@",
}

local ORIGIN_BYTES, TEXT = incoming.ORIGIN_BYTES, 1
-- A message that is kept in a history.
local KEPT = byte("H")

local function take(plane, name, bytes)
  local opcode, data, key = message.read(bytes, ORIGIN_BYTES + 1)
  if opcode == TEXT and not plane.context.engine.valid_utf8(data) then return end
  if opcode then return plane.receiver:deliver(name, opcode, data, nil, key) end
  if plane.presence then plane.presence:message(name, sub(bytes, 1, ORIGIN_BYTES), bytes, ORIGIN_BYTES + 1) end
end

--- Takes a message from the carrier. What is no message of ours is left out: other programs may use the channel.
-- @tparam shared plane
-- @tparam string channel
-- @tparam string bytes
function incoming.take(plane, channel, bytes)
  local name, kind = plane.names[channel], byte(bytes, ORIGIN_BYTES + 1)
  if name and kind == KEPT then
    if plane.store then plane.store:message(name, bytes) end
    return
  end
  if sub(bytes, 1, ORIGIN_BYTES) == plane.origin then return end
  if name then return take(plane, name, bytes) end
  if channel == plane.all_channel and plane.presence then
    return plane.presence:message_to_all(sub(bytes, 1, ORIGIN_BYTES), bytes, ORIGIN_BYTES + 1)
  end
  local group = plane.groups[channel]
  if group and kind == byte(incoming.CAST) then group:broadcast_here(sub(bytes, ORIGIN_BYTES + 2)) end
end

return incoming
