--- What a context is doing when a fault meets it: for each scenario the bytes of its clients, and the turns between.
-- @module spec.support.fault_scenarios

local redis_faults = require("spec.support.redis_faults")
local topic_faults = require("spec.support.topic_faults")

local scenarios = {}

-- Clients of a scenario are made by `world:client(mark)`, connected, or by `world:open(mark)`, open. `turn` is a turn
-- of the context under the fault.

local function head(client, target, more)
  return ("GET /%s HTTP/1.1\r\nHost: x\r\nX-Mark: %s\r\n%s\r\n"):format(target or client.mark, client.mark, more or "")
end

--- Two request heads, each in three pieces, by turns.
function scenarios.head(world, turn)
  local one, other = world:client(), world:client()
  local first, second = head(one), head(other)
  for _, cut in ipairs({ { 1, 9 }, { 10, 30 }, { 31, -1 } }) do
    one:send(first:sub(cut[1], cut[2]))
    other:send(second:sub(cut[1], cut[2]))
    turn()
  end
  return { one, other }
end

--- A request with a body in two pieces, after one without.
function scenarios.body(world, turn)
  local client = world:client()
  client:send(head(client) .. ("POST /%s HTTP/1.1\r\nHost: x\r\nX-Mark: %s\r\nContent-Length: 20\r\n\r\n12345")
    :format(client.mark, client.mark))
  turn()
  client:send(("x"):rep(15))
  turn()
  turn()
  return { client }
end

--- A file as an answer.
function scenarios.file(world, turn)
  local client = world:client()
  client:send(head(client, "file"))
  turn()
  turn()
  return { client }
end

--- Two connections that come, and say nothing.
function scenarios.accept(world, turn)
  local clients = { world:client(true), world:client(true) }
  turn()
  return clients
end

--- A connection that comes, and becomes a WebSocket.
function scenarios.upgrade(world, turn)
  local client = world:client(true)
  client:send(client:request())
  turn()
  turn()
  client:send(client:frame(1, client.mark .. " early"))
  turn()
  return { client }
end

--- Messages in one batch, from two connections.
function scenarios.echo(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " one") .. one:frame(2, one.mark .. " two") .. one:frame(9, one.mark))
  world.beside:say()
  turn()
  return { one }
end

--- A message in fragments that come in pieces, with a ping between.
function scenarios.fragments(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " frag", true))
  turn()
  one:send(one:frame(9, one.mark) .. one:frame(0, " ment"):sub(1, 5))
  turn()
  one:send(one:frame(0, " ment"):sub(6))
  world.beside:say()
  turn()
  return { one }
end

--- A message in fragments from the server, with whole ones that have to wait.
function scenarios.sending(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " fragments"))
  -- The callback may end amid its message.
  one.is_amid = true
  world.beside:say()
  turn()
  return { one }
end

--- The peer closes.
function scenarios.close(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " last") .. one:frame(8, "\3\232"))
  world.beside:say()
  turn()
  return { one }
end

--- The server closes, the peer answers.
function scenarios.closing(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " close"))
  world.beside:say()
  turn()
  one:send(one:frame(8, "\3\232"))
  turn()
  return { one }
end

--- The server ends a connection at once.
function scenarios.ending(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " end"))
  world.beside:say()
  turn()
  return { one }
end

--- The peer breaks a rule.
function scenarios.breach(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " good") .. one:frame(5, "bad"))
  world.beside:say()
  turn()
  return { one }
end

--- The peer hangs up.
scenarios["hang-up"] = function(world, turn)
  local one = world:open()
  one:close()
  world.beside:say()
  turn()
  return {}
end

--- A message to all, beside an echo.
function scenarios.broadcast(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " all"))
  world.beside:say()
  turn()
  return { one }
end

--- Reading is paused amid a batch, and goes on.
function scenarios.pause(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " pause") .. one:frame(1, one.mark .. " held"))
  world.beside:say()
  turn()
  turn()
  return { one }
end

--- More is sent than the socket takes, and taken later.
function scenarios.full(world, turn)
  local one = world:open()
  one:send(one:frame(1, one.mark .. " much"))
  turn()
  for _ = 1, 3 do
    one:take()
    turn()
  end
  return { one }
end

--- Pings are due.
function scenarios.ping(world, turn)
  local one = world:open()
  world:advance(25)
  turn()
  turn()
  return { one }
end

--- A request head that never comes whole.
function scenarios.expiry(world, turn)
  local one = world:client()
  one:send(head(one):sub(1, 20))
  turn()
  world:advance(15)
  turn()
  return { one }
end

-- An echo at a server that was reached, and the end.
local function echo_there(peer, turn)
  turn()
  turn()
  peer:answer()
  turn()
  peer:greet()
  turn()
  peer:finish()
  turn()
end

--- Connecting to a server, an echo there, and the end.
function scenarios.connect(world, turn)
  local peer = world:peer()
  turn(function() world:connect(peer) end)
  echo_there(peer, turn)
  return { peer }
end

--- A redirect to another server.
function scenarios.redirect(world, turn)
  local first, peer = world:peer(), world:peer()
  turn(function() world:connect({ port = first.port, mark = peer.mark }, { headers = { Cookie = "a" } }) end)
  turn()
  turn()
  first:reply(("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/x\r\n\r\n"):format(peer.port))
  turn()
  echo_there(peer, turn)
  return { first, peer }
end

--- A way through an HTTP proxy.
function scenarios.tunnel(world, turn)
  local peer = world:peer()
  turn(function() world:connect(peer, { proxy = "http://joe:x@127.0.0.1:" .. peer.port }) end)
  turn()
  turn()
  peer:reply("HTTP/1.1 200 OK\r\n\r\n")
  echo_there(peer, turn)
  return { peer }
end

--- A refusal, whose body comes in pieces.
function scenarios.refusal(world, turn)
  local peer = world:peer()
  turn(function() world:connect(peer) end)
  turn()
  turn()
  peer:reply("HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngo a\r\n3\r")
  turn()
  peer:send("\nway\r\n0\r\n\r\n")
  turn()
  turn()
  return { peer }
end

--- Connecting to the second address while the first one lets us wait.
function scenarios.attempts(world, turn)
  local peer = world.peer_beside_hole()
  turn(function() world:connect(peer) end)
  world:advance(0.3)
  turn()
  turn()
  peer:answer()
  turn()
  peer:finish()
  turn()
  return { peer }
end

--- Connecting where nobody listens.
function scenarios.refused(world, turn)
  turn(function() world:connect(world.nowhere) end)
  turn()
  turn()
  return {}
end

--- A connection that is opened again after it broke.
function scenarios.reconnect(world, turn)
  local peer, ws = world:peer(), nil
  turn(function() ws = world:connect(peer, { reconnect = { min = 0.001, max = 0.002 } }) end)
  turn()
  turn()
  peer:answer()
  turn()
  peer:drop()
  turn()
  world:advance(1)
  turn()
  turn()
  peer:answer()
  turn()
  if ws then world:await_open(ws, peer) end
  return { peer }
end

--- Timers that are due.
function scenarios.timers(world, turn)
  local once, often, timer = 0, 0, nil
  turn(function()
    world.context:after(1, function() once = once + 1 end)
    timer = world.context:every(1, function() often = often + 1 end)
  end)
  for _ = 1, 2 do
    world:advance(1.5)
    turn()
  end
  world:advance(1)
  if timer and not world:pump(function() return often > 0 end) then world.foreign = "DEAF timer" end
  if once > 1 then world.foreign = "TWICE" end
  if timer then timer:cancel() end
  return {}
end

for name, scenario in pairs(topic_faults.scenarios) do scenarios[name] = scenario end
for name, scenario in pairs(redis_faults.scenarios) do scenarios[name] = scenario end

return scenarios
