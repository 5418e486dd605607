--- A thousand clients in a process of their own, for `coroutine_many_spec`: few talk, most are silent. The time of the
-- server is fake, and a message to its subprotocol `clock` lets so many seconds pass.
-- @script many_peers
--
-- `many_peers.lua PORT CONNECTIONS TALKERS ROUNDS SECONDS`: each talker sends a message and takes its echo in so many
-- rounds, a second of the server's each. After SECONDS each silent client must have got one message, "timeout".
package.path = "./?.lua;" .. package.path

local plain_client = require("spec.support.plain_client")

local port, connections, talkers, rounds, seconds = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]),
  tonumber(arg[4]), tonumber(arg[5])

local AT_ONCE = 100
local UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
  .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n"

local function expect(client, text)
  local got = client:read_message()
  if got ~= text then error(("%s expected, got %s"):format(text, tostring(got))) end
end

-- Many at once, because each turn of a server in pure Lua looks at all of its sockets.
local function open(protocol, count)
  local list = {}
  for i = 1, count do
    list[i] = plain_client.connect(port)
    list[i]:request("/", UPGRADE:format(protocol))
  end
  for i = 1, count do assert(list[i]:read_head():find("^HTTP/1.1 101 ")) end
  return list
end

local clock = open("clock", 1)[1]

local function pass(time)
  clock:write(tostring(time))
  expect(clock, tostring(time))
end

local function talk(clients, word)
  for i = 1, talkers do clients[i]:write(word .. i) end
  for i = 1, talkers do expect(clients[i], word .. i) end
end

local clients = {}
while #clients < connections do
  for _, client in ipairs(open("wait", math.min(AT_ONCE, connections - #clients))) do
    clients[#clients + 1] = client
  end
end
for round = 1, rounds do
  talk(clients, round .. " ")
  pass(1)
end
pass(seconds - rounds)
talk(clients, "last ")
for i = talkers + 1, connections do expect(clients[i], "timeout") end
print(("%d told, %d talked"):format(connections - talkers, talkers))
