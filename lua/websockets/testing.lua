--- Unit tests of your own handlers: contexts without sockets, a clock that moves when the test says so, and peers that
-- send, receive and misbehave. docs/testing.md shows how.
--
-- A context of a test is a whole context: handshakes, messages, limits, timers and ends are those of any other. Only
-- what is below it is in memory. It has all methods of `websockets.context`, and those below. They do at once what
-- follows from what they were told: when they return, each callback has been called, and each answer has arrived.
-- An error of a callback without `on_error` is raised by the method that led to it.
-- @classmod websockets.testing
local address = require("websockets.protocol.address")
local context = require("websockets.context")
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")
local fields = require("websockets.http.fields")
local greeting = require("websockets.testing.greeting")
local networks = require("websockets.testing.network")
local options = require("websockets.options.context")
local peers = require("websockets.testing.peer")
local servers = require("websockets.testing.server")
local url = require("websockets.protocol.url")

local testing = setmetatable({}, { __index = context })
testing.__index = testing
testing.__tostring = context.__tostring

local define, copy = definition.new, definition.copy

-- What belongs to the system, to which a test does nothing: where it listens and as whom it runs, TLS, and event loops,
-- which some numbers that are no descriptors would end.
local OF_SYSTEM = {
  "interf", "unix", "unix_mode", "gid", "uid", "tls", "ssl_cert_filepath", "ssl_private_key_filepath",
  "ssl_ca_filepath", "ssl_cert_path", "ssl_private_key_path", "ssl_ca_path",
  "on_add_fd", "on_del_fd", "on_set_mode_fd", "on_clear_mode_fd",
}
-- Of the option `options`: what asks for a client's certificate.
local REQUIRE_CLIENT_CERTIFICATE = 2

local function is_list(value)
  if type(value) ~= "table" then return false end
  for i, one in ipairs(value) do
    if type(one) ~= "string" then return false, errors.entry(value, i) end
  end
  return true
end

local function is_address(value)
  return type(value) == "string" and (value == "unix" or address.pack(value) ~= nil)
end

local function is_text(value) return type(value) == "string" and fields.is_value(value) end

-- Right or wrong: a handler may have to deal with both.
local function is_target(value)
  return type(value) == "string" and value:find("^[^%s%c]+$") ~= nil
end

local OF_PEER = {
  target = define("/", is_target, "path and query, without blanks"),
  protocols = define(nil, is_list, "list of subprotocol names"),
  origin = define(nil, is_text, "origin"),
  host = define("localhost", is_text, "host name, with or without a port"),
  headers = networks.HEADERS,
  address = define("127.0.0.1", is_address, 'IP address or "unix"'),
  capacity = define(nil, function(value) return definition.is_integer(value, 1, math.huge) end, "bytes above 0"),
  answers_pings = define(true, function(value) return type(value) == "boolean" end, "boolean"),
  handshake = define(true, function(value) return type(value) == "boolean" end, "boolean"),
}

local OF_REQUEST = {
  host = OF_PEER.host, headers = OF_PEER.headers, address = OF_PEER.address,
  body = define("", function(value) return type(value) == "string" end, "string"),
  timeout = networks.TIMEOUT,
}

-- Checks a table of fields, which may be left out.
local function read(known, given, position, name)
  if given ~= nil and type(given) ~= "table" then errors.argument(position, name, "table", given, 4) end
  local settings = definition.defaults(known)
  for field, value in pairs(given or {}) do settings[field] = definition.check(known, field, value, 4) end
  return settings
end

local function check(self, name)
  errors.check_object(self, "network", "context:" .. name, 4)
  if self.destroyed then error("websocket context destroyed", 3) end
end

local function without_system(given)
  local made = copy(given)
  for _, name in ipairs(OF_SYSTEM) do made[name] = nil end
  local number = made.options
  if number and number % (2 * REQUIRE_CLIENT_CERTIFICATE) >= REQUIRE_CLIENT_CERTIFICATE then
    made.options = number - REQUIRE_CLIENT_CERTIFICATE
  end
  if (made.port or 0) == 0 then made.port = "any" end
  return made
end

--- Makes a context without sockets. The options are those of `websockets.context`, so that a test can take the ones of
-- the program. It listens in memory, at `port` and `unix`. `interf`, `uid`, `gid`, TLS and `on_add_fd` and its like are
-- checked, and not used.
-- @tparam[opt] table given option name -> value
-- @tparam[opt] testing beside another context of the test: the two share a network and a clock, and each can connect
-- to the other at localhost
-- @treturn testing
-- @raise for a wrong or unknown option, and for `socket`; `websocket could not create context: ` and the reason
function testing.context(given, beside)
  if given ~= nil and type(given) ~= "table" then errors.argument(1, "context", "table", given) end
  if beside ~= nil and not (type(beside) == "table" and beside.network) then
    errors.argument(2, "context", "context of websockets.testing", beside)
  end
  given = given or {}
  local settings = options.read(given, 3)
  if settings.socket then error("option 'socket' has no place in a context without sockets", 2) end
  local net = beside and beside.network or networks.new()
  local self = setmetatable(context.new(without_system(given), 3, nil, net:sockets()), testing)
  self.network = net
  net.contexts[#net.contexts + 1] = self
  if settings.unix then net:alias(self.listener.socket, settings.unix) end
  return self
end

local function connect(self, settings, phase)
  local transport = self.network:reach(self.listener.socket, settings.address, settings.capacity)
  local peer = peers.new(self.network, transport, phase, "client", self.engine)
  peer.answers_pings = settings.answers_pings ~= false
  return peer
end

-- Why a peer has no WebSocket, as `websockets.connect` tells it.
local function refusal(phase)
  local answer = phase.read
  if phase.fault then return nil, phase.fault, "handshake" end
  if not answer then return nil, "the context ended the connection before it answered", "closed" end
  return nil, "the context answered " .. answer.text, "status", answer.status, answer.headers, phase.text
end

--- Connects a peer to this context, with an opening handshake.
-- @tparam[opt] table given `target` ("/"), `protocols` (list), `origin`, `headers`, `host`; `address`: IP address that
-- the context sees, or `"unix"`; `capacity`: bytes that wait for it at most while it is paused; `answers_pings` (true);
-- `handshake = false`: it says nothing, and sends bytes of its own
-- @treturn[1] peer its WebSocket is open; or is not yet, where the context has not answered
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `status`: the context refused; `closed`: it ended the connection; `handshake`: its answer is wrong
-- @treturn[2] ?integer status of the answer, with `status`
-- @treturn[2] ?table headers of the answer: lower-case name -> value
-- @treturn[2] ?string body of the answer
-- @raise for a wrong or unknown field; the error of a callback
function testing:peer(given)
  check(self, "peer")
  local settings = read(OF_PEER, given, 1, "peer")
  local phase = settings.handshake and greeting.new() or greeting.silent()
  local peer = connect(self, settings, phase)
  if not settings.handshake then return peer end
  local place = { target = settings.target, authority = settings.host }
  peer:send_bytes(phase:request(self.engine, place, settings))
  if peer.has_opened or not (phase.read or phase.fault or phase.is_whole) then return peer end
  peer:disconnect()
  return refusal(phase)
end

--- Sends an HTTP request to this context.
-- @tparam string method
-- @tparam string target path and query
-- @tparam[opt] table given `headers`, `body`, `host`, `address`; `timeout` (0): seconds that may pass on the clock of
-- the test until the answer is whole
-- @treturn[1] integer status
-- @treturn[1] table headers: lower-case name -> value
-- @treturn[1] string body
-- @treturn[2] nil
-- @treturn[2] string `timeout`: no whole answer has come; `closed`: the context ended the connection instead
-- @raise for a wrong argument; the error of a callback
function testing:request(method, target, given)
  check(self, "request")
  if type(method) ~= "string" or not fields.is_token(method) then
    errors.argument(1, "request", "HTTP method", method)
  end
  if not is_target(target) then errors.argument(2, "request", OF_PEER.target.expected, target) end
  local settings = read(OF_REQUEST, given, 3, "request")
  local phase = greeting.new(method)
  local peer = connect(self, settings, phase)
  local lines = { method .. " " .. target .. " HTTP/1.1", "Host: " .. settings.host }
  if settings.body ~= "" then lines[3] = "Content-Length: " .. #settings.body end
  fields.write(lines, settings.headers)
  peer:send_bytes(table.concat(lines, "\r\n") .. "\r\n\r\n" .. settings.body)
  self.network:advance(settings.timeout, function() return phase.is_whole end)
  peer:disconnect()
  if phase.is_whole and phase.read then return phase.read.status, phase.read.headers, phase.text end
  return nil, phase.is_whole and "closed" or "timeout"
end

--- Opens a connection to a fake server, or to another context of the test. It is `context:connect`, without the
-- proxies that the environment names.
-- @tparam string place URL
-- @tparam[opt] table given as for `context:connect`
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code
-- @raise for a wrong URL, a wrong or unknown option
function testing:connect(place, given)
  check(self, "connect")
  if given == nil or type(given) == "table" and given.proxy == nil then
    given = copy(given or {})
    given.proxy = false
  end
  local is_good, ws, message, code = pcall(context.connect, self, place, given)
  if not is_good then error(ws, 2) end
  return ws, message, code
end

--- Makes a fake server, which `context:connect` reaches by its host and port.
-- @tparam string place URL: `ws://`, `wss://` (without TLS) or `ws+unix:`
-- @treturn server
-- @raise for a wrong URL, and where something listens there already
function testing:server(place)
  check(self, "server")
  if type(place) ~= "string" then errors.argument(1, "server", "ws:// URL", place) end
  local parsed, expected = url.parse(place)
  if not parsed then errors.argument(1, "server", expected, place) end
  local net = self.network
  local opened, why = net:open(parsed.unix or net:name(parsed.host), parsed.port)
  if not opened then error(("no fake server for %s: %s"):format(place, why), 2) end
  return servers.new(net, opened, self.engine)
end

--- Lets time pass on the clock of the test. Timers and deadlines that are due meanwhile are followed in their order.
-- @tparam number seconds from 0
-- @raise the error of a callback; inside a callback
function testing:advance(seconds)
  check(self, "advance")
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < math.huge) then
    errors.argument(1, "advance", "number of seconds from 0", seconds)
  end
  if self.network:is_busy() then error("advance may not be called inside a callback", 2) end
  self.network:advance(seconds)
end

--- Has everybody do what follows from what the test has done by other means, as by `ws:write`.
-- @raise the error of a callback
function testing:settle()
  check(self, "settle")
  self.network:settle()
end

require("websockets.loading").interpret(read)

return testing
