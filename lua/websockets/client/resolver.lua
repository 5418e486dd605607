--- Which addresses a host has, in the order in which they are tried.
-- @module websockets.client.resolver
local luasocket = require("websockets.transport.luasocket")

local resolver = {}

local LOCALHOST = { { "tcp4", "127.0.0.1" }, { "tcp6", "::1" } }

--- Gives the addresses that are known without a look-up.
-- @tparam table place of `websockets.protocol.url`
-- @treturn ?table list of `{ kind, address }`, kind "tcp4" or "tcp6"; nil for a name
function resolver.known(place)
  if place.kind == "ipv4" then return { { "tcp4", place.host } } end
  if place.kind == "ipv6" then return { { "tcp6", place.host } } end
  if place.host == "localhost" or place.host:find("%.localhost$") then return LOCALHOST end
end

--- Asks the system for the addresses of a name, and waits for its answer.
-- @tparam string name
-- @treturn[1] table as for `known`
-- @treturn[2] nil
-- @treturn[2] string what failed
function resolver.ask(name)
  local found, why = luasocket.library().dns.getaddrinfo(name)
  if not found then return nil, tostring(why) end
  local addresses = {}
  for _, one in ipairs(found) do
    addresses[#addresses + 1] = { one.family == "inet6" and "tcp6" or "tcp4", one.addr }
  end
  return addresses
end

--- Reads what a look-up of the accelerator's answered: lines of address and port, or what failed.
-- @tparam string answer
-- @treturn[1] table as for `known`
-- @treturn[2] nil
-- @treturn[2] string what failed
function resolver.read(answer)
  local addresses = {}
  for line in answer:gmatch("([^\n]*)\n") do
    local six = line:match("^%[(.*)%]:%d+$")
    addresses[#addresses + 1] = { six and "tcp6" or "tcp4", six or line:match("^[^:]*") }
  end
  if #addresses == 0 then return nil, answer:match("([^: ][^:]*)$") or "no answer" end
  return addresses
end

return resolver
