--- What masking and reading cost in pure Lua; the ratio to a naive loop of the same run is what counts.
-- Run from the root of the project: `lua bench/mask.lua [ROUNDS]`. Exits with 1 where that ratio is below its goal.
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path

local bits = require "websockets.engine.pure.bits"
local budgets = require "websockets.engine.budget"
local pure = require "websockets.engine.pure"

local MIB = 1048576
local ROUNDS = tonumber(arg[1]) or 7
local KEY = "\1\200\3\255"
local GOALS = { ["Lua 5.1"] = 3.5, ["Lua 5.3"] = 6, ["Lua 5.4"] = 4, ["Lua 5.5"] = 4, LuaJIT = 25 }

local jit = rawget(_G, "jit")
local lua = jit and "LuaJIT" or _VERSION

local function seconds(run)
  collectgarbage()
  local before = os.clock()
  run()
  return os.clock() - before
end

-- Best of some rounds, all candidates in turn, so that a busy moment hits all of them.
local function best_of(candidates)
  local best = {}
  for _ = 1, ROUNDS do
    for name, run in pairs(candidates) do
      best[name] = math.min(best[name] or math.huge, seconds(run))
    end
  end
  return best
end

local NAIVE = [[
local bxor, rows = ...
local byte, char, concat, unpack = string.byte, string.char, table.concat, table.unpack or unpack
return function(bytes, key)
  local key_bytes, parts = { byte(key, 1, 4) }, {}
  for from = 1, #bytes, 4096 do
    local list = { byte(bytes, from, from + 4095) }
    for index = 1, #list do
      local b, k = list[index], key_bytes[(index - 1) % 4 + 1]
      list[index] = XOR
    end
    parts[#parts + 1] = char(unpack(list))
  end
  return concat(parts)
end]]

local function naive_mask()
  if jit then return bits.compile("naive", (NAIVE:gsub("XOR", "bxor(b, k)")), require("bit").bxor) end
  if bits.has_operators() then return bits.compile("naive", (NAIVE:gsub("XOR", "b ~ k"))) end
  return bits.compile("naive", (NAIVE:gsub("XOR", "rows[b][k]")), nil, bits.rows)
end

local function bench_mask()
  local payload = ("Hello, world! 17."):rep(MIB / 16):sub(1, MIB)
  local naive, ours = naive_mask(), pure.mask
  assert(naive(payload, KEY) == ours(payload, KEY))
  local best = best_of {
    naive = function() naive(payload, KEY) end,
    ours = function()
      for _ = 1, jit and 10 or 1 do ours(payload, KEY) end
    end,
  }
  local ours_ns, naive_ns = best.ours / (jit and 10 or 1) / MIB * 1e9, best.naive / MIB * 1e9
  local ratio, goal = naive_ns / ours_ns, GOALS[lua]
  io.write(("%s: mask 1 MiB: naive %.2f, ours %.2f ns/byte, ratio %.1f (goal %s)\n")
    :format(lua, naive_ns, ours_ns, ratio, goal or "none"))
  return not goal or ratio >= goal
end

local function bench_reading(opcode, text)
  local payload = text:rep(MIB / 8):sub(1, MIB)
  local frame = pure.writer { role = "client" }:encode(opcode, payload)
  local budget = budgets.new(64 * MIB)
  for _, step in ipairs { 65536, 1024, 64, 1 } do
    local pieces, batch = {}, {}
    for from = 1, #frame, step do
      pieces[#pieces + 1] = frame:sub(from, from + step - 1)
    end
    local best = best_of { read = function()
      local reader = pure.reader { role = "server", max_message_bytes = MIB, max_fragments = 16, budget = budget }
      local count = 0
      for index = 1, #pieces do
        count = count + reader:feed(pieces[index], batch)
      end
      assert(count == 1 and batch[1] == opcode and #batch[2] == MIB and budget:used() == 0)
    end }
    io.write(("%s: read 1 MiB, opcode %d, in pieces of %d: %.1f ns/byte\n")
      :format(lua, opcode, step, best.read / MIB * 1e9))
  end
end

-- Many small messages in one chunk: what a message costs beside its bytes.
local function bench_small()
  local frame = pure.writer { role = "client" }:encode(1, ("x"):rep(64))
  local chunk, batch = frame:rep(200), {}
  local reader = pure.reader { role = "server", max_message_bytes = MIB, max_fragments = 16 }
  local best = best_of { read = function()
    for _ = 1, 500 do
      assert(reader:feed(chunk, batch) == 200)
    end
  end }
  io.write(("%s: read a text of 64 bytes: %.0f ns\n"):format(lua, best.read / 100000 * 1e9))
end

local is_fast = bench_mask()
bench_small()
bench_reading(2, "Hello, world! 17.")
if not is_fast then
  io.stderr:write(lua, ": masking is below its goal\n")
  os.exit(1)
end
