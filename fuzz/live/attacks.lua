--- What a hostile client sends: right requests and frames, changed and cut.
-- @module fuzz.live.attacks

local engine = require("websockets.engine.loader").choose()
local mutate = require "fuzz.live.mutate"
local streams = require "spec.support.streams"
local support = require "spec.support.engine"

local attacks = {}

local TARGETS = { "/", "/", "/later", "/state", "/a/b?c=d", "*" }
local OFFERS = {
  "permessage-deflate", "permessage-deflate; client_max_window_bits", "x-other; a=\"b\"",
  "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
}
local PROTOCOLS = { "echo", "pausing", "none", "none, echo", "echo, pausing" }

local requests, frames = mutate.seeds("http", 1), mutate.seeds("reader", 4)

local function field(name, value)
  return name .. ": " .. value .. "\r\n"
end

local function upgrade(random)
  local lines = {
    "GET " .. TARGETS[random(random(4) == 1 and #TARGETS or 3)] .. " HTTP/1.1\r\n", field("Host", "127.0.0.1"),
    field("Upgrade", "websocket"), field("Connection", random(3) == 1 and "keep-alive, Upgrade" or "Upgrade"),
    field("Sec-WebSocket-Version", "13"), field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
  }
  if random(2) == 1 then lines[#lines + 1] = field("Sec-WebSocket-Extensions", OFFERS[random(#OFFERS)]) end
  if random(2) == 1 then lines[#lines + 1] = field("Sec-WebSocket-Protocol", PROTOCOLS[random(#PROTOCOLS)]) end
  if random(6) == 1 then lines[#lines + 1] = field("Origin", "http://127.0.0.1") end
  return table.concat(lines) .. "\r\n"
end

local kept = {}

-- Masking in plain Lua takes long: these frames are made once.
local function large_frame(opcode, size, fin)
  local name = ("%d %d %s"):format(opcode, size, tostring(fin))
  kept[name] = kept[name]
    or support.frame { opcode = opcode, payload = ("x"):rep(size), key = "\17\238\3\128", fin = fin }
  return kept[name]
end

local function large_message(random)
  local parts, count, size = {}, random(110), ({ 0, 1, 900, 20000 })[random(4)]
  for index = 1, count do
    parts[index] = large_frame(index == 1 and 2 or 0, size, index == count and random(3) > 1)
  end
  return table.concat(parts)
end

local function messages(random)
  local kind = random(6)
  if kind == 1 then return frames[random(#frames)] end
  if kind == 2 then return large_message(random) end
  if kind == 3 and engine.deflater then
    local how = { window_bits = 15, level = 6, no_context_takeover = random(2) == 1 }
    return streams.generate_packed(random, "server", engine.deflater(how))
  end
  return streams.generate(random, "server")
end

--- Make what one connection sends.
-- @tparam function random
-- @treturn {string,...} pieces
function attacks.make(random)
  local bytes
  if random(3) == 1 then
    local list = {}
    for index = 1, random(4) do list[index] = requests[random(#requests)] end
    bytes = table.concat(list)
    if random(4) > 1 then bytes = mutate.change(random, bytes) end
  else
    local head, rest = upgrade(random), messages(random)
    if random(4) == 1 then head = mutate.change(random, head) end
    if random(3) > 1 then rest = mutate.change(random, rest) end
    bytes = head .. rest
  end
  return mutate.pieces(random, bytes)
end

return attacks
