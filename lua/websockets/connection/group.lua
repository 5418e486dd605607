--- Who gets a broadcast: the open connections of one subprotocol.
-- @module websockets.connection.group
local agenda = require("websockets.connection.agenda")
local session = require("websockets.connection.session")

local group = {}
group.__index = group

local TEXT, BINARY = 1, 2

local function new_list(self) return { group = self, count = 0, members = {}, wires = {} } end

--- Makes an empty group.
-- @tparam table context
-- @tparam[opt] string name the subprotocol
-- @treturn group
function group.new(context, name)
  local self = setmetatable({ context = context, name = name, troubled = {}, counts_idle = false }, group)
  self[TEXT], self[BINARY], self.single = new_list(self), new_list(self), new_list(self)
  return self
end

-- Text and binary recipients are lists of wires, so that one call serves them all; who has a function of its own, is in
-- the middle of a fragmented message, or has a wire of another kind, is served one by one.
local function list_for(self, ws)
  local mode = ws.broadcast_mode
  if ws.fragment or type(mode) == "function" or not self.context.wire_class.is_own(ws.wire) then
    return self.single
  end
  return self[mode]
end

--- Adds a connection, or moves it where its mode says. `ws.list` stays when it leaves, and says whose it was;
-- `ws.slot` is its place, false outside.
-- @tparam table ws with `broadcast_mode`: opcode 1 or 2, or a function
function group:join(ws)
  group.leave(ws)
  local list = list_for(self, ws)
  list.count = list.count + 1
  list.members[list.count] = ws
  list.wires[list.count] = ws.wire
  ws.list, ws.slot = list, list.count
  if ws.idle_slot then self.counts_idle = true end
end

--- Takes a connection out of its group, if it is in one.
-- @tparam table ws
function group.leave(ws)
  local list, slot = ws.list, ws.slot
  if not slot then return end
  local count = list.count
  local last = list.members[count]
  list.members[slot], list.wires[slot] = last, list.wires[count]
  last.slot = slot
  list.members[count], list.wires[count] = nil, nil
  list.count = count - 1
  ws.slot = false
end

local function fan_out(self, opcode, data)
  local list, troubled = self[opcode], self.troubled
  if list.count == 0 then return end
  if self.counts_idle then
    for i = 1, list.count do list.members[i].active = self.context.now end
  end
  local wire_class = self.context.wire_class
  local full = wire_class.fanout(list.wires, list.count, opcode, data, troubled)
  if full == 0 then return end
  -- Positions move when a connection leaves, so they are turned into connections first.
  for i = 1, full do troubled[i] = list.members[troubled[i]] end
  for i = 1, full do
    local ws = troubled[i]
    troubled[i] = nil
    if session.overflow(ws) then ws.wire:push(opcode, data) end
  end
end

--- Sends a message to all, each in its own way: as text, as binary, or by its function.
-- @tparam string data
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `utf8`: there are text recipients and it is not; nobody gets it
function group:broadcast(data)
  local single, context = self.single, self.context
  local recipients, text = {}, self[TEXT].count > 0
  for i = 1, single.count do
    recipients[i] = single.members[i]
    text = text or recipients[i].broadcast_mode == TEXT
  end
  if text and not context.engine.valid_utf8(data) then return -1, "utf8" end
  fan_out(self, TEXT, data)
  fan_out(self, BINARY, data)
  for i = 1, #recipients do
    local ws = recipients[i]
    local mode = ws.broadcast_mode
    if ws.state == "open" then
      if type(mode) == "function" then
        agenda.call(context, ws, mode, ws, data)
      else
        session.send(ws, mode, data, true)
      end
    end
  end
  return 0
end

return group
