--- The open connections of one subprotocol, and broadcasts to them. `lifecycle` lets connections join and leave.
-- @module websockets.connection.group
local outbox = require("websockets.connection.outbox")
local session = require("websockets.protocol.session")

local group = {}
group.__index = group

local TEXT, BINARY = 1, 2

local function new_list(self) return { group = self, count = 0, members = {}, wires = {} } end

--- Makes an empty group.
-- @tparam table context
-- @tparam[opt] string name the subprotocol
-- @treturn group
function group.new(context, name)
  local self = setmetatable({ context = context, name = name, troubled = {}, counts_use = false }, group)
  self[TEXT], self[BINARY], self.single = new_list(self), new_list(self), new_list(self)
  return self
end

--- Chooses the list that a connection belongs to. Text and binary recipients are lists of wires, so that one call
-- serves them all. A connection is served by itself if it has a function of its own, is sending a fragmented message,
-- or has a wire of another kind.
-- @tparam table ws with `broadcast_mode`: opcode 1 or 2, or a function
-- @treturn table list
function group:list_for(ws)
  local mode = ws.broadcast_mode
  if ws.fragment or type(mode) == "function" or not self.context.wire_class.is_own(ws.wire) then
    return self.single
  end
  return self[mode]
end

local function fan_out(self, opcode, data)
  local list, troubled = self[opcode], self.troubled
  if list.count == 0 then return end
  -- For `idle_timeout`.
  if self.counts_use then
    for i = 1, list.count do list.members[i].active = self.context.now end
  end
  local full = self.context.wire_class.fanout(list.wires, list.count, opcode, data, troubled)
  if full == 0 then return end
  -- Positions move when a connection leaves, so they are turned into connections first.
  for i = 1, full do troubled[i] = list.members[troubled[i]] end
  for i = 1, full do
    local ws = troubled[i]
    troubled[i] = nil
    outbox.retry(ws, "full", opcode, data, true)
  end
end

--- Sends a message to all, each in its own way: as text, as binary, or by its function.
-- @tparam string data
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `utf8`: there are text recipients and it is not UTF-8; it is sent to none
function group:broadcast(data)
  local single, context = self.single, self.context
  local recipients, opcode = {}, self[TEXT].count > 0 and TEXT or BINARY
  for i = 1, single.count do
    recipients[i] = single.members[i]
    if recipients[i].broadcast_mode == TEXT then opcode = TEXT end
  end
  if not session.may_send(opcode, data, context.engine.valid_utf8) then return -1, "utf8" end
  fan_out(self, TEXT, data)
  fan_out(self, BINARY, data)
  for i = 1, #recipients do
    local ws = recipients[i]
    local mode = ws.broadcast_mode
    if ws.state == "open" then
      if type(mode) == "function" then
        context.agenda:call(ws, mode, ws, data)
      else
        outbox.send(ws, mode, data, true)
      end
    end
  end
  return 0
end

return group
