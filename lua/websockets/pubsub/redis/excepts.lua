--- For one topic with a history: which connection each message of this process is not delivered to (the argument
-- `except` of `publish`). The message comes back from the server later; until it is delivered, or cannot come any more,
-- its number and the connection are kept here.
-- @module websockets.pubsub.redis.excepts
local history = require("websockets.pubsub.history")

local excepts = {}
excepts.__index = excepts

--- Makes an empty list.
-- @tparam string origin the publisher that this process is
-- @treturn excepts
function excepts.new(origin)
  return setmetatable({
    origin = origin,
    -- Number of a message -> connection. Weak: a connection that has ended is not kept alive.
    left_out = setmetatable({}, { __mode = "v" }),
    -- The numbers of messages that the server has taken and that are not delivered yet.
    answered = {},
    -- The id up to which the topic was read; nil if it could not be read.
    reached = nil,
  }, excepts)
end

--- Notes that a message is not to be delivered to a connection.
-- @tparam integer number
-- @tparam table ws
function excepts:add(number, ws) self.left_out[number] = ws end

--- Tells which connection a message is not delivered to, and forgets it: the message is being delivered.
-- @tparam table entry the message
-- @treturn ?table ws
function excepts:take(entry)
  if entry.publisher ~= self.origin then return nil end
  local ws = self.left_out[entry.number]
  self.left_out[entry.number], self.answered[entry.number] = nil, nil
  return ws
end

-- Whether a message was read from the topic before its answer came, as where the first answer was lost: it will not be
-- delivered again.
local function is_read(self, id)
  return type(id) == "string" and history.is_id(id) and self.reached and not history.is_after(id, self.reached)
end

--- The server has answered a message.
-- @tparam integer number
-- @tparam ?string id that the server gave it; nil: the server did not keep the message
function excepts:answer(number, id)
  if id == nil or is_read(self, id) then self.left_out[number] = nil end
  if self.left_out[number] then self.answered[number] = true end
end

--- The topic has been read: messages that were answered before have been delivered by that, or will not come any more.
-- @tparam ?string reached id of the last message that was read; nil where it could not be read
function excepts:drop(reached)
  self.reached = reached
  for number in pairs(self.answered) do self.left_out[number] = nil end
  self.answered = {}
end

require("websockets.loading").interpret(excepts.drop)

return excepts
