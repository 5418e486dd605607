--- The network and the clock of a test: contexts, peers and fake servers that are connected in memory. Time passes only
-- where a test says so, or where a context waits.
-- @module websockets.testing.network
local definition = require("websockets.options.definition")
local entry_point = require("websockets.testing.entry_point")
local errors = require("websockets.errors")
local memory = require("websockets.transport.memory")
local memory_poller = require("websockets.poller.memory")

local function is_value(value) return type(value) == "string" or type(value) == "number" end

-- What can be written; whether HTTP allows it is for the other side to judge.
local function is_headers(given)
  if type(given) ~= "table" then return false end
  for name, value in pairs(given) do
    local list = type(value) == "table" and value or { value }
    if type(name) ~= "string" or #list == 0 then return false, errors.entry(given, name) end
    for _, one in ipairs(list) do
      if not is_value(one) then return false, errors.entry(given, name) end
    end
  end
  return true
end

local network = {
  --- The field `headers` of requests and answers.
  HEADERS = definition.new(nil, is_headers, "table of header name -> value or list of values"),
  --- The field `timeout` of what waits: seconds that may pass on the clock of the test.
  TIMEOUT = definition.new(0, function(value) return type(value) == "number" and value >= 0 and value < math.huge end,
    "number of seconds from 0"),
}
network.__index = network

local min, HUGE = math.min, math.huge

-- Ports that a system chooses begin here.
local FIRST_PORT = 49152
-- So many bytes wait between two ends, about as many as in the sockets of a system.
local CAPACITY_BYTES = 262144
-- A clock that begins low has small steps.
local START_SECONDS = 1000
local MAX_ROUNDS = 10000
-- For names of fake servers: addresses for documentation.
local ADDRESS, MAX_ADDRESSES = "192.0.2.%d", 254

--- Makes a network without anything.
-- @treturn network
function network.new()
  return setmetatable({
    now = START_SECONDS, contexts = {}, peers = {}, entry_points = {}, addresses = {}, address_count = 0,
    next_port = FIRST_PORT,
  }, network)
end

local function key_of(address, port)
  return port and ("%s:%d"):format(address, port) or address
end

--- Opens an entry point, to which connections can be made.
-- @tparam string address IP address; "*" for those of this host; path of a unix socket
-- @tparam ?integer port nil for a unix socket; 0: any
-- @treturn[1] entry_point
-- @treturn[2] nil
-- @treturn[2] string why not
function network:open(address, port)
  if port == 0 then
    port, self.next_port = self.next_port, self.next_port + 1
  end
  local key = key_of(address, port)
  if self.entry_points[key] then return nil, "address already in use" end
  local opened = entry_point.new(port, function() self.entry_points[key] = nil end)
  self.entry_points[key] = opened
  return opened
end

--- Finds the entry point of an address.
-- @tparam string address
-- @tparam ?integer port
-- @treturn ?entry_point nil where nothing listens
function network:find(address, port)
  local is_own = address == "127.0.0.1" or address == "::1"
  return self.entry_points[key_of(address, port)] or is_own and self.entry_points[key_of("*", port)] or nil
end

--- Gives the address of a host, and one to a host that has none.
-- @tparam string host name or IP address
-- @treturn string
function network:name(host)
  -- As a client finds them without asking.
  if host == "localhost" or host:find("%.localhost$") then return "127.0.0.1" end
  if host:find("^[%d.]+$") or host:find(":", 1, true) then return host end
  if not self.addresses[host] then
    assert(self.address_count < MAX_ADDRESSES, "too many host names in one test")
    self.address_count = self.address_count + 1
    self.addresses[host] = ADDRESS:format(self.address_count)
  end
  return self.addresses[host]
end

--- Gives an entry point another address.
-- @tparam entry_point opened
-- @tparam string address
function network:alias(opened, address)
  self.entry_points[address] = opened
end

--- Connects to an entry point.
-- @tparam entry_point opened
-- @tparam[opt="127.0.0.1"] string ip address that it sees
-- @tparam[opt] integer capacity bytes that wait for the end that is given, at most
-- @treturn memory the end of the caller
function network:reach(opened, ip, capacity)
  local mine = memory.new({ capacity = CAPACITY_BYTES })
  -- A connection on which nothing comes back is one that is still being made.
  if opened.is_silent then return mine end
  local other = memory.new({ capacity = capacity or CAPACITY_BYTES })
  other.ip, other.port, self.next_port = ip or other.ip, self.next_port, self.next_port + 1
  memory.join(mine, other)
  opened:put(other)
  return mine
end

local function connect(self, address, port)
  local opened = self:find(address[2], port)
  if not opened then return memory.new(), "connection refused" end
  return self:reach(opened)
end

local function resolve(self, host)
  local address = self.addresses[host]
  if not address then return nil, "no fake server has this name" end
  return { { "tcp4", address } }
end

--- Makes the library of sockets of its contexts.
-- @treturn table
function network:sockets()
  local function now() return self.now end
  local function pass(poller, seconds) return self:pass(poller, seconds) end
  return {
    name = "memory", poller = { new = function() return memory_poller.new(pass) end },
    clock = now, time = now, sleep = function(seconds) self.now = self.now + seconds end,
    hostname = function() return "localhost" end,
    listen = function(_, _, port) return self:open("*", port) end,
    new = function(transport) return transport end,
    placeholder = function() return memory.new() end,
    connect = function(address, port) return connect(self, address, port) end,
    resolve = function(host) return resolve(self, host) end,
    -- Bytes in memory need no TLS.
    is_plain = true,
  }
end

local function is_ready(context)
  return not context.busy and not context.destroyed and (context:timeout() == 0 or context.poller:is_ready())
end

-- Everybody does what can be done now. Returns whether that was anything.
local function step(self)
  local has_done = false
  for _, peer in ipairs(self.peers) do has_done = peer:work() or has_done end
  for _, context in ipairs(self.contexts) do
    if is_ready(context) then
      context:service(0)
      has_done = true
    end
  end
  return has_done
end

--- Has all contexts and peers do what they can, until nothing is left to be done now.
-- @raise the error of a callback
function network:settle()
  for _ = 1, MAX_ROUNDS do
    if not step(self) then return end
  end
  error("contexts and peers go on without end, and no time passes", 0)
end

-- The seconds until the next timer of a context, at most so many.
local function until_next(self, most)
  for _, context in ipairs(self.contexts) do
    local seconds = not context.busy and not context.destroyed and context:timeout()
    if seconds then most = min(most, seconds) end
  end
  return most
end

--- Lets time pass: timers are called when they are due, in their order.
-- @tparam number seconds
-- @tparam[opt] function is_done `is_done()`: true where that is enough
function network:advance(seconds, is_done)
  local target = self.now + seconds
  self:settle()
  -- In a callback no time passes.
  if self:is_busy() then return end
  while self.now < target and not (is_done and is_done()) do
    local rest = target - self.now
    local passing = until_next(self, rest)
    self.now = passing == rest and target or self.now + passing
    self:settle()
  end
end

--- Tells whether a callback of a context is running.
-- @treturn boolean
function network:is_busy()
  for _, context in ipairs(self.contexts) do
    if context.busy then return true end
  end
  return false
end

local function stop(self, poller)
  for _, context in ipairs(self.contexts) do
    if context.poller == poller then context:stop() end
  end
end

--- Goes on where a context waits: others do what they can, else time passes. Where nothing can happen any more, the
-- context is stopped.
-- @tparam table poller of that context
-- @tparam ?number seconds at most
-- @treturn ?number seconds that have passed; nil where nothing can happen
function network:pass(poller, seconds)
  if step(self) then return 0 end
  local passing = until_next(self, seconds or HUGE)
  if passing == HUGE then return stop(self, poller) end
  self.now = self.now + passing
  return passing
end

require("websockets.loading").interpret(is_headers)

return network
