--- After an error in the midst of reading or delivering: what it has interrupted, and what of that is lost.
-- @module websockets.turn.recovery
local lifecycle = require("websockets.connection.lifecycle")
local OTHER = require("websockets.wire.hub").OTHER

local recovery = {}

--- Finds the entry of an inbox whose delivery an error has interrupted, and leaves it out.
-- @tparam table inbox
-- @tparam ?boolean is_message_only whether it is left out only where it is a message: anything else can be done again
-- @treturn ?table its connection, whose callback raised
function recovery.leave_out(inbox, is_message_only)
  local takers, at = inbox.takers, inbox.first
  while at <= inbox.count and not takers[at] do at = at + 1 end
  local ws, is_message = takers[at], inbox.opcodes[at] ~= OTHER
  -- A payload that is still here has not been delivered.
  if at <= inbox.count and not inbox.payloads[at] and (is_message or not is_message_only) then
    takers[at] = false
    at = at + 1
  end
  inbox.first = at
  return is_message and ws or nil
end

local leave_out = recovery.leave_out

-- Finds what an error has interrupted while the hub was reading: what it has put down counts.
local function find_unread(state, readable)
  local many, place = state.many, state.place
  while many.takers[many.count + 1] do many.count = many.count + 1 end
  while readable[place] == false do place = place + 1 end
  local owner = readable[place]
  -- The accelerator knows by itself which connections it has read in part.
  if type(owner) ~= "table" then return false end
  readable[place] = false
  return owner
end

local function connection_of(owner)
  return owner and not owner.accept and owner or nil
end

--- Finds what an error has interrupted. What was read is in the inboxes, whole, and will be delivered.
-- @tparam table agenda whose `current` is what the error has left half done
-- @tparam table state of the delivery
-- @tparam ?table readable where the hub was reading
-- @treturn ?table the connection whose callback raised, or which is half done
-- @treturn boolean whether the error came in the library itself
function recovery.find(agenda, state, readable)
  local many, one = state.many, state.one
  if many.count == 0 and one.count == 0 then
    if readable and not agenda.current then agenda.current = find_unread(state, readable) end
    return connection_of(agenda.current), true
  end
  local from_many = many.count > 0 and not state.does_many_wait and leave_out(many) or nil
  local raiser = one.count > 0 and leave_out(one) or from_many
  return raiser or connection_of(agenda.current), agenda.current ~= false
end

--- Ends the connection that an error has left half done; a listener goes on.
-- @tparam table agenda
function recovery.end_current(agenda)
  local owner = agenda.current
  if not owner then return end
  if owner.accept then agenda:again(owner) else lifecycle.abort(owner, "error") end
  agenda.current = false
end

return recovery
