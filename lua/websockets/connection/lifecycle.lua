--- The life of a connection. This module alone writes its state, its outcome, its deadline, its place in a group,
-- whether reading is paused, and whether its messages may take the fast path.
-- @module websockets.connection.lifecycle
local descriptor = require("websockets.connection.descriptor")
local membership = require("websockets.connection.membership")
local session = require("websockets.protocol.session")
local timers = require("websockets.connection.timers")
local transitions = require("websockets.connection.transitions")

local lifecycle = {}

local CLOSE, NO_CLOSE_FRAME = 8, 1006

-- Ends by which we give up a peer: what waits for it is not sent any more, and the system resets the connection.
local GIVEN_UP = { slow = true, timeout = true, destroyed = true }

--- Sets the one deadline of a connection, in place of the one before.
-- @function lifecycle.deadline
-- @tparam table ws
-- @tparam ?number|table lane seconds, or a lane of `timers`; false or nil for none
-- @tparam ?function fire `fire(ws, now)`
lifecycle.deadline = timers.set_deadline

--- Adds an open connection to a group: from now on it gets the group's broadcasts.
-- @tparam table ws
-- @tparam group group
function lifecycle.join(ws, group)
  membership.join(ws, group:list_for(ws))
  if ws.settings.idle_timeout then group.counts_use = true end
end

--- Decides anew which way messages take, after something that this depends on has changed: `held`, `fragment`,
-- `broadcast_mode`. Messages take the fast path in an open connection with nothing special: `ws.fast` is the wire then.
-- @tparam table ws
function lifecycle.refresh(ws)
  local is_fast = ws.state == "open" and not (ws.paused or ws.held or ws.fragment or ws.settings.idle_timeout)
  if is_fast ~= (ws.fast ~= false) then
    ws.wire:direct(is_fast)
    ws.fast = is_fast and ws.wire
  end
  local subscriptions = ws.context.subscriptions
  if subscriptions then subscriptions:follow_fragment(ws) end
  if ws.slot then
    local list = ws.list.group:list_for(ws)
    if list ~= ws.list then membership.join(ws, list) end
  end
end

--- Stops or goes on reading.
-- @tparam table ws
-- @tparam boolean is_paused
function lifecycle.pause(ws, is_paused)
  if ws.paused == is_paused or ws.state == "closed" then return end
  ws.paused = is_paused
  lifecycle.refresh(ws)
  descriptor.follow_pause(ws)
  if not is_paused then ws.context.agenda:again(ws) end
end

local expire

--- closing, draining, lingering: the peer has taken bytes of what waits, so its time begins anew.
-- @tparam table ws
function lifecycle.progress(ws)
  local settings = ws.settings
  local lane = ws.phase and settings.response_timeout or settings.close_timeout
  if ws.state == "lingering" then lane = ws.context.timers:lane("lingering", settings.close_timeout) end
  ws.outstanding = descriptor.outstanding(ws)
  lifecycle.deadline(ws, lane, expire)
end

-- A full socket is reported as writable only when a third of it is free: a slow peer may need longer for that.
function expire(ws)
  local pending = 0
  if ws.wire:buffered() > 0 then pending = ws.wire:flush() end
  if pending and descriptor.has_taken(ws, ws.outstanding) then
    lifecycle.progress(ws)
    -- What follows where nothing waits any more.
    if pending == 0 then ws.context.agenda:touch(ws) end
  else
    lifecycle.abort(ws, "timeout")
  end
end

-- Nothing more is said on this connection: a close frame or the last answer is queued.
local function stop_talking(ws)
  -- First, so that an error in what follows does not leave the connection without an end.
  lifecycle.progress(ws)
  membership.leave_all(ws)
  lifecycle.refresh(ws)
  lifecycle.pause(ws, false)
end

-- What happens on entering a state.
local enter = {}

-- The deadline of connecting goes on until the server has answered.
function enter.http() end
enter.dialling = enter.http

-- `keepalive` sets the next deadline.
function enter.open(ws)
  ws.phase = false
  lifecycle.refresh(ws)
end

-- RFC 6455 7.1.2: our close frame is queued, the peer's is awaited.
enter.closing = stop_talking

-- What still comes is thrown away: closing a socket with unread bytes makes the system reset the connection, and the
-- peer loses our last words.
function enter.draining(ws)
  ws.context.agenda:touch(ws)
  stop_talking(ws)
end

-- RFC 6455 7.1.1: after both close frames the server ends the connection first. The client waits for that as long as
-- for the frame.
function enter.lingering(ws)
  if not ws.outcome.clean then ws.wire:shutdown() end
  lifecycle.progress(ws)
end

-- Each step may be done twice; the last tells that all of it is done.
function enter.closed(ws)
  membership.leave_all(ws)
  lifecycle.refresh(ws)
  lifecycle.deadline(ws, nil)
  if ws.idle_slot then ws.context.timers:stop(ws.settings.idle_timeout, ws.idle_slot) end
  if ws.context.unfinished.entries[ws] then ws.context.unfinished:forget(ws) end
  descriptor.block(ws, false)
  descriptor.unwatch(ws)
  if ws.phase then ws.phase:release(ws) end
  ws.timer_lane = nil
end

-- Nothing of the old connection goes on in the next one.
function enter.away(ws)
  ws.phase, ws.outcome, ws.paused, ws.timer_lane = false, nil, false, false
end

local function go(ws, transition)
  local state = transitions[transition][ws.state]
  if not state then return false end
  -- Before everything else: whatever comes, the end of the turn reports and closes it.
  if state == "closed" then ws.context.agenda:retire(ws) end
  if state == "open" or ws.state == "open" then ws.context.tally:follow(ws, state == "open") end
  ws.state = state
  enter[state](ws)
  return true
end

--- closed: does what an error on the way to the end has left undone.
-- @tparam table ws with an outcome
function lifecycle.complete(ws)
  if ws.timer_lane ~= nil then
    ws.state = "closed"
    enter.closed(ws)
  end
end

--- Begins a connection.
-- @tparam table ws
-- @tparam string state `http`, or `dialling` where it is still connecting
-- @tparam ?number|table lane of its first deadline
-- @tparam function fire
function lifecycle.begin(ws, state, lane, fire)
  ws.state = state
  lifecycle.deadline(ws, lane, fire)
end

--- any state -> closed: takes back what `begin` has done, for a connection that nobody has heard of.
-- @tparam table ws with its wire
function lifecycle.discard(ws)
  ws.state = "closed"
  lifecycle.deadline(ws, nil)
  ws.context.agenda:block(ws, false)
  descriptor.unwatch(ws)
end

--- dialling -> http: the socket is connected, the opening handshake follows.
-- @tparam table ws
function lifecycle.connected(ws) go(ws, "connected") end

--- http -> dialling: the TLS handshake follows.
-- @tparam table ws
function lifecycle.secure(ws) go(ws, "secure") end

--- http -> dialling: this side connects anew, to the same server or to another.
-- @tparam table ws
function lifecycle.dial_again(ws) go(ws, "dial_again") end

--- closed -> away: the connection is opened again later.
-- @tparam table ws
function lifecycle.depart(ws) go(ws, "depart") end

--- away -> dialling: the connection is opened again.
-- @tparam table ws
-- @tparam table phase
-- @tparam ?number lane of its deadline
-- @tparam function fire
function lifecycle.redial(ws, phase, lane, fire)
  if not go(ws, "redial") then return end
  ws.phase = phase
  lifecycle.deadline(ws, lane, fire)
end

--- http -> open: the opening handshake is done.
-- @tparam table ws
function lifecycle.open(ws) go(ws, "open") end

--- open -> closing: begins the closing handshake.
-- @rfc 6455 7.1.2
-- @tparam table ws
-- @tparam ?integer code none: a close frame without a code
-- @tparam ?string reason
function lifecycle.close(ws, code, reason)
  if ws.state ~= "open" then return end
  local subscriptions = ws.context.subscriptions
  if subscriptions then subscriptions.backlog:release(ws) end
  ws.wire:push(CLOSE, session.close_payload(code, reason))
  go(ws, "close")
end

--- open, closing -> draining: the peer has sent its close frame. Ours answers, if it has not been sent yet.
-- @rfc 6455 5.5.1
-- @tparam table ws
-- @tparam table outcome `code`, `reason`, `clean`, `why`
-- @tparam string payload of the answer
function lifecycle.answer_close(ws, outcome, payload)
  if not transitions.conclude[ws.state] then return end
  if ws.state == "open" then ws.wire:push(CLOSE, payload) end
  ws.outcome = outcome
  go(ws, "conclude")
end

--- open, closing -> draining: ends with a close frame, without waiting for the peer's.
-- @rfc 6455 7.1.7
-- @tparam table ws
-- @tparam integer code
-- @tparam string reason for `on_closed`; the peer is told the code alone
-- @tparam string why for `on_closed`
function lifecycle.fail(ws, code, reason, why)
  lifecycle.answer_close(ws, { code = code, reason = reason, clean = false, why = why }, session.close_payload(code))
end

--- http -> draining: the last answer is queued, or the peer will send no request any more.
-- @tparam table ws
function lifecycle.finish(ws)
  -- A client has nothing to finish before its connection is open.
  if ws.state == "away" or ws.state == "dialling" or (ws.state == "http" and ws.role == "client") then
    return lifecycle.abort(ws, "closed")
  end
  if ws.state ~= "http" then return end
  ws.outcome = { code = NO_CLOSE_FRAME, reason = "", clean = false, why = "closed" }
  go(ws, "finish")
end

--- draining: the peer has ended its sending direction; what is queued still leaves.
-- @tparam table ws
function lifecycle.half_closed(ws)
  ws.peer_ended = true
  lifecycle.pause(ws, true)
end

--- draining -> lingering or closed: nothing waits to be sent any more.
-- @tparam table ws
function lifecycle.drained(ws)
  if ws.state ~= "draining" then return end
  -- After both close frames the server ends the connection first.
  if ws.peer_ended or (ws.outcome.clean and ws.role ~= "client") then return go(ws, "abort") end
  go(ws, "drained")
end

--- http: how the connection will end is known, but the peer has more to say before.
-- @tparam table ws
-- @tparam string why for `on_closed`, with 1006
-- @tparam string reason for `on_closed`
function lifecycle.decide(ws, why, reason)
  ws.outcome = ws.outcome or { code = NO_CLOSE_FRAME, reason = reason, clean = false, why = why }
end

--- any state -> closed: ends at once, without a close frame.
-- @tparam table ws
-- @tparam string why for `on_closed`, with 1006, where no other end has begun
-- @tparam[opt=""] string reason for `on_closed`
function lifecycle.abort(ws, why, reason)
  if ws.state == "closed" then return end
  local outcome = ws.outcome or { code = NO_CLOSE_FRAME, reason = reason or "", clean = false, why = why }
  local has_all_left = ws.wire:buffered() == 0
  ws.outcome = outcome
  -- Our close frame may not have left.
  outcome.clean = outcome.clean and has_all_left
  -- Only what waits in our queue is certainly not being taken: a slow reader may be reading what the system has.
  if GIVEN_UP[why] and (outcome.why == "slow" or not has_all_left) then outcome.linger = 0 end
  go(ws, "abort")
end

return lifecycle
