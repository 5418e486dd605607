--- Which addresses a host has, in the order in which they are tried.
-- @module websockets.client.resolver
local resolver = {}

-- A name may have any number of them; each costs a socket.
local MAX_ADDRESSES = 32
local LOCALHOST = { { "tcp4", "127.0.0.1" }, { "tcp6", "::1" } }

--- Gives the addresses that are known without a look-up.
-- @tparam table place of `websockets.protocol.url`
-- @treturn ?table list of `{ kind, address }`: kind is "tcp4", "tcp6", or "unix", where address is a path; nil for a
-- name that has to be looked up
function resolver.known(place)
  if place.unix then return { { "unix", place.unix } } end
  if place.kind == "ipv4" then return { { "tcp4", place.host } } end
  if place.kind == "ipv6" then return { { "tcp6", place.host } } end
  if place.host == "localhost" or place.host:find("%.localhost$") then return LOCALHOST end
end

--- Begins to look a name up, where nothing has to wait for the answer.
-- @tparam table context
-- @tparam string name
-- @treturn[1] table|userdata transport, or a wire of the accelerator, which receives what `read` reads
-- @treturn[2] boolean false: no descriptor or thread can be had
-- @treturn[3] nil a look-up has to wait
function resolver.begin(context, name)
  local of_wires, of_sockets = context.wire_class.look_up, context.sockets.look_up
  if not (of_wires or of_sockets) then return nil end
  return of_wires and of_wires(context.hub, name) or not of_wires and of_sockets(name) or false
end

--- Reads what such a look-up answered: lines of address and port, or what failed.
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

--- Orders addresses for connecting: IPv6 and IPv4 take turns, the kind of the first one begins.
-- @rfc 8305 4
-- @tparam table addresses as for `known`, in the order of the system
-- @treturn table at most 32 of them
function resolver.alternate(addresses)
  local same, other, made = {}, {}, {}
  for _, address in ipairs(addresses) do
    local list = address[1] == addresses[1][1] and same or other
    list[#list + 1] = address
  end
  for i = 1, math.min(#addresses, MAX_ADDRESSES) do
    made[#made + 1] = same[i]
    made[#made + 1] = other[i]
  end
  for i = #made, MAX_ADDRESSES + 1, -1 do made[i] = nil end
  return made
end

return resolver
