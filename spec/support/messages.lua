--- Lists of messages that clients have got, or are to get.
-- @module spec.support.messages
local messages = {}

--- Waits for so many.
-- @tparam client one
-- @tparam integer count
-- @treturn {string,...} their payloads
function messages.texts(one, count)
  local found = {}
  for i = 1, count do
    local _, text = one:message()
    found[i] = text
  end
  return found
end

--- Raises where one of the clients has a message more.
-- @tparam client ...
function messages.assert_none(...)
  for _, one in ipairs({ ... }) do
    one.server:settle()
    local opcode, text = one:try_message()
    if opcode then error("a message came: " .. tostring(text), 2) end
  end
end

--- Makes the payloads of messages that are numbered.
-- @tparam integer first
-- @tparam integer last
-- @treturn {string,...}
function messages.numbers(first, last)
  local found = {}
  for i = first, last do found[#found + 1] = ("%d"):format(i) end
  return found
end

return messages
