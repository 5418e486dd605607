--- Signs of life: pings to a silent peer, and the end of a connection that nobody uses.
-- @module websockets.connection.keepalive
local ending = require("websockets.connection.ending")
local session = require("websockets.connection.session")

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
  ws.timer_slot = false
  if has_lived(ws) or ws.paused then
    return ending.deadline(ws, settings.ping_interval, expire_ping)
  end
  -- Behind bytes that the peer does not take, the ping cannot have been answered.
  local expire = ws.blocked and expire_stuck or expire_pong
  session.send_control(ws, 9, "")
  if ws.state ~= "open" then return end
  if settings.ping_timeout then
    ending.deadline(ws, settings.ping_timeout, expire)
  else
    ending.deadline(ws, settings.ping_interval, expire_ping)
  end
end

-- Only when the ping has left our queue does the peer owe an answer; a byte taken is a sign of life anyway.
function expire_stuck(ws)
  ws.timer_slot = false
  if has_lived(ws) or ws.paused then
    return ending.deadline(ws, ws.settings.ping_interval, expire_ping)
  end
  ending.deadline(ws, ws.settings.ping_timeout, ws.blocked and expire_stuck or expire_pong)
end

function expire_pong(ws)
  ws.timer_slot = false
  if has_lived(ws) or ws.paused then
    return ending.deadline(ws, ws.settings.ping_interval, expire_ping)
  end
  ending.abort(ws, "timeout")
end

local function expire_idle(ws, now)
  local settings = ws.settings
  ws.idle_slot = nil
  if now - ws.active >= settings.idle_timeout then
    if ws.state == "open" then
      session.fail(ws, 1001, "", "idle")
    end
  else
    ws.idle_slot = ws.context.timers:start(settings.idle_timeout, now, ws, expire_idle)
  end
end

--- Begins to watch an open connection.
-- @tparam table ws
function keepalive.start(ws)
  local context, settings = ws.context, ws.settings
  has_lived(ws)
  ending.deadline(ws, settings.ping_interval, expire_ping)
  if settings.idle_timeout then
    ws.active = context.now
    ws.idle_slot = context.timers:start(settings.idle_timeout, context.now, ws, expire_idle)
  end
end

return keepalive
