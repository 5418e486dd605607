--- The open connections of one subprotocol, and broadcasts to them. `lifecycle` lets connections join and leave.
-- @module websockets.connection.group
local fanout = require("websockets.connection.fanout")
local outbox = require("websockets.connection.outbox")
local session = require("websockets.protocol.session")
local stream = require("websockets.wire.stream")

local group = {}
group.__index = group

local TEXT, BINARY = 1, 2

local function new_list(self) return { group = self, count = 0, members = {}, wires = {} } end

--- Makes an empty group.
-- @tparam table context
-- @tparam[opt] string name the subprotocol
-- @treturn group
function group.new(context, name)
  local self = setmetatable({ context = context, name = name, troubled = {}, counts_use = false, plane = false }, group)
  self[TEXT], self[BINARY], self.single = new_list(self), new_list(self), new_list(self)
  -- With the accelerator: members whose sockets it does not serve itself, as those with TLS.
  self.streams = { [TEXT] = new_list(self), [BINARY] = new_list(self) }
  return self
end

--- Chooses the list that a connection belongs to. Text and binary recipients are lists of wires, so that one call
-- serves them all. A connection is served by itself if it has a function of its own or is sending a fragmented message.
-- @tparam table ws with `broadcast_mode`: opcode 1 or 2, or a function
-- @treturn table list
function group:list_for(ws)
  local mode = ws.broadcast_mode
  if ws.fragment or type(mode) == "function" then return self.single end
  return (self.context.wire_class.is_own(ws.wire) and self or self.streams)[mode]
end

local function fan_out(self, list, put, opcode, data)
  if list.count == 0 then return end
  -- For `idle_timeout`.
  if self.counts_use then
    for i = 1, list.count do list.members[i].active = self.context.now end
  end
  local full = put(list.wires, list.count, opcode, data, self.troubled)
  if full == 0 then return end
  local slow = fanout.take(full, self.troubled, list.members)
  for i = 1, #slow do outbox.broadcast_to_full(slow[i], opcode, data) end
end

--- Sends a message to all of this context, each in its own way: as text, as binary, or by its function.
-- @tparam string data
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `utf8`: there are text recipients and it is not UTF-8; it is sent to none
function group:broadcast_here(data)
  local single, streams, context = self.single, self.streams, self.context
  local recipients, opcode = {}, self[TEXT].count + streams[TEXT].count > 0 and TEXT or BINARY
  for i = 1, single.count do
    recipients[i] = single.members[i]
    if recipients[i].broadcast_mode == TEXT then opcode = TEXT end
  end
  if not session.may_send(opcode, data, context.engine.valid_utf8) then return -1, "utf8" end
  local put = context.wire_class.fanout
  for kind = TEXT, BINARY do
    fan_out(self, self[kind], put, kind, data)
    fan_out(self, streams[kind], stream.fanout, kind, data)
  end
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

--- Sends a message to all; with a back plane that carries broadcasts also to those of other processes.
-- @tparam string data
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `utf8`: there are text recipients and it is not UTF-8; it is sent to none
function group:broadcast(data)
  local result, why = self:broadcast_here(data)
  if result == 0 and self.plane then self.plane:broadcast(self, data) end
  return result, why
end

return group
