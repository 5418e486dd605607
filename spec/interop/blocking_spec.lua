--- A blocking client and servers that others wrote.
-- @module spec.interop.blocking_spec
local child = require("spec.support.child")
local needs = require("spec.support.needs")
local websockets = require("websockets")

local PEERS = {
  {
    name = "Python websockets", missing = needs.reason("the Python package websockets"),
    command = ".deps/venv/bin/python spec/support/interop.py server",
  },
  {
    name = "Node ws", missing = needs.reason("node", "the npm package ws"),
    command = "env NODE_PATH=.deps/node_modules node spec/support/interop.js server",
  },
}
local SIZES = { 0, 1, 125, 126, 65535, 65536, 1024 * 1024 }
local SECONDS = 30

local function text_of(size)
  return ("€é"):rep(math.floor(size / 5)) .. ("a"):rep(size % 5)
end

local function bytes_of(size)
  local block = {}
  for i = 0, 250 do block[i + 1] = string.char(i) end
  return table.concat(block):rep(math.floor(size / 251) + 1):sub(1, size)
end

describe("a blocking client with", function()
  local program, ws
  after_each(function()
    if ws then ws:close(0) end
    if program then program:stop() end
    program, ws = nil, nil
  end)

  local function start(peer, options)
    program = child.start(peer.command)
    ws = assert(websockets.connect(("ws://127.0.0.1:%s/"):format(program:expect("^port (%d+)")), options))
    return ws
  end

  for _, peer in ipairs(PEERS) do
    it(peer.name .. " echoes text and binary of each size, answers pings, hears its close", function()
      if peer.missing then return pending(peer.missing) end
      start(peer)
      for _, size in ipairs(SIZES) do
        for kind, data in pairs({ [0] = text_of(size), bytes_of(size) }) do
          assert.equal(0, ws:write(data, kind))
          local got, type = ws:receive(SECONDS)
          assert.same({ true, kind }, { got == data, type })
        end
      end
      ws:write("in fragments")
      assert.is_true(ws:receive(SECONDS) == text_of(70000))
      ws:write("ping me")
      assert.equal("ponged", (ws:receive(SECONDS)))
      ws:write("close me")
      assert.same({ nil, "closed", 4001, "bye" }, { ws:receive(SECONDS) })
      assert.same({ true, 4001, "bye" }, { ws:close() })
    end)

    it(peer.name .. " takes many messages before it receives, and closes", function()
      if peer.missing then return pending(peer.missing) end
      start(peer)
      for i = 1, 1000 do assert.equal(0, ws:write("message " .. i)) end
      for i = 1, 1000 do assert.equal("message " .. i, (ws:receive(SECONDS))) end
      local is_clean, code = ws:close(4000, "done")
      assert.same({ true, 4000 }, { is_clean, code })
    end)
  end
end)
