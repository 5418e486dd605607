--- Signs of life: pings to a silent peer, and the end of a connection that is not used.
-- @module websockets.connection.keepalive
-- @rfc 6455 5.5.2
local lifecycle = require("websockets.connection.lifecycle")
local outbox = require("websockets.connection.outbox")

local keepalive = {}

local ping, expire_ping, expire_pong, expire_stuck

-- Whether the peer has sent anything, or taken any byte that waited for it, since this was asked last.
local function has_lived(ws)
  local has_taken, has_heard = ws.has_taken, ws.wire:heard()
  if has_taken then ws.has_taken = nil end
  return has_taken or has_heard
end

-- The time to answer is longer than the interval, or without end: the next ping is due, if the last one was answered.
local function expire_interval(ws)
  local interval, timeout = ws.settings.ping_interval, ws.settings.ping_timeout
  if ws.paused then
    lifecycle.deadline(ws, interval, expire_ping)
  elseif has_lived(ws) or not timeout then
    ping(ws)
  else
    lifecycle.deadline(ws, timeout - interval, expire_pong)
  end
end

function ping(ws)
  local interval, timeout = ws.settings.ping_interval, ws.settings.ping_timeout
  -- A ping that waits after bytes which the peer does not take cannot be answered.
  local is_stuck = ws.blocked
  outbox.send_control(ws, 9, "")
  if ws.state ~= "open" then return end
  if not timeout or (timeout > interval and not is_stuck) then
    lifecycle.deadline(ws, interval, expire_interval)
  else
    lifecycle.deadline(ws, timeout, is_stuck and expire_stuck or expire_pong)
  end
end

function expire_ping(ws)
  if has_lived(ws) or ws.paused then
    return lifecycle.deadline(ws, ws.settings.ping_interval, expire_ping)
  end
  ping(ws)
end

-- The ping waits in our queue, so the peer owes no answer yet; but it has to take something of what is before it.
function expire_stuck(ws)
  local interval, timeout = ws.settings.ping_interval, ws.settings.ping_timeout
  -- A full socket is reported as writable late, when much of it is free again.
  local pending, took = ws.wire:flush()
  if not pending then return lifecycle.abort(ws, took) end
  -- What follows a flush.
  if took then ws.context.agenda:touch(ws) end
  if has_lived(ws) or took or ws.paused then
    lifecycle.deadline(ws, interval, expire_ping)
  elseif pending == 0 then
    lifecycle.deadline(ws, timeout, expire_pong)
  else
    lifecycle.abort(ws, "timeout")
  end
end

-- The sign of life may be the pong alone: the next ping is due an interval after the one before, not after this.
function expire_pong(ws)
  local interval, timeout = ws.settings.ping_interval, ws.settings.ping_timeout
  if ws.paused then
    lifecycle.deadline(ws, interval, expire_ping)
  elseif not has_lived(ws) then
    lifecycle.abort(ws, "timeout")
  elseif timeout < interval then
    lifecycle.deadline(ws, interval - timeout, expire_ping)
  else
    ping(ws)
  end
end

local function expire_idle(ws, now)
  local settings = ws.settings
  if now - ws.active < settings.idle_timeout then
    ws.idle_slot = ws.context.timers:start(settings.idle_timeout, now, ws, expire_idle)
  else
    -- A closing handshake has its own deadline.
    if ws.state == "open" then lifecycle.fail(ws, 1001, "", "idle") end
    ws.idle_slot = nil
  end
end

--- Begins to watch an open connection.
-- @tparam table ws
function keepalive.start(ws)
  local context, settings = ws.context, ws.settings
  has_lived(ws)
  lifecycle.deadline(ws, settings.ping_interval, expire_ping)
  if settings.idle_timeout then
    ws.active = context.now
    ws.idle_slot = context.timers:start(settings.idle_timeout, context.now, ws, expire_idle)
  end
end

return keepalive
