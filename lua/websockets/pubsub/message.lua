--- How the messages of topics are written for a back plane: a letter for the type, the key of `conflate`, the payload.
-- @module websockets.pubsub.message
local message = {}

local byte, char, find, sub = string.byte, string.char, string.find, string.sub

-- `A` is text, `B` binary; `a` and `b` have a key, its length in decimal digits and a colon before it.
local PLAIN, KEYED = 64, 96
local TEXT, BINARY = 1, 2
local MAX_KEY_DIGITS = 8
local CLOSING_BRACE = 125

--- Gives the name of a topic as it stands in names of channels and keys: in braces, so that a Redis cluster has all of
-- a topic in one slot. Braces with nothing between them would not count there.
-- @tparam string topic
-- @treturn string a different one for each topic
function message.tag(topic)
  if topic == "" or byte(topic) == CLOSING_BRACE then return "{-}" .. topic .. "." end
  return "{" .. topic .. "}"
end

--- Writes what stands before the payload.
-- @tparam integer opcode 1 or 2
-- @tparam ?string key
-- @treturn string
function message.head(opcode, key)
  if not key or key == "" then return char(PLAIN + opcode) end
  return char(KEYED + opcode) .. #key .. ":" .. key
end

--- Reads a message.
-- @tparam string bytes
-- @tparam integer at where it begins
-- @treturn[1] integer opcode
-- @treturn[1] string data
-- @treturn[1] string key, "" for none
-- @treturn[2] nil it is none
function message.read(bytes, at)
  local kind = byte(bytes, at)
  if kind == PLAIN + TEXT or kind == PLAIN + BINARY then return kind - PLAIN, sub(bytes, at + 1), "" end
  if kind ~= KEYED + TEXT and kind ~= KEYED + BINARY then return nil end
  local _, colon = find(bytes, "^%d+:", at + 1)
  if not colon or colon - at - 1 > MAX_KEY_DIGITS then return nil end
  local last = colon + tonumber(sub(bytes, at + 1, colon - 1))
  if last > #bytes then return nil end
  return kind - KEYED, sub(bytes, last + 1), sub(bytes, colon + 1, last)
end

return message
