--- The first step of a dial: looking the name up, and connecting to its addresses. They are tried beside each other,
-- each a quarter of a second after the one before or as soon as one has failed; the first that connects stays.
-- @module websockets.client.reach
-- @rfc 8305 5
local attempts = require("websockets.client.attempts")
local connection = require("websockets.connection.connection")
local descriptor = require("websockets.connection.descriptor")
local lifecycle = require("websockets.connection.lifecycle")
local resolver = require("websockets.client.resolver")
local url = require("websockets.protocol.url")

local reach = {}

-- RFC 8305 8: the recommended delay.
local ATTEMPT_SECONDS = 0.25

-- Any other failure to reach an address is that it cannot be reached.
local WORDS = {
  ["connection refused"] = "refused", timeout = "timeout",
  -- Of a unix socket.
  ["No such file or directory"] = "refused",
}

-- The next address to which a connection can be begun: its transport; nil and why, where there is none any more.
-- `dial.fresh` is a transport that no connection owns yet: `release` closes it.
local function begin_connecting(dial, context)
  local work, last_why = dial.work, nil
  while work.at < #work.addresses do
    work.at = work.at + 1
    local why
    dial.fresh, why = connection.dial(context, work.addresses[work.at], dial.place.port)
    if dial.fresh then return dial.fresh, why end
    last_why = why
  end
  return nil, last_why
end

local function take(dial, ws, transport)
  local work = dial.work
  if work.is_lost then
    work.is_lost = false
    connection.replace(ws, transport, transport:getfd())
    -- A callback of an outside loop may have ended the connection.
    if ws.state == "dialling" then descriptor.block(ws, true) end
  elseif descriptor.can_watch(ws.context, transport:getfd()) then
    work.others:add(ws, transport)
  else
    transport:close()
  end
  dial.fresh = false
end

local next_is_due

local function stop_timer(work, context)
  if work.timer then context.timers:stop(ATTEMPT_SECONDS, work.timer) end
  work.timer = false
end

local function start_timer(work, ws)
  stop_timer(work, ws.context)
  if work.at < #work.addresses and work.others:has_room() then
    work.timer = ws.context.timers:start(ATTEMPT_SECONDS, ws.context.now, ws, next_is_due)
  end
end

-- Begins with the next address, beside what goes on. Where nothing goes on any more, the connection fails.
local function try_next(dial, ws, why)
  local work = dial.work
  local transport, trouble = begin_connecting(dial, ws.context)
  while transport and trouble do
    transport:close()
    why = trouble
    transport, trouble = begin_connecting(dial, ws.context)
  end
  why = trouble or why
  if transport then
    take(dial, ws, transport)
    if ws.state == "dialling" then start_timer(work, ws) end
  elseif work.is_lost then
    dial.fail(ws, ("cannot connect to %s: %s"):format(url.label(dial.place), why), WORDS[why] or "unreachable")
  end
end

function next_is_due(ws)
  local dial = ws.phase
  dial.work.timer = false
  try_next(dial, ws)
end

local function fail_to_resolve(dial, ws, why)
  dial.fail(ws, ("cannot resolve %s: %s"):format(dial.place.host, why), "host")
end

-- The answer of a look-up is whole when it ends.
local function read_addresses(dial, ws)
  local work = dial.work
  local bytes, why
  repeat
    bytes, why = ws.wire:receive()
    work.answer = work.answer .. (bytes or "")
  until not bytes
  if why == "timeout" then return end
  local addresses
  addresses, why = resolver.read(work.answer)
  work.answer = false
  if not addresses then return fail_to_resolve(dial, ws, why) end
  work.addresses, work.is_lost = resolver.alternate(addresses), true
  try_next(dial, ws)
end

local function go_on(dial, ws)
  reach.release(dial, ws)
  -- A callback of an outside loop may have ended the connection.
  if ws.state ~= "dialling" then return end
  lifecycle.connected(ws)
  descriptor.block(ws, false)
  dial:next_step(ws)
end

-- Whether the connection's own socket is connected; nil and why, where it just failed.
local function look_at_own(work, ws)
  if work.is_lost then return false end
  local why = work.trouble
  work.trouble = false
  if why then return nil, why end
  return (ws.wire.transport or ws.wire):connected()
end

--- Goes on connecting.
-- @tparam table dial
-- @tparam table ws
function reach.advance(dial, ws)
  local work = dial.work
  if work.answer then return read_addresses(dial, ws) end
  if work.unresolved then return fail_to_resolve(dial, ws, work.unresolved) end
  local is_connected, why = look_at_own(work, ws)
  if is_connected then return go_on(dial, ws) end
  local winner, other_why = work.others:look(ws)
  if is_connected == nil then work.is_lost = true end
  if winner or (work.is_lost and work.others:first()) then
    work.is_lost = false
    work.others:move(ws, winner or work.others:first())
    if winner then return go_on(dial, ws) end
    if ws.state == "dialling" then descriptor.block(ws, true) end
  end
  if ws.state == "dialling" and (why or other_why) then try_next(dial, ws, why or other_why) end
end

-- What fails at once is dealt with by `advance`.
local function open_first(dial, context)
  local work = dial.work
  if work.unresolved then
    -- A connection has a socket from its beginning, even where it has no address.
    dial.fresh = context.sockets.placeholder()
    return dial.fresh, "too many open files"
  end
  local transport, why = begin_connecting(dial, context)
  work.trouble = transport and why or false
  return transport, why
end

local function new_work(addresses, unresolved)
  return {
    -- The addresses, and which of them was tried last; the text of a look-up that goes on, and why one failed.
    addresses = addresses and resolver.alternate(addresses) or {}, at = 0, answer = false, unresolved = unresolved,
    -- Why the connection's own socket has failed, until that is dealt with, and whether it has; the other sockets.
    trouble = false, is_lost = false, others = attempts.new(), timer = false,
  }
end

--- Begins to look up or to connect; the connection has to be given what this returns, and `await` must follow.
-- @tparam table dial
-- @tparam table context
-- @treturn[1] table|userdata transport or wire
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`
function reach.open(dial, context)
  local addresses, unresolved = resolver.known(dial.place), nil
  if not addresses then
    local look_up = resolver.begin(context, dial.place.host)
    if look_up == false then return nil, "no descriptor or thread to look a name up", "limit" end
    if look_up then
      -- Nothing waits for the answer: it arrives as from any other socket.
      dial.work = new_work()
      dial.work.answer = ""
      dial.fresh = look_up
      return look_up
    end
    addresses, unresolved = context.sockets.resolve(dial.place.host)
  end
  dial.work = new_work(addresses, unresolved)
  local transport, why = open_first(dial, context)
  if not transport then return nil, "no socket: " .. tostring(why), "limit" end
  if descriptor.can_watch(context, transport:getfd()) then return transport end
  transport:close()
  return nil, "no more connections can be watched", "limit"
end

--- Has a connection wait for what `open` has begun.
-- @tparam table dial
-- @tparam table ws
function reach.await(dial, ws)
  local work = dial.work
  if work.answer then return end
  -- A callback of an outside loop may have ended the connection, or gone on connecting.
  if ws.state ~= "dialling" or dial.work ~= work then return end
  descriptor.block(ws, true)
  -- What failed at once is reported in the next turn: the caller may have set no callbacks yet.
  if work.unresolved or work.trouble then ws.context.agenda:again(ws) else start_timer(work, ws) end
end

--- Begins with a connection that has been used already.
-- @tparam table dial
-- @tparam table ws
function reach.begin(dial, ws)
  local transport, why, code = reach.open(dial, ws.context)
  if not transport then return dial.fail(ws, why, code) end
  connection.replace(ws, transport, transport:getfd())
  dial.fresh = false
  reach.await(dial, ws)
end

--- Gives up all but the connection's own socket. May be called twice.
-- @tparam table dial
-- @tparam table ws
function reach.release(dial, ws)
  local work, fresh = dial.work, dial.fresh
  dial.fresh = false
  if work then
    stop_timer(work, ws.context)
    work.others:close(ws)
  end
  -- The connection's own is closed with it.
  if fresh and fresh ~= (ws.wire.transport or ws.wire) then fresh:close() end
end

return reach
