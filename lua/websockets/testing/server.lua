--- A fake server of a test: `context:connect` reaches it by its URL. `context:server` makes it.
-- @classmod websockets.testing.server
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")
local handshake = require("websockets.protocol.handshake")
local http = require("websockets.http.head")
local networks = require("websockets.testing.network")
local peers = require("websockets.testing.peer")
local silent = require("websockets.testing.greeting").silent

local server = {}
server.__index = server

local LIMITS = { max_header_bytes = math.huge, max_header_lines = math.huge, max_request_line_bytes = math.huge }
local define = definition.new

local ACCEPT = {
  protocol = define(nil, function(value) return value == false or type(value) == "string" end,
    "name of a subprotocol, or false"),
  headers = networks.HEADERS,
  handshake = define(true, function(value) return type(value) == "boolean" end, "boolean"),
  timeout = networks.TIMEOUT,
}

--- Makes one.
-- @tparam network net
-- @tparam entry_point opened
-- @tparam table engine
-- @treturn server
function server.new(net, opened, engine)
  local self = setmetatable({ network = net, entry_point = opened, engine = engine, waiting = {} }, server)
  net.peers[#net.peers + 1] = self
  return self
end

-- What takes the request of a connection.
local function new_phase(waiting)
  local scanner = http.scanner()
  local phase = { leftover = "" }
  function phase:feed(peer, bytes)
    if peer.request then
      self.leftover = self.leftover .. bytes
      return
    end
    local head, after = http.scan(scanner, bytes, 1, LIMITS)
    if not head then return end
    peer.request = assert(http.parse(head))
    self.leftover = bytes:sub(after)
    waiting[#waiting + 1] = peer
  end
  function phase.ended(_, peer)
    for place, one in ipairs(waiting) do
      if one == peer then table.remove(waiting, place) end
    end
  end
  return phase
end

--- Takes the connections that wait.
-- @treturn boolean whether there was one
function server:work()
  local transport = self.entry_point:accept()
  if not transport then return false end
  peers.new(self.network, transport, new_phase(self.waiting), "server", self.engine)
  return true
end

-- The connection whose request has waited longest.
local function next_waiting(self, seconds)
  self.network:advance(seconds, function() return self.waiting[1] end)
  return table.remove(self.waiting, 1)
end

local function answer(self, peer, given)
  local protocol = given.protocol
  if protocol == nil then protocol = (handshake.subprotocols(peer.request) or {})[1] end
  peer.subprotocol = protocol or nil
  peer.wire:raw(handshake.accept(self.engine, peer.request, peer.subprotocol, given.headers))
  peer:open(peer.phase.leftover)
end

--- Accepts the opening handshake that has waited longest.
-- @tparam[opt] table given `protocol`: subprotocol, the first that was offered if left out, false for none; `headers`:
-- name -> value; `handshake = false`: nothing is answered, the peer sends bytes of its own; `timeout` (0): seconds that
-- may pass on the clock of the test until one waits
-- @treturn[1] peer
-- @treturn[2] nil
-- @treturn[2] string `timeout`: none waits
-- @raise the error of a callback; for an unknown or wrong field
function server:accept(given)
  errors.check_object(self, "entry_point", "server:accept")
  if given ~= nil and type(given) ~= "table" then errors.argument(1, "accept", "table", given) end
  local settings = definition.defaults(ACCEPT)
  for name, value in pairs(given or {}) do settings[name] = definition.check(ACCEPT, name, value, 3) end
  local peer = next_waiting(self, settings.timeout)
  if not peer then return nil, "timeout" end
  if settings.handshake then answer(self, peer, settings) else peer.phase = silent() end
  self.network:settle()
  return peer
end

local function check_refusal(status, headers, body)
  if status ~= nil and not definition.is_integer(status, 100, 999) then
    errors.argument(1, "refuse", "status 100 to 999", status, 4)
  end
  local is_good, culprit = headers == nil, nil
  if not is_good then is_good, culprit = networks.HEADERS.check(headers) end
  if not is_good then errors.argument(2, "refuse", networks.HEADERS.expected, headers, 4, culprit) end
  if body ~= nil and type(body) ~= "string" then errors.argument(3, "refuse", "string", body, 4) end
end

--- Answers the opening handshake that has waited longest with another status, and ends the connection.
-- @tparam[opt=503] integer status
-- @tparam[opt] table headers name -> value
-- @tparam[opt=""] string body
-- @treturn[1] table request: `method`, `uri`, `headers`
-- @treturn[2] nil
-- @treturn[2] string `timeout`: none waits
-- @raise the error of a callback; for a wrong argument
function server:refuse(status, headers, body)
  errors.check_object(self, "entry_point", "server:refuse")
  check_refusal(status, headers, body)
  local peer = next_waiting(self, 0)
  if not peer then return nil, "timeout" end
  body = body or ""
  peer:send_bytes(http.response_head(status or 503, headers, #body, "close") .. body)
  peer:disconnect()
  return peer.request
end

--- Has connections to it never be made, as where a host is down; or be made again.
-- @tparam boolean is_silent
function server:set_silent(is_silent)
  errors.check_object(self, "entry_point", "server:set_silent")
  self.entry_point.is_silent = is_silent
end

--- Refuses connections from now on. Those that are there stay.
-- @raise the error of a callback
function server:close()
  errors.check_object(self, "entry_point", "server:close")
  self.entry_point:close()
  self.network:settle()
end

require("websockets.loading").interpret(server.accept)

return server
