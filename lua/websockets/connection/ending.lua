--- How a connection ends: by a deadline, at once, or after what is queued has left.
-- @module websockets.connection.ending
local agenda = require("websockets.connection.agenda")
local descriptor = require("websockets.connection.descriptor")
local group = require("websockets.connection.group")

local ending = {}

--- Sets the one deadline of a connection, in place of the one before.
-- @tparam table ws
-- @tparam ?number|table lane seconds, or a lane of `timers`; false or nil for none
-- @tparam ?function fire `fire(ws, now)`
function ending.deadline(ws, lane, fire)
  local context = ws.context
  if ws.timer_slot then context.timers:stop(ws.timer_lane, ws.timer_slot) end
  ws.timer_slot = false
  if lane then
    ws.timer_lane = lane
    ws.timer_slot = context.timers:start(lane, context.now, ws, fire)
  end
end

local function retire(ws)
  if ws.state == "closed" then return end
  ws.state, ws.plain = "closed", false
  group.leave(ws)
  ending.deadline(ws, nil)
  if ws.idle_slot then ws.context.timers:stop(ws.settings.idle_timeout, ws.idle_slot) end
  descriptor.block(ws, false)
  descriptor.unwatch(ws)
  if ws.exchange then ws.exchange:release() end
  agenda.retire(ws.context, ws)
end

--- Ends a connection at once, without a word to the peer.
-- @tparam table ws
-- @tparam string why for `on_closed`, with 1006
-- @tparam[opt=1006] integer code
function ending.abort(ws, why, code)
  if ws.state == "closed" then return end
  ws.outcome = ws.outcome or { code or 1006, "", false, why }
  retire(ws)
end

local function expire_close(ws)
  ws.timer_slot = false
  ending.abort(ws, "timeout")
end

--- Begins the end that the state "ending" asks for, once. What is queued leaves first, then the sending direction ends;
-- what still comes is thrown away, for closing with unread bytes would make the system reset the connection and the
-- peer lose our last words.
-- @rfc 6455 7.1.1
-- @tparam table ws
function ending.begin(ws)
  if ws.state ~= "ending" or ws.ending then return end
  ws.ending = true
  ending.await_close(ws)
  -- An HTTP answer may be long: as long as the peer takes it, it has its time.
  if ws.exchange and ws.wire:buffered() > 0 then ending.await_taking(ws) end
  agenda.touch(ws.context, ws)
end

--- Ends a connection of the HTTP phase once what is queued has left.
-- @tparam table ws
function ending.finish(ws)
  if ws.state ~= "http" then return end
  -- A client has nothing to finish before its connection is open.
  if ws.role == "client" then return ending.abort(ws, "closed") end
  ws.state = "ending"
  ws.outcome = { 1006, "", false, "closed" }
  ending.begin(ws)
end

--- Goes on with the end when nothing waits to be sent any more.
-- @tparam table ws in the state "ending"
function ending.drained(ws)
  -- After both close frames the server ends the connection first; the client waits for that as long as for the frame.
  if ws.peer_ended then return retire(ws) end
  if ws.outcome[3] then
    if ws.role ~= "client" then retire(ws) end
  elseif not ws.shut then
    ws.shut = true
    ws.wire:shutdown()
    ending.deadline(ws, ws.settings.close_timeout, expire_close)
  end
end

--- Waits for the peer's close frame no longer than `close_timeout`.
-- @tparam table ws
function ending.await_close(ws)
  group.leave(ws)
  ending.deadline(ws, ws.settings.close_timeout, expire_close)
  if ws.paused then descriptor.pause(ws, false) end
end

--- Waits for the peer to take the rest of an HTTP answer no longer than `response_timeout` without progress.
-- @tparam table ws
function ending.await_taking(ws)
  ending.deadline(ws, ws.settings.response_timeout, expire_close)
end

--- Tells the application that a connection has ended; its descriptor is still open.
-- @tparam table ws
function ending.tell(ws)
  local handler, outcome = ws.closed_handler, ws.outcome
  descriptor.announce(ws, false)
  if handler then
    agenda.call(ws.context, ws, handler, ws, outcome[1], outcome[2], outcome[3], outcome[4])
  end
end

return ending
