--- Signs of life: pings to a silent peer, and the end of a connection that is not used.
-- @module websockets.connection.keepalive
local lifecycle = require("websockets.connection.lifecycle")
local outbox = require("websockets.connection.outbox")

local keepalive = {}

local expire_pong, expire_stuck

-- Whether the peer has sent anything, or taken any byte that waited for it, since this was asked last.
local function has_lived(ws)
  local has_taken, has_heard = ws.has_taken, ws.wire:heard()
  if has_taken then ws.has_taken = nil end
  return has_taken or has_heard
end

local function expire_ping(ws)
  local settings = ws.settings
  if has_lived(ws) or ws.paused then
    return lifecycle.deadline(ws, settings.ping_interval, expire_ping)
  end
  -- A ping that waits after bytes which the peer does not take cannot be answered.
  local expire = ws.blocked and expire_stuck or expire_pong
  outbox.send_control(ws, 9, "")
  if ws.state ~= "open" then return end
  if settings.ping_timeout then
    lifecycle.deadline(ws, settings.ping_timeout, expire)
  else
    lifecycle.deadline(ws, settings.ping_interval, expire_ping)
  end
end

-- Only when the ping has left our queue does the peer owe an answer; a byte taken is a sign of life anyway.
function expire_stuck(ws)
  if has_lived(ws) or ws.paused then
    return lifecycle.deadline(ws, ws.settings.ping_interval, expire_ping)
  end
  lifecycle.deadline(ws, ws.settings.ping_timeout, ws.blocked and expire_stuck or expire_pong)
end

function expire_pong(ws)
  if has_lived(ws) or ws.paused then
    return lifecycle.deadline(ws, ws.settings.ping_interval, expire_ping)
  end
  lifecycle.abort(ws, "timeout")
end

local function expire_idle(ws, now)
  local settings = ws.settings
  ws.idle_slot = nil
  if now - ws.active >= settings.idle_timeout then
    -- A closing handshake has its own deadline.
    if ws.state == "open" then lifecycle.fail(ws, 1001, "", "idle") end
  else
    ws.idle_slot = ws.context.timers:start(settings.idle_timeout, now, ws, expire_idle)
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
