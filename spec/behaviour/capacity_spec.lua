--- A flood of peers that hold connections without a WebSocket: others are served, whatever runs out.
-- @module spec.behaviour.capacity_spec
local child = require("spec.support.child")
local client = require("spec.support.client")
local server = require("spec.support.server")
local socket = require("socket")

local PEERS, HONEST, ENOUGH = 250, 20, 19
local FILE_BYTES = 32 * 1024 * 1024

-- What the peers of a flood send before they fall silent.
local FLOODS = {
  { "say nothing", "" },
  { "keep the connection after an answer", client.request("/") },
  { "never end a body", client.request("/", "Content-Length: 1000\r\n", "POST", "a") },
  { "were refused and stay", "nonsense\r\n\r\n" },
  { "take no byte of a large file", client.request("/file") },
}

-- What runs out, and the server's limit of descriptors.
local RESOURCES = { { "descriptors", 128 }, { "max_connections", 1000 } }
if not server.is_native then RESOURCES[3] = { "select", 1000 } end

local function connect(port)
  local peer = socket.tcp4()
  peer:settimeout(5)
  assert(peer:connect("127.0.0.1", port))
  return peer
end

-- A client that opens a WebSocket, and gets an echo.
local function is_served(port)
  local peer = connect(port)
  local message = "\129\133\0\0\0\0hello"
  local is_good = peer:send(client.upgrade({ protocol = "echo" }) .. message)
  local status = is_good and peer:receive("*l")
  while is_good and is_good ~= "" do is_good = peer:receive("*l") end
  local echo = is_good and peer:receive(7)
  peer:close()
  return status == "HTTP/1.1 101 Switching Protocols" and echo == "\129\5hello"
end

describe("a flood of connections", function()
  local path

  setup(function()
    path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:seek("set", FILE_BYTES - 1)
    file:write("\0")
    file:close()
  end)

  teardown(function() os.remove(path) end)

  for _, resource in ipairs(RESOURCES) do
    for _, flood in ipairs(FLOODS) do
      it(("that %s, until %s run out: the oldest of them end, others are served"):format(flood[1], resource[1]),
        function()
          local program = child.start(("sh -c 'ulimit -n %d; exec %s spec/support/flooded_server.lua %s %s'"):format(
            resource[2], child.this_lua(), resource[1], path))
          local port = tonumber(program:expect("^port (%d+)"))
          local peers, served = {}, 0
          for i = 1, PEERS do
            peers[i] = connect(port)
            peers[i]:send(flood[2])
          end
          for _ = 1, HONEST do
            if is_served(port) then served = served + 1 end
          end
          for i = 1, PEERS do peers[i]:close() end
          program:stop()
          assert.is_true(served >= ENOUGH, served .. " of " .. HONEST)
        end)
    end
  end
end)
