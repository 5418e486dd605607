--- Pages of entries, as a server answers them.
-- @module websockets.pubsub.redis.pages
local history = require("websockets.pubsub.history")
local message = require("websockets.pubsub.message")

local pages = {}

local find = string.find
local unpack = table.unpack or unpack

local TEXT = 1

--- Tells whether a value can be an id, or none.
-- @param text of the server
-- @treturn boolean
function pages.is_id(text) return type(text) == "string" and (text == "" or history.is_id(text)) end

local is_id = pages.is_id

-- An entry; nil where the server has broken what it keeps.
local function entry_of(list, at, valid_utf8)
  local id, prev, publisher, number, head, data = unpack(list, at, at + 5)
  number = type(number) == "string" and find(number, "^%d+$") and tonumber(number)
  if not (is_id(id) and id ~= "" and is_id(prev) and number and type(publisher) == "string") then return nil end
  if type(head) ~= "string" or type(data) ~= "string" then return nil end
  local opcode, payload, key = message.read(head .. data, 1)
  if opcode == TEXT and not valid_utf8(payload) then opcode = nil end
  return { id = id, prev = prev, publisher = publisher, number = number, opcode = opcode, data = payload, key = key }
end

--- Gives the entries of an answer.
-- @param value
-- @tparam function valid_utf8
-- @treturn ?{table,...} nil for an answer of another form; an entry without opcode is none that can be delivered
function pages.entries_of(value, valid_utf8)
  local list = type(value) == "table" and value[3]
  if type(list) ~= "table" or not is_id(value[1]) then return nil end
  local entries = {}
  for at = 1, #list, 6 do
    local entry = entry_of(list, at, valid_utf8)
    if not entry then return nil end
    entries[#entries + 1] = entry
  end
  return entries
end

return pages
