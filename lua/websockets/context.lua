--- A context: sockets, connections and timers that are served together, and the methods that users call on it.
-- @classmod websockets.context
local agenda = require("websockets.connection.agenda")
local capacity = require("websockets.server.capacity")
local clock = require("websockets.connection.clock")
local compression = require("websockets.options.compression")
local delivery = require("websockets.turn.delivery")
local engine = require("websockets.engine.loader")
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local group = require("websockets.connection.group")
local listener = require("websockets.server.listener")
local luasocket = require("websockets.transport.luasocket")
local options = require("websockets.options.context")
local outside = require("websockets.turn.outside")
local privileges = require("websockets.server.privileges")
local relief = require("websockets.turn.relief")
local request = require("websockets.request")
local routes = require("websockets.options.routes")
local timers = require("websockets.connection.timers")
local unfinished = require("websockets.connection.unfinished")
local websocket = require("websockets.websocket")

local context = {}
context.__index = context

local SKIP_HOSTNAME = 4

-- While it is being destroyed, callbacks still run: what they call answers, and does nothing.
local function check(self)
  if self.destroyed then error("websocket context destroyed", 3) end
end

-- Called by methods that are called often only where something is wrong already, or nothing to be done.
local function check_object(self, name)
  errors.check_object(self, "agenda", "context:" .. name, 4)
end

-- What carries bytes: the accelerator where it is, else LuaSocket.
local function add_sockets(self, settings)
  local is_native = self.engine.name == "native"
  self.wire_class = require(is_native and "websockets.wire.native" or "websockets.wire.stream")
  self.hub = self.wire_class.hub(settings)
  -- Here, because looking it up as a method of the wire costs each message more.
  self.write_fast = self.wire_class.write
  self.budget = self.wire_class.budget(self.hub, settings.max_unfinished_total_bytes)
  local poller = require(is_native and "websockets.poller.native" or "websockets.poller.select")
  self.poller = poller.new(self.hub, self.owners)
end

local function choose_engine(settings)
  local chosen = engine.choose()
  return settings.compression and engine.that_compresses(chosen) or chosen
end

local function new_state(settings)
  local self = {
    settings = settings, engine = choose_engine(settings), ws_class = websocket, request_of = request.of,
    -- Connections and listener by descriptor.
    owners = {}, connection_count = 0, groups = {}, anonymous = false,
    timers = timers.new(), half_open = false, capacity = capacity.new(),
    -- What a turn works on.
    agenda = agenda.new(settings), delivery = delivery.new(), relief = relief.new(), outside = outside.new(),
    readable = {}, writable = {}, reports = {}, turn = 0, busy = false, loss_logged_at = -math.huge,
    destroyed = false, destroying = false, stopping = false,
  }
  self.half_open = self.timers:lane("handshake", settings.handshake_timeout)
  self.unfinished = unfinished.new(self.timers, settings.message_timeout)
  self.clock = clock.new(self.engine.now)
  self.now = self.clock()
  add_sockets(self, settings)
  self.anonymous = group.new(self)
  for name in pairs(routes.subprotocols(settings)) do self.groups[name] = group.new(self, name) end
  return self
end

local function announce(self)
  if self.listener then
    self.listener:watch(true)
    self.owners[self.listener.fd] = self.listener
  end
  if self.settings.on_add_fd then outside.announce_side(self) end
end

--- Makes a context. Called as `websockets.context`.
-- @tparam table given options by name
-- @tparam integer level of the caller, as for `error`
-- @treturn context
-- @raise for a wrong or unknown option; `websocket could not create context: ` and the reason
function context.new(given, level)
  if type(given) ~= "table" then errors.argument(1, "context", "table", given, level + 1) end
  local settings = options.read(given, level + 1)
  local self = setmetatable(new_state(settings), context)
  settings.compression = compression.settle(settings.compression, settings, self.engine, level + 1)
  local opened, why = listener.open(self)
  if opened == false then error("websocket could not create context: " .. why, level) end
  self.listener = opened
  local dropped
  dropped, why = privileges.drop(settings.gid, settings.uid, self.engine.drop_privileges)
  if not dropped then
    if opened and not opened.adopted then opened.socket:close() end
    error("websocket could not create context: " .. why, level)
  end
  local announced, err = pcall(entry.within, self, announce, self)
  if not announced then
    self:destroy()
    error(err, 0)
  end
  return self
end

--- Waits for the sockets and serves those that are ready.
-- @tparam[opt=0] number ms milliseconds at most; 0 at once; below 0 without end. Returns as soon as something was
-- served
-- @treturn integer 0
-- @raise inside a callback; the first error of a callback without `on_error`; `websocket context destroyed`
function context:service(ms)
  if ms == nil then
    check_object(self, "service")
    ms = 0
  end
  check(self)
  if type(ms) ~= "number" or ms ~= ms then errors.argument(1, "service", "milliseconds", ms) end
  entry.service(self, ms >= 0 and ms / 1000 or nil)
  return 0
end

--- Serves one descriptor that an outside loop found ready. Masks after it, as in 2012, are hints: none is needed.
-- @tparam integer fd as `on_add_fd` announced it
-- @treturn integer 0, also for a descriptor that is not ours
-- @raise as `service`
function context:service_fd(fd)
  if fd == nil then check_object(self, "service_fd") end
  check(self)
  if type(fd) ~= "number" then errors.argument(1, "service_fd", "descriptor", fd) end
  entry.service_fd(self, self.owners[fd])
  return 0
end

--- Serves until `stop` is called or the context is destroyed.
-- @treturn nil
-- @raise as `service`
function context:run()
  check_object(self, "run")
  check(self)
  entry.run(self)
end

--- Has `run` return after the current turn.
-- @treturn nil
function context:stop()
  check_object(self, "stop")
  check(self)
  entry.stop(self)
end

--- Tells how long an outside loop may wait before it calls `service` or `service_fd` again.
-- @treturn ?number seconds; nil when no timer is due
function context:timeout()
  check_object(self, "timeout")
  check(self)
  if self.destroying then return nil end
  return outside.timeout(self)
end

--- Names one descriptor that is readable whenever this context has something to do: `service` then does it.
-- @treturn ?integer nil without the accelerator
function context:get_fd()
  check_object(self, "get_fd")
  check(self)
  if self.destroying then return nil end
  return outside.get_fd(self)
end

--- Names the port that is listened on.
-- @treturn ?integer nil without a listener
function context:get_port()
  check_object(self, "get_port")
  check(self)
  return self.listener and self.listener:port()
end

--- Sends a message to all open connections of a subprotocol, on each as its `on_broadcast` says.
-- @tparam string protocol
-- @tparam string|number data
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `utf8`: there are text recipients and it is not UTF-8; it is sent to none
-- @raise `websocket unknown protocol: ` and what was given
function context:broadcast(protocol, data)
  if data == nil then check_object(self, "broadcast") end
  check(self)
  local members = self.groups[protocol]
  if not members then error("websocket unknown protocol: " .. errors.describe(protocol), 2) end
  if type(data) == "number" then data = tostring(data) end
  if type(data) ~= "string" then errors.argument(2, "broadcast", "string or number", data) end
  return entry.within(self, members.broadcast, members, data)
end

-- Nothing begins in a context that is being destroyed.
local function refuse()
  return nil, "websocket context destroyed", "destroyed"
end

--- Opens a connection to a server. It returns at once: `ws:on_open` is called, or `ws:on_closed` (1006, the message,
-- false, why). Only without the accelerator, to resolve a host name other than localhost, does it wait, as long as the
-- system does.
-- @tparam string url `ws://host:port/path?query`
-- @tparam[opt] table given `protocols` (list), `headers`, `origin`, `timeout` (seconds until it is open), and limits
-- and times of this connection by the names that `websockets.context` knows
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`: no descriptor can be had, or no thread to look a name up; `destroyed`: the context is
-- being destroyed
-- @raise for a wrong URL, a wrong or unknown option
-- @rfc 6455 4.1
function context:connect(url, given)
  check_object(self, "connect")
  check(self)
  -- Loaded when it is used: each collection passes over all that is there.
  local place, settings = require("websockets.options.connect").arguments(self, url, given, 3)
  if self.destroying then return refuse() end
  entry.begin(self)
  return require("websockets.client.dial").connect(self, place, settings)
end

local function take(self, socket, bytes)
  local ws, why, code = listener.take(self, socket)
  if not ws then return ws, why, code end
  if bytes ~= "" then ws.phase:feed(ws, bytes) end
  -- What LuaSocket has read ahead shows in no descriptor.
  self.agenda:again(ws)
  return ws
end

local function is_client(socket)
  local kind = type(socket)
  if kind ~= "userdata" and kind ~= "table" then return false end
  for _, name in ipairs({ "receive", "send", "getfd" }) do
    if type(socket[name]) ~= "function" then return false end
  end
  -- LuaSocket's listening sockets have all methods too; this one refuses to work on them, and disturbs nothing.
  return not socket.getstats or (pcall(socket.getstats, socket))
end

--- Takes a connection that another LuaSocket server has accepted.
-- @tparam userdata socket connected LuaSocket object; belongs to the context from now on
-- @tparam[opt=""] string bytes what has been read from it already
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`; `destroyed`: the context is being destroyed, and the socket is as it was
function context:adopt(socket, bytes)
  check_object(self, "adopt")
  check(self)
  if not is_client(socket) then
    errors.argument(1, "adopt", "connected LuaSocket object", socket)
  end
  if bytes ~= nil and type(bytes) ~= "string" then errors.argument(2, "adopt", "string", bytes) end
  if self.destroying then return refuse() end
  local fd = socket:getfd()
  if fd < 0 or self.owners[fd] then errors.argument(1, "adopt", "open socket that is not served yet", socket) end
  return entry.within(self, take, self, socket, bytes or "")
end

--- Names this host.
-- @treturn string "unknown" with option 4, or where the system has no name
function context:canonical_hostname()
  check_object(self, "canonical_hostname")
  check(self)
  if self.settings.options >= SKIP_HOSTNAME then return "unknown" end
  return luasocket.library().dns.gethostname() or "unknown"
end

--- Ends all connections with close code 1001 and everything else; inside a callback at the end of the turn.
-- A second call does nothing.
-- @treturn nil
function context:destroy()
  check_object(self, "destroy")
  if self.destroyed or self.destroying then return end
  entry.destroy(self)
end

function context:__tostring()
  return "context " .. errors.address(self)
end

return context
