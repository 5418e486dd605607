--- What the histories of topics have in common, in memory and in Redis: ids, and whether something is missing.
--
-- An entry is a table: `id`; `prev`, the id of the entry before it, "" where that is not known; `opcode`, `data`,
-- `key`. Ids are those of Redis streams, milliseconds and a number: `1700000000000-0`. They rise within a topic, and
-- never repeat, also where entries were lost.
-- @module websockets.pubsub.history
local errors = require("websockets.errors")
local nested = require("websockets.pubsub.nested")
local outbox = require("websockets.connection.outbox")
local session = require("websockets.protocol.session")

local history = {
  --- What may stand in the place of an id: everything that is kept.
  ALL = "all",
  --- How long it is known which entry was the last, after all have gone.
  REMEMBERED_SECONDS = 86400,
}

local match = string.match

local MAX_DIGITS = 15

--- Tells whether a text can be an id.
-- @tparam string text of a peer, perhaps
-- @treturn boolean
function history.is_id(text)
  local time, number = match(text, "^(%d+)%-(%d+)$")
  return time ~= nil and #time <= MAX_DIGITS and #number <= MAX_DIGITS
end

--- Tells whether one id comes after another.
-- @tparam string one "" comes before all
-- @tparam string other
-- @treturn boolean
function history.is_after(one, other)
  if one == other or one == "" then return false end
  if other == "" then return true end
  local time, number = match(one, "^(%d+)%-(%d+)$")
  local other_time, other_number = match(other, "^(%d+)%-(%d+)$")
  time, other_time = tonumber(time), tonumber(other_time)
  if time ~= other_time then return time > other_time end
  return tonumber(number) > tonumber(other_number)
end

--- Tells whether an entry follows what a subscriber has, with nothing between.
-- @tparam table entry
-- @tparam string since id of what it had last, "" where the topic never had any, or `ALL`
-- @treturn boolean
function history.follows(entry, since)
  local prev = entry.prev
  return since == history.ALL or prev == since or prev ~= "" and not history.is_after(prev, since)
end

--- Gives what subscribers get of an entry, as the option `encode` of the history says.
-- @tparam table context
-- @tparam string name the topic
-- @tparam table keep `encode`
-- @tparam table entry
-- @treturn string the data itself where that raises, or gives what cannot be sent: `on_error` hears of it
function history.data_of(context, name, keep, entry)
  if not keep.encode then return entry.data end
  local agenda, valid_utf8 = context.agenda, context.engine.valid_utf8
  local is_good, data = nested.call(context, "encode", keep.encode, entry.data, entry.id, name)
  if not is_good then return entry.data end
  if type(data) == "string" and session.may_send(entry.opcode, data, valid_utf8) then return data end
  agenda:fail(("encode of topic %s must return a string%s, and has returned %s"):format(errors.describe(name),
    type(data) == "string" and " that is UTF-8" or "", errors.describe(data)))
  return entry.data
end

--- Sends an entry to one connection.
-- @tparam table ws
-- @tparam string name
-- @tparam table keep
-- @tparam table entry
function history.send(ws, name, keep, entry)
  outbox.send(ws, entry.opcode, history.data_of(ws.context, name, keep, entry), true)
end

--- Tells the application that a connection has joined a topic.
-- @tparam table ws
-- @tparam string name
-- @tparam ?function on_joined
-- @tparam ?boolean is_complete whether it has all that it has missed; nil: it is not subscribed
-- @tparam string last id of the last entry, "" for none; or why it is not subscribed
-- @tparam ?string code a word of `websockets.errors`
function history.tell_joined(ws, name, on_joined, is_complete, last, code)
  if on_joined then ws.context.agenda:call(ws, on_joined, ws, name, is_complete, last, code) end
end

return history
