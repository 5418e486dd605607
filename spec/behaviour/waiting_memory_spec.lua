--- What waits for slow peers takes no more than twice the memory that `buffered` tells.
-- @module spec.behaviour.waiting_memory_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local MIB = 1024 * 1024
local WRITE_BINARY = 1
-- More than systems take for a peer that reads nothing.
local MESSAGE_BYTES = 32 * MIB

local function lua_bytes()
  -- LuaJIT keeps a buffer for making strings, and halves it in each cycle.
  for _ = 1, 8 do collectgarbage() end
  return collectgarbage("count") * 1024
end

-- A server with a peer that has taken most of a large message, and reads no more.
local function start()
  local handler, log = server.recorder()
  local run = server.start({ protocols = { slow = handler }, max_buffered_bytes = 2 * MESSAGE_BYTES })
  local peer = client.open(run, "slow")
  local ws, before = log.ws[1], lua_bytes()
  ws:write(("m"):rep(MESSAGE_BYTES), WRITE_BINARY)
  assert.is_true(ws:buffered() > MESSAGE_BYTES / 2, "the system took nearly all of it")
  local taken = 0
  run:pump(function()
    peer:poll()
    taken = taken + #peer:take()
    return ws:buffered() <= 4 * MIB
  end)
  run:calm(ws)
  return run, ws, peer, taken, before
end

describe("the memory of what waits", function()
  after_each(server.stop_all)

  it("shrinks as the peer takes it, though the message is one string", function()
    local run, ws, _, _, before = start()
    local waits = ws:buffered()
    assert.equal(waits, inside.buffered(run.context))
    assert.is_true(waits > 0)
    local grown = lua_bytes() - before
    assert.is_true(grown <= 2 * waits + MIB, grown .. " bytes for " .. waits)
  end)

  it("is sent unchanged, and messages after it too", function()
    local run, ws, peer, taken = start()
    for i = 1, 100 do ws:write(tostring(i)) end
    ws:ping("p")
    local header_bytes, bytes = 10, {}
    run:pump(function()
      peer:poll()
      bytes[#bytes + 1] = peer:take()
      taken = taken + #bytes[#bytes]
      return ws:buffered() == 0 and taken >= MESSAGE_BYTES + header_bytes + 100 * 4 - 8 - 90 + 3
    end)
    local rest = table.concat(bytes):match("m(\129.*)$")
    local expected = {}
    for i = 1, 100 do expected[i] = "\129" .. string.char(#tostring(i)) .. i end
    assert.equal(table.concat(expected) .. "\137\1p", rest)
  end)
end)
