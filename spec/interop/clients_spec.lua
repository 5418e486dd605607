--- Clients that others wrote, against our echo server: every byte comes back equal.
-- @module spec.interop.clients_spec
local beside = require("spec.support.beside")
local needs = require("spec.support.needs")
local server = require("spec.support.server")

local PEERS = {
  {
    name = "Python websockets", missing = needs.reason("the Python package websockets"),
    command = ".deps/venv/bin/python spec/support/interop.py",
  },
  {
    name = "Node ws", missing = needs.reason("node", "the npm package ws"),
    command = "env NODE_PATH=.deps/node_modules node spec/support/interop.js",
  },
}

-- An echo server that closes when it is asked to.
local function start()
  local ends = {}
  local run = server.start({ protocols = { echo = function(ws)
    ws:on_receive(function(_, data, kind)
      if data == "close me" then
        ws:close(4001, "bye")
      else
        ws:write(data, kind)
      end
    end)
    ws:on_closed(function(_, ...) ends[#ends + 1] = { ... } end)
  end } })
  return run, ends
end

describe("interop", function()
  after_each(server.stop_all)

  for _, peer in ipairs(PEERS) do
    it(peer.name .. " as a client: text and binary of each size, whole and fragmented, ping, close", function()
      if peer.missing then pending(peer.missing) end
      local run, ends = start()
      local code, text = beside.run(run, peer.command .. " " .. run.port)
      assert.equal(0, code, text)
      run:pump(function() return ends[1] end, "on_closed")
      assert.same({ 4001, "bye", true, "closed" }, ends[1])
    end)
  end
end)
