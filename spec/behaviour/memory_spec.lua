--- What connections cost: idle ones that have sent and got a message, with compression and without, and one with large
-- messages.
-- @module spec.behaviour.memory_spec
local child = require("spec.support.child")
local socket = require("socket")

local engine = require("websockets.engine.loader").choose()

-- A server in pure Lua has room for some more; what it has inherited counts too.
local CONNECTIONS = 900
local TIMEOUT_SECONDS = 30
-- The first ones pay for what all share: a deflater, and code that LuaJIT makes while they talk.
local FIRST_CONNECTIONS, FIRST_MESSAGES = 10, 50
-- Memory is given out in larger pieces; LuaJIT makes code whenever it likes.
local NOISE_KIB, NOISE_SHARE = 0.25, 0.05
local REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
local OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
local TEXT = ('{"name": "value", "list": [1, 2, 3]}, '):rep(50)
local PLAIN_TEXT, PLAIN_BINARY, PACKED_TEXT = 0x81, 0x82, 0xC1
-- 200 MiB in all; what the accelerator and the C library keep for the next one is some of them.
local LARGE_BYTES, LARGE_MESSAGES, MOST_LARGE_KIB = 1000000, 200, 32 * 1024

local function open(port, headers)
  local connection = socket.tcp4()
  connection:settimeout(TIMEOUT_SECONDS)
  assert(connection:connect("127.0.0.1", port))
  connection:send(REQUEST .. headers .. "\r\n")
  local extensions = false
  assert.equal("HTTP/1.1 101 Switching Protocols", (connection:receive("*l")))
  repeat
    local line = assert(connection:receive("*l"))
    extensions = extensions or line:lower():find("^sec%-websocket%-extensions:") ~= nil
  until line == ""
  return connection, extensions
end

local function number_of(bytes)
  local number = 0
  for i = 1, #bytes do number = 256 * number + bytes:byte(i) end
  return number
end

-- Sends a frame with a key of zeros and reads one.
local function exchange(connection, first, payload)
  local size = #payload
  local length = size < 126 and string.char(128 + size)
    or size < 65536 and string.char(254, math.floor(size / 256), size % 256)
    or string.char(255, 0, 0, 0, 0, 0, math.floor(size / 65536), math.floor(size / 256) % 256, size % 256)
  connection:send(string.char(first) .. length .. "\0\0\0\0" .. payload)
  local kind, form = assert(connection:receive(2)):byte(1, 2)
  if form >= 126 then form = number_of(connection:receive(form == 126 and 2 or 8)) end
  return kind, connection:receive(form)
end

local function memory(connection)
  return tonumber((select(2, exchange(connection, PLAIN_TEXT, "memory"))))
end

-- Opens connections that send messages and get them back.
local function add(all, count, messages, port, way, packed)
  local is_packed = way ~= "off"
  for _ = 1, count do
    local connection, has_extension = open(port, OFFER)
    assert.equal(is_packed, has_extension)
    local first = is_packed and PACKED_TEXT or PLAIN_TEXT
    for _ = 1, messages do assert.equal(first, (exchange(connection, first, is_packed and packed or TEXT))) end
    all[#all + 1] = connection
  end
end

-- Runs a server and gives what `work` gives, which gets its port.
local function beside(way, work)
  local environment = "WEBSOCKETS_NATIVE=" .. (engine.name == "native" and "on" or "off")
  local program = child.start(child.quote(child.this_lua()) .. " spec/support/idle_server.lua " .. way, environment)
  local is_good, result = pcall(function() return work(program:expect("^(%d+)$")) end)
  local output = program:stop()
  assert(is_good, tostring(result) .. "\n" .. output)
  return result
end

-- KiB for each connection.
local function cost(way)
  local all = {}
  local function measure(port)
    local packed = engine.deflater({ window_bits = 15, level = 6, no_context_takeover = true }):deflate(TEXT)
    all[1] = open(port, "")
    add(all, FIRST_CONNECTIONS, FIRST_MESSAGES, port, way, packed)
    local before = memory(all[1])
    add(all, CONNECTIONS, 1, port, way, packed)
    return (memory(all[1]) - before) / CONNECTIONS
  end
  -- The server inherits what other specs have left to the collector.
  collectgarbage()
  collectgarbage()
  local is_good, made = pcall(beside, way, measure)
  for _, connection in ipairs(all) do connection:close() end
  assert(is_good, made)
  return made
end

describe("900 idle connections", function()
  local costs = {}

  local function cost_of(way)
    if not io.open("/proc/self/status") then pending("needs /proc/self/status") end
    if not engine.can_compress or not engine.can_compress() then pending("needs lua-zlib or the accelerator") end
    costs[way] = costs[way] or cost(way)
    return costs[way]
  end

  it("with compression and no context kept cost no more than without compression", function()
    local off, fresh = cost_of("off"), cost_of("fresh")
    assert.is_true(fresh <= off * (1 + NOISE_SHARE) + NOISE_KIB,
      ("%.2f KiB each, %.2f without compression"):format(fresh, off))
  end)

  it("with contexts kept cost many times more: what is measured here sees the codec", function()
    local off, kept = cost_of("off"), cost_of("kept")
    assert.is_true(kept > 5 * off, ("%.2f KiB each, %.2f without compression"):format(kept, off))
  end)
end)

describe("large messages one after the other", function()
  it("do not pile up until the collector comes by", function()
    if engine.name ~= "native" then pending("the accelerator alone has the collector keep up") end
    if not io.open("/proc/self/status") then pending("needs /proc/self/status") end
    local grown = beside("peak", function(port)
      local connection, payload = open(port, ""), ("x"):rep(LARGE_BYTES)
      local before = memory(connection)
      for number = 1, LARGE_MESSAGES do
        local _, answer = exchange(connection, PLAIN_BINARY, number .. payload)
        assert.equal(LARGE_BYTES + #tostring(number), #answer)
      end
      local after = memory(connection)
      connection:close()
      return after - before
    end)
    assert.is_true(grown < MOST_LARGE_KIB, ("%d KiB"):format(grown))
  end)
end)
