--- The connections that messages of this process leave out, of one topic with a history: by the number of the message,
-- until it is delivered or can come no more.
-- @module websockets.pubsub.redis.excepts
local history = require("websockets.pubsub.history")

local excepts = {}
excepts.__index = excepts

--- Makes what a topic keeps.
-- @tparam string origin the publisher whose messages are meant
-- @treturn excepts
function excepts.new(origin)
  return setmetatable({
    origin = origin,
    -- Number -> connection; those that have ended are no longer held.
    left_out = setmetatable({}, { __mode = "v" }),
    -- Numbers of messages that are answered and not delivered yet.
    answered = {},
    -- The id up to which the topic was read; nil where it could not be.
    reached = nil,
  }, excepts)
end

--- Notes that a message leaves out a connection.
-- @tparam integer number
-- @tparam table ws
function excepts:add(number, ws) self.left_out[number] = ws end

--- Tells which connection a message leaves out, which is delivered now.
-- @tparam table entry
-- @treturn ?table
function excepts:take(entry)
  if entry.publisher ~= self.origin then return nil end
  local ws = self.left_out[entry.number]
  self.left_out[entry.number], self.answered[entry.number] = nil, nil
  return ws
end

-- A message whose first answer was lost may be answered again after it was read.
local function is_read(self, id)
  return type(id) == "string" and history.is_id(id) and self.reached and not history.is_after(id, self.reached)
end

--- A message is answered.
-- @tparam integer number
-- @tparam ?string id as the server gives it; nil: the message is not kept
function excepts:answer(number, id)
  if id == nil or is_read(self, id) then self.left_out[number] = nil end
  if self.left_out[number] then self.answered[number] = true end
end

--- The topic has been read: what was answered before that has been delivered, or comes no more.
-- @tparam ?string reached id of the last message that was read; nil where it could not be read
function excepts:drop(reached)
  self.reached = reached
  for number in pairs(self.answered) do self.left_out[number] = nil end
  self.answered = {}
end

require("websockets.loading").interpret(excepts.drop)

return excepts
