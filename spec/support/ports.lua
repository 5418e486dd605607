--- Ports that the system chooses.
-- @module spec.support.ports
local socket = require("socket")

local ports = {}

local FIRST = 10000
local held = {}

--- Take a port that refuses connections until the end of the spec file: nobody else gets it.
-- @treturn integer
function ports.refusing()
  local bound = assert(socket.tcp4())
  assert(bound:bind("127.0.0.1", 0))
  held[#held + 1] = bound
  local _, port = bound:getsockname()
  return math.floor(tonumber(port))
end

-- The first port that the system gives to those who name none.
local function first_given()
  local file = io.open("/proc/sys/net/ipv4/ip_local_port_range")
  local first = file and file:read("*n")
  if file then file:close() end
  return first or 32768
end

--- Find a port at which nothing listens, for a program that cannot tell which one the system has chosen. The system
-- gives it to nobody else before that program has it.
-- @tparam[opt="127.0.0.1"] string address `"*"` for one that is free on all of them
-- @treturn integer
function ports.closed(address)
  local noise, count, listener = assert(io.open("/dev/urandom", "rb")), first_given() - FIRST, nil
  for _ = 1, 100 do
    local high, low = noise:read(2):byte(1, 2)
    listener = socket.bind(address or "127.0.0.1", count > 0 and FIRST + (high * 256 + low) % count or 0)
    if listener then break end
  end
  noise:close()
  local _, port = assert(listener, "no port is free"):getsockname()
  listener:close()
  return math.floor(tonumber(port))
end

return ports
