--- Which list of a group an open connection is in; at its end it leaves its topics too.
-- `websockets.connection.lifecycle` alone calls this.
-- @module websockets.connection.membership
local membership = {}

--- Takes a connection out of its list. `ws.list` stays, and tells which group it belonged to; `ws.slot` is its place,
-- false outside.
-- @tparam table ws
function membership.leave(ws)
  local list, slot = ws.list, ws.slot
  if not slot then return end
  local members, wires, count = list.members, list.wires, list.count
  -- Where an interrupted turn (Ctrl-C) had got so far, its place is that of another.
  if members[slot] == ws then
    local last = members[count]
    wires[slot] = wires[count]
    last.slot = slot
    members[slot] = last
    -- Before the places are empty: a broadcast goes through as many as are counted.
    list.count = count - 1
    members[count], wires[count] = nil, nil
  end
  ws.slot = false
end

--- Has neither broadcasts nor topics reach a connection any more.
-- @tparam table ws
function membership.leave_all(ws)
  membership.leave(ws)
  local subscriptions = ws.context.subscriptions
  if subscriptions then subscriptions:leave_all(ws) end
end

--- Puts a connection into a list, and takes it out of the one before.
-- @tparam table ws
-- @tparam table list of a group
function membership.join(ws, list)
  local slot = list.count + 1
  -- First what may find no memory: the connection then stays where it is.
  list.members[slot], list.wires[slot] = ws, ws.wire
  membership.leave(ws)
  ws.list, ws.slot = list, slot
  list.count = slot
end

return membership
