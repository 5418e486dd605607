--- A context: sockets, connections and timers that are served together, and the methods that users call on it.
-- @classmod websockets.context
local attachment = require("websockets.attachment")
local compression = require("websockets.options.compression")
local entry = require("websockets.turn.entry")
local creation = require("websockets.creation")
local errors = require("websockets.errors")
local intake = require("websockets.server.intake")
local listener = require("websockets.server.listener")
local load = require("websockets.loading").load
local metrics = require("websockets.metrics")
local operations = require("websockets.operations")
local options = require("websockets.options.context")
local outside = require("websockets.turn.outside")
local privileges = require("websockets.server.privileges")
local timer = require("websockets.timer")
local topics = require("websockets.topics")
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

-- False where the system has no memory to watch the listener.
local function announce(self)
  if self.listener and not self.listener:begin() then return false end
  if self.hooks.on_add_fd then outside.announce_side(self) end
  if self.settings.backplane then load("websockets.pubsub.pubsub").of(self) end
end

--- Makes a context. Called as `websockets.context`.
-- @tparam table given options by name
-- @tparam integer level of the caller, as for `error`
-- @tparam[opt=websocket] table class of its connections
-- @tparam[opt] table library see `websockets.transport.sockets`
-- @treturn context
-- @raise for a wrong or unknown option; `websocket could not create context: ` and the reason
function context.new(given, level, class, library)
  if type(given) ~= "table" then errors.argument(1, "context", "table", given, level + 1) end
  local settings = options.read(given, level + 1)
  local self = setmetatable(creation.state(settings, class or websocket, level, library), context)
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
  if err ~= false then return self end
  self:destroy()
  error("websocket could not create context: the system cannot watch the listener", level)
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
  self:enter(ms >= 0 and ms / 1000 or nil)
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

--- Serves until `stop` is called, the context is destroyed, or nothing is left: no listener, connection or timer.
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
-- @treturn ?integer nil without a listener, or with a unix socket
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
-- false, why). Only over LuaSocket without the accelerator, to resolve a host name other than localhost, does it wait,
-- as long as the system does.
-- @tparam string url `ws://host:port/path?query`, `wss://…` or `ws+unix:/path/to/socket:/path`
-- @tparam[opt] table given `protocols` (list), `headers`, `origin`, `host`, `timeout` (seconds until it is open),
-- `tls`, `proxy` (URL, or false for none), `max_redirects`, `reconnect`, and limits and times of this connection by the
-- names that `websockets.context` knows; docs/client.md lists them
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`: no descriptor can be had, or no thread to look a name up; `proxy`: the environment names
-- a proxy that cannot be used; `tls`: no LuaSec, no authority, or a file of `tls`; `destroyed`: the context is going
-- @raise for a wrong URL, a wrong or unknown option
-- @rfc 6455 4.1
function context:connect(url, given)
  check_object(self, "connect")
  check(self)
  -- Loaded when it is used: each collection passes over all that is there.
  local place, settings = load("websockets.options.connect").arguments(self, url, given, 3)
  if self.destroying then return refuse() end
  entry.begin(self)
  return entry.follow_plans(self, load("websockets.client.dial").connect(self, place, settings))
end

-- What they do is told in `websockets.timer`, `websockets.attachment`, `websockets.topics`, `websockets.operations` and
-- `websockets.metrics`.
context.after, context.every = timer.after, timer.every
context.attach, context.selectable = attachment.attach, attachment.selectable
context.publish, context.subscribers, context.dropped = topics.publish, topics.subscribers, topics.dropped
context.presence = topics.presence
context.connections, context.drain = operations.connections, operations.drain
context.metrics = metrics.read

--- Takes a connection that another server has accepted.
-- @tparam userdata socket connected LuaSocket object, or LuaSec connection, whether its TLS handshake is done or not;
-- belongs to the context from now on
-- @tparam[opt=""] string bytes what has been read from it already
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`; `destroyed`: the context is being destroyed, and the socket is as it was
function context:adopt(socket, bytes)
  check_object(self, "adopt")
  check(self)
  intake.check(self, socket, bytes, 3)
  if self.destroying then return refuse() end
  return entry.within(self, intake.adopt, self, socket, bytes or "")
end

--- Loads the certificates of a listener with TLS anew, from the files that its options name. New connections get them,
-- those that are there go on; where that fails nothing changes.
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message: which file it is and what is wrong
-- @treturn[2] string `tls`; `destroyed`: the context is being destroyed
-- @raise where the context has no listener with TLS
function context:reload_tls()
  check_object(self, "reload_tls")
  check(self)
  if self.destroying then return refuse() end
  if not (self.listener and self.listener.certificates) then error("this context has no listener with TLS", 2) end
  return self.listener:reload_tls()
end

--- Names this host.
-- @treturn string "unknown" with option 4, or where the system has no name
function context:canonical_hostname()
  check_object(self, "canonical_hostname")
  check(self)
  if self.settings.options >= SKIP_HOSTNAME then return "unknown" end
  return self.sockets.hostname() or "unknown"
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
