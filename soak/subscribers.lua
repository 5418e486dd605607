--- The clients of `soak/stalled.lua`: so many that read nothing, or some that read all.
-- `lua soak/subscribers.lua PORT COUNT SECONDS ADDRESS stall|read` prints `open N` when all are connected, and at the
-- end how many messages each reader got in order.
-- @script subscribers
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local engine = require("websockets.engine.pure")
local socket = require("socket")

local port, count, seconds, address, way = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]), arg[4], arg[5]

local REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: feed\r\n\r\n"
local PONG = "\138\128\0\0\0\0"

local function open()
  local one = assert(socket.tcp4())
  one:settimeout(30)
  assert(one:bind(address, 0))
  assert(one:connect("127.0.0.1", port))
  assert(one:send(REQUEST))
  repeat
    local line = assert(one:receive("*l"))
  until line == ""
  one:settimeout(0)
  return one
end

-- Takes what is here; an error for a message out of order.
local function read(reader)
  local bytes, why, part = reader.socket:receive(65536)
  bytes = bytes or part or ""
  if bytes == "" then
    assert(why == "timeout", why)
    return false
  end
  local messages = reader.decoder:feed(bytes, reader.batch)
  for i = 1, messages do
    local opcode, payload = reader.batch[2 * i - 1], reader.batch[2 * i]
    if opcode == 9 then
      assert(reader.socket:send(PONG))
    else
      assert(opcode == 1 and tonumber(payload:sub(1, 8)) == reader.got + 1, "a message is missing")
      reader.got = reader.got + 1
    end
  end
  return true
end

local sockets, readers = {}, {}
for i = 1, count do sockets[i] = open() end
print("open " .. count)
io.stdout:flush()
local until_time = socket.gettime() + seconds
if way == "stall" then
  socket.sleep(seconds)
else
  for i = 1, count do
    local decoder = engine.reader({ role = "client", max_message_bytes = 2 ^ 24, max_fragments = 10 })
    readers[i] = { socket = sockets[i], decoder = decoder, batch = {}, got = 0 }
  end
  repeat
    local is_any = false
    for i = 1, count do is_any = read(readers[i]) or is_any end
    if not is_any then socket.sleep(0.005) end
  until socket.gettime() > until_time
end
local fewest = math.huge
for _, reader in ipairs(readers) do fewest = math.min(fewest, reader.got) end
if readers[1] then print("fewest " .. fewest) end
