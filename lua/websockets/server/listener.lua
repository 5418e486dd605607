--- Where connections to us come from: a listening socket, or the application, which accepted one itself.
-- @module websockets.server.listener
local capacity = require("websockets.server.capacity")
local connection = require("websockets.connection.connection")
local descriptor = require("websockets.connection.descriptor")
local endpoint = require("websockets.server.endpoint")
local exchange = require("websockets.server.exchange")
local flags = require("websockets.transport.flags")
local http = require("websockets.http.head")
local luasocket = require("websockets.transport.luasocket")

local listener = {}
listener.__index = listener

local POLLIN = 1
local TURNED_AWAY = http.response_head(503, { ["Retry-After"] = "1" }, 0, "close")
local REST_SECONDS = 1

-- What LuaSocket says where a connection, or its network, was lost before it was accepted: the next one may be there.
local LOST = {
  closed = true, ["Protocol error"] = true, ["Protocol not available"] = true, ["Operation not supported"] = true,
  ["Network is down"] = true, ["Network is unreachable"] = true, ["Host is down"] = true,
  ["No route to host"] = true, ["Machine is not on the network"] = true,
}

local floor = math.floor

local function open_spare(context)
  local spare = luasocket.library().tcp4()
  if spare then flags.set(spare:getfd(), false, true, context.engine.set_flags) end
  return spare
end

--- Opens the listening socket that the settings ask for.
-- @tparam table context
-- @treturn[1] ?listener nil when the settings ask for none
-- @treturn[2] boolean false
-- @treturn[2] string address and reason
function listener.open(context)
  local settings = context.settings
  local socket = settings.socket
  if not socket then
    local port = settings.port
    if not port or port == 0 then return nil end
    local why, address
    if port == "any" then port = 0 end
    socket, why, address = endpoint.listen(settings.interf, port, context.engine.interface_address)
    if not socket then
      return false, ("cannot listen on %s:%s: %s"):format(address, tostring(port), tostring(why))
    end
  end
  socket:settimeout(0)
  local fd = socket.getfd and floor(socket:getfd()) or -1
  local is_adopted, by_engine = settings.socket ~= nil, context.engine.set_flags
  -- LuaSocket's timeout does nothing for a descriptor that another program has opened: it may wait in accept. Whether
  -- programs inherit the application's own is for the application to say.
  local never_waits = flags.set(fd, is_adopted, not is_adopted, by_engine)
  return setmetatable({
    context = context, socket = socket, adopted = is_adopted, is_closed = false, announced = false,
    may_wait = is_adopted and not never_waits, fd = fd, spare = open_spare(context), resting = false, turn = 0,
    has_warned = false, is_amid = false,
    -- That of the next connection: made before it is accepted.
    phase = false,
    -- The accelerator accepts by itself where there is a descriptor.
    wires = fd >= 0 and context.wire_class.accept and {} or false,
  }, listener)
end

--- Names the descriptor, for the poller.
-- @treturn integer
function listener:getfd() return self.fd end

--- Names the port.
-- @treturn ?integer
function listener:port()
  local _, port = self.socket:getsockname()
  -- After closing that is a message.
  port = tonumber(port)
  return port and floor(port)
end

--- Begins or stops waiting for connections.
-- @tparam boolean is_on
function listener:watch(is_on)
  local context = self.context
  context.poller:watch(self, self, is_on, false)
  if self.announced == is_on then return end
  self.announced = is_on
  local tell = is_on and context.settings.on_add_fd or not is_on and context.settings.on_del_fd
  if tell then context.agenda:call(nil, tell, self.fd, POLLIN) end
end

local function turn_away(socket)
  socket:settimeout(0)
  -- Unread bytes would turn the end into a reset, and the answer would be lost.
  socket:receive(8192)
  socket:send(TURNED_AWAY)
  pcall(socket.shutdown, socket, "send")
  socket:close()
end

local function turn_away_wire(wire)
  wire:receive()
  wire:raw(TURNED_AWAY)
  wire:flush()
  wire:shutdown()
  wire:close()
end

-- The next connection; nil and why there is none.
local function accept_one(self)
  if self.may_wait and self.fd >= 0 then
    -- It raises for a descriptor past its limit: then this is called only where an outside loop has found it ready.
    local asked, ready = pcall(luasocket.library().select, { self.socket }, nil, 0)
    if asked and not ready[1] then return nil, "timeout" end
  end
  return self.socket:accept()
end

local function wake(self)
  if not self.is_closed then self:watch(true) end
  self.resting = false
end

--- Stops accepting for a second. Where descriptors have run out, the spare one lets the first connection that waits be
-- answered. Where other connections can be given up for those that wait, accepting goes on in the next turn instead.
-- @tparam string why
function listener:rest(why)
  local context = self.context
  if capacity.run_short(context, why) then return end
  -- Once, until a connection is accepted again.
  if not self.has_warned then context.agenda:log("warning", "accepting rests a second: " .. tostring(why)) end
  self.has_warned = true
  if self.spare then
    self.spare:close()
    self.spare = false
    local socket = accept_one(self)
    if socket then turn_away(socket) end
    self.spare = open_spare(context)
  end
  -- First what may find no memory: nothing else ends the rest.
  context.timers:start(REST_SECONDS, context.now, self, wake)
  self.resting = true
  self:watch(false)
end

local function can_take(context, fd)
  if descriptor.can_watch(context, fd) then return not capacity.is_full(context) end
  capacity.run_short(context, "select cannot watch more descriptors")
  return false
end

local function begin(context, transport, fd, phase)
  local ws = connection.new(context, transport, floor(fd), phase)
  capacity.taken(context)
  return ws
end

--- Takes a connected LuaSocket object into a context.
-- @tparam table context
-- @tparam userdata socket
-- @tparam[opt] table phase
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`
function listener.take(context, socket, phase)
  phase = phase or exchange.new()
  if not can_take(context, floor(socket:getfd())) then
    turn_away(socket)
    return nil, "no more connections can be taken", "limit"
  end
  -- Also where another program has opened it. LuaSocket lets programs that are started inherit what it accepts.
  flags.set(socket:getfd(), true, true, context.engine.set_flags)
  local adopt = context.wire_class.adopt
  local transport = adopt and adopt(context.hub, socket)
  if not transport then
    local is_good
    is_good, transport = pcall(luasocket.new, socket)
    if not is_good then
      socket:close()
      error(transport, 0)
    end
  end
  return begin(context, transport, transport:getfd(), phase)
end

local function take_wire(context, wire, phase)
  local fd = wire:getfd()
  if can_take(context, fd) then return begin(context, wire, fd, phase) end
  turn_away_wire(wire)
end

-- Both return how many came, and why there were no more.
local function accept_wires(self, most)
  local context, wires = self.context, self.wires
  local count, why
  local is_resumed = self.is_amid
  if is_resumed then
    -- An error came before all that had been accepted were taken.
    count = #wires
  else
    self.is_amid = true
    count, why = context.wire_class.accept(context.hub, self.fd, wires, self.adopted, most)
    if count > 0 then self.has_warned = false end
  end
  for i = 1, count do
    local wire = wires[i]
    local is_left = not is_resumed or wire and wire:getfd() >= 0 and not context.owners[wire:getfd()]
    if is_left then take_wire(context, wire, exchange.new()) end
    wires[i] = false
  end
  self.is_amid = false
  return count, why
end

local function accept_sockets(self, most)
  local context, count, lost = self.context, 0, 0
  while count < most do
    local phase = self.phase or exchange.new()
    self.phase = phase
    local socket, why = accept_one(self)
    if socket then
      self.phase, self.has_warned = false, false
      count = count + 1
      -- Past what select can watch the next one would be turned away too.
      if not listener.take(context, socket, phase) and context.capacity.is_short then return count - 1 end
    elseif why == "timeout" then
      return count, why
    else
      lost = lost + 1
      if not LOST[why] or lost == most then return count, why end
    end
  end
  return count
end

local function lacks_descriptor(context)
  local probe = luasocket.library().tcp4()
  if not probe then return true end
  local can_watch = descriptor.can_watch(context, floor(probe:getfd()))
  probe:close()
  return not can_watch
end

--- Accepts the connections that wait, a limited number each turn.
function listener:accept()
  if self.is_closed or self.resting then return end
  local context = self.context
  local is_scarce = capacity.is_scarce(context)
  if is_scarce then
    -- What has come on others is read first: a request that is here keeps its connection.
    if self.turn ~= context.turn then
      self.turn = context.turn
      return context.agenda:again(self)
    end
    if (capacity.is_full(context) or lacks_descriptor(context)) and capacity.make_room(context) then return end
  end
  local most = capacity.room(context)
  local count, why = (self.wires and accept_wires or accept_sockets)(self, most)
  capacity.accepted(context, is_scarce and count >= most)
  -- Out of descriptors or memory: to go on would spin.
  if why and why ~= "timeout" then self:rest(why) end
end

--- Stops listening; a socket that the application gave stays open.
function listener:close()
  self.is_closed = true
  self:watch(false)
  if self.spare then self.spare:close() end
  if not self.adopted then self.socket:close() end
end

return listener
