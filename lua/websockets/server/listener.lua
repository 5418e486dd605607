--- Where connections to us come from: a listening socket, or the application, which accepted one itself.
-- @module websockets.server.listener
local capacity = require("websockets.server.capacity")
local control = require("websockets.server.control")
local descriptor = require("websockets.connection.descriptor")
local endpoint = require("websockets.server.endpoint")
local exchange = require("websockets.server.exchange")
local flags = require("websockets.transport.flags")
local handshakes = require("websockets.server.handshakes")
local inherited = require("websockets.server.inherited")
local intake = require("websockets.server.intake")
local luasocket = require("websockets.transport.luasocket")
local proxied = require("websockets.server.proxied")
local readiness = require("websockets.server.readiness")
local secure = require("websockets.server.secure")

local listener = {}
listener.__index = listener

local REST_SECONDS = 1
-- So often in a row a connection is reported and none is there. That may be one that another process has taken; in pure
-- Lua it is also one that was lost, and the system may report such ones without end.
local MAX_IN_VAIN = 200
-- As many as the system lets wait.
local LAST_ROUNDS = 64

-- What LuaSocket says where a connection, or its network, was lost before it was accepted: the next one may be there.
local LOST = {
  closed = true, ["Protocol error"] = true, ["Protocol not available"] = true, ["Operation not supported"] = true,
  ["Network is down"] = true, ["Network is unreachable"] = true, ["Host is down"] = true,
  ["No route to host"] = true, ["Machine is not on the network"] = true,
}

local floor = math.floor

local function open_spare(context)
  local spare = context.sockets.placeholder()
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
  if not (settings.socket or settings.unix) and (settings.port or 0) == 0 then return nil end
  local certificates, message
  if settings.tls then
    certificates, message = secure.load(settings.tls)
    if not certificates then return false, message end
  end
  local socket, why = endpoint.open(context)
  if not socket then return false, why end
  local orders
  if settings.socket == "worker" then
    orders, why = control.open(context)
    if not orders then return false, why end
  end
  socket:settimeout(0)
  local fd = socket.getfd and floor(socket:getfd()) or -1
  return setmetatable({
    context = context, socket = socket, adopted = settings.socket ~= nil, is_closed = false, announced = false,
    control = orders or false, may_wait = endpoint.may_wait(context, socket, fd), fd = fd, spare = open_spare(context),
    resting = false, turn = 0, has_warned = false, is_amid = false, in_vain = 0,
    -- That of the next connection: made before it is accepted.
    phase = false,
    -- An outside loop decides itself which descriptor it serves how often.
    certificates = certificates,
    handshakes = certificates and not settings.on_add_fd and handshakes.new(context) or false,
    -- The accelerator accepts by itself where there is a descriptor, and no TLS.
    wires = fd >= 0 and not certificates and context.wire_class.accept and {} or false,
  }, listener)
end

--- Names the descriptor, for the poller.
-- @treturn integer
function listener:getfd() return self.fd end

--- Names the port.
-- @treturn ?integer nil for a unix socket
function listener:port()
  local _, port = self.socket:getsockname()
  -- After closing that is a message.
  port = tonumber(port)
  return port and floor(port)
end

--- Begins: connections are waited for, and systemd, or the launcher of this worker, is told.
-- @treturn boolean whether that was possible
function listener:begin()
  self.context.owners[self.fd] = self
  if not self:watch(true) then return false end
  if self.context.settings.notify then readiness.tell(self.context.agenda, "READY=1") end
  return not self.control or self.control:begin()
end

--- Begins or stops waiting for connections.
-- @tparam boolean is_on
-- @treturn boolean whether that was possible: the system may have no memory for it
function listener:watch(is_on)
  local context = self.context
  if context.poller:watch(self, self, is_on, false) == false then return false end
  if self.announced == is_on then return true end
  self.announced = is_on
  descriptor.tell(context, nil, self.fd, is_on)
  return true
end

--- Tells a loop that begins to serve the context.
function listener:introduce()
  if self.announced then descriptor.tell(self.context, nil, self.fd, true) end
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
  local context = self.context
  if self.is_closed or self:watch(true) then
    self.resting = false
  else
    context.timers:start(REST_SECONDS, context.now, self, wake)
  end
end

-- First what may find no memory: nothing else ends the rest.
local function go_to_rest(self, why)
  local context = self.context
  -- Once, until a connection is accepted again.
  if not self.has_warned then context.agenda:log("warning", "accepting rests a second: " .. tostring(why)) end
  self.has_warned = true
  context.timers:start(REST_SECONDS, context.now, self, wake)
  self.resting = true
  self:watch(false)
end

--- Stops accepting for a second. Where descriptors have run out, the spare one lets the first connection that waits be
-- answered. Where other connections can be given up for those that wait, accepting goes on in the next turn instead.
-- @tparam string why
function listener:rest(why)
  local context = self.context
  if capacity.run_short(context, why) then return end
  if self.spare then
    self.spare:close()
    self.spare = false
    local socket = accept_one(self)
    if socket then intake.turn_away(self.context, socket, self.certificates) end
    self.spare = open_spare(context)
  end
  go_to_rest(self, why)
end

-- What a connection is at first.
local function new_phase(self)
  local phase = exchange.new()
  if not self.context.settings.proxy_protocol then return phase end
  return proxied.new(phase, self.certificates and self)
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
    if is_left then intake.take_wire(context, wire, new_phase(self)) end
    wires[i] = false
  end
  self.is_amid = false
  return count, why
end

local function accept_sockets(self, most)
  local context, count, lost = self.context, 0, 0
  while count < most do
    local phase = self.phase or new_phase(self)
    self.phase = phase
    local socket, why = accept_one(self)
    if socket then
      self.phase, self.has_warned = false, false
      count = count + 1
      -- Past what select can watch the next one would be turned away too.
      local secured = self.certificates and self
      if not intake.take(context, socket, phase, secured) and context.capacity.is_short then return count - 1 end
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
  local probe = context.sockets.placeholder()
  if not probe then return true end
  local can_watch = descriptor.can_watch(context, probe:getfd())
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
  self.in_vain = count == 0 and why == "timeout" and self.in_vain + 1 or 0
  if self.in_vain > MAX_IN_VAIN then return go_to_rest(self, "connections are lost before they are accepted") end
  -- Out of descriptors or memory: to go on would spin.
  if why and why ~= "timeout" then self:rest(why) end
end

--- Loads the certificates anew. New connections get them; where that fails nothing changes.
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `tls`
function listener:reload_tls()
  local certificates, why, code = secure.load(self.context.settings.tls)
  if not certificates then return nil, why, code end
  self.certificates = certificates
  return true
end

--- Stops listening for good. What waits is accepted before: closing the socket would reset it. Where the socket stays
-- open, another process accepts it.
function listener:finish()
  if not self.adopted and not self.resting and not self.is_closed then
    for _ = 1, LAST_ROUNDS do
      local most = capacity.room(self.context)
      local count, why = (self.wires and accept_wires or accept_sockets)(self, most)
      if why or count == 0 then break end
    end
  end
  self:close()
end

--- Stops listening; a socket that the application gave stays open.
function listener:close()
  if self.is_closed then return end
  self.is_closed = true
  self:watch(false)
  if self.spare then self.spare:close() end
  if not self.adopted then self.socket:close() end
  -- Else the collector would close it.
  if inherited.is_name(self.context.settings.socket) then self.socket:setfd(-1) end
  if self.control then self.control:close() end
  if self.context.settings.notify then readiness.tell(self.context.agenda, "STOPPING=1") end
end

return listener
