--- Our client over TLS against servers that others wrote.
-- @module spec.interop.secure_client_spec

-- What is tested is the protocol between two programs, not the interpreter: the newest Lua and LuaJIT stand for all.
if _VERSION ~= "Lua 5.4" and not rawget(_G, "jit") then return end

local by_hand = require "spec.support.openssl_server"
local certificates = require "spec.support.certificates"
local child = require "spec.support.child"
local engine = require("websockets.engine.loader").choose()
local loops = require "spec.support.loops"
local needs = require "spec.support.needs"
local peer = require "spec.support.peer"
local server = require "spec.support.server"
local tls = require "spec.support.tls"

local SIZES = { 0, 1, 125, 126, 8192, 16384, 65535, 65536, 1048576 }

local PEERS = {
  {
    name = "Python websockets", missing = needs.reason("the Python package websockets"),
    command = ".deps/venv/bin/python spec/support/interop_secure.py",
  },
  {
    name = "Node ws", missing = needs.reason("node", "the npm package ws"),
    command = "env NODE_PATH=.deps/node_modules node spec/support/interop_secure.js",
  },
}

local function what_is_missing(other, compression)
  if compression and not (engine.can_compress and engine.can_compress()) then
    return "needs lua-zlib or the accelerator"
  end
  return other.missing or tls.lack()
end

describe("a client over TLS", function()
  local one, program

  before_each(function() one = server.start({}) end)

  after_each(function()
    server.stop_all()
    if program then program:stop() end
    program = nil
  end)

  local function start(command)
    program = child.start(("%s %s %s"):format(command, certificates.path("good.pem"), certificates.path("good.key")))
    return program:expect("^port (%d+)$")
  end

  local function exchange(port, compression)
    local ws, heard = peer.watch(one.context:connect(("wss://localhost:%s/"):format(port), {
      tls = { cafile = certificates.path("ca.pem") }, protocols = { "echo" }, compression = compression,
    }))
    one:pump(function() return heard.open == 1 or heard.closed[1] end, "the connection")
    assert.same({}, heard.closed)
    for _, size in ipairs(SIZES) do
      for kind = 0, 1 do
        local data = (kind == 0 and "text " or "\0\255\1\2 "):rep(math.ceil(size / 5)):sub(1, size)
        ws:write(data, kind)
        one:pump(function() return heard.messages[1] or heard.closed[1] end, "an echo of " .. size)
        assert.same({}, heard.closed)
        local got = table.remove(heard.messages, 1)
        assert.is_true(got[1] == data and got[2] == kind, size)
      end
    end
    ws:write("close me")
    one:pump(function() return heard.closed[1] end, "the end")
    assert.same({ 4001, "bye", true, "closed" }, heard.closed[1])
  end

  for _, other in ipairs(PEERS) do
    for _, compression in ipairs({ false, true }) do
      it(("exchanges messages of up to 1 MiB with %s, %s compression"):format(other.name,
        compression and "with" or "without"), function()
        local missing = what_is_missing(other, compression)
        if missing then return pending(missing) end
        exchange(start(other.command), compression)
      end)
    end
  end

  local LOOPS = {
    ["that watches READ only"] = loops.read_only, ["that watches writing too"] = loops.with_modes,
    ["that is attached"] = loops.attached,
    ["that is context:run"] = loops.run,
    ["that watches the descriptor of get_fd"] = engine.name == "native" and loops.one_descriptor or nil,
  }

  for name, start_loop in pairs(LOOPS) do
    it("exchanges messages of up to 1 MiB under a loop " .. name, function()
      local missing = what_is_missing(PEERS[1])
      if missing then return pending(missing) end
      one = start_loop({})
      exchange(start(PEERS[1].command), false)
    end)
  end

  describe("and openssl s_server", function()
    local other

    after_each(function()
      if other then other:stop() end
      other = nil
    end)

    -- An open connection, and what its client hears.
    local function open(options)
      other = by_hand.start(certificates.pair("good"), options)
      local ws, heard = peer.watch(one.context:connect(("wss://localhost:%d/"):format(other.port), {
        tls = { cafile = certificates.path("ca.pem") },
      }))
      one:pump(function() return other:accept() or heard.closed[1] end, "the request")
      one:pump(function() return heard.open == 1 or heard.closed[1] end, "the connection")
      assert.same({}, heard.closed)
      return ws, heard
    end

    local function exchange_one(ws, heard, text)
      other:write(text)
      one:pump(function() return heard.messages[1] or heard.closed[1] end, "a message")
      assert.same({}, heard.closed)
      assert.equal(text, table.remove(heard.messages, 1)[1])
      ws:ping(text)
      one:pump(function() return other:has_heard_ping(text) end, "a ping")
    end

    local function check(text, work)
      it(text, function()
        local missing = tls.lack()
        if missing then return pending(missing) end
        work()
      end)
    end

    check("exchanges messages", function()
      local ws, heard = open("")
      exchange_one(ws, heard, "hello")
    end)

    check("goes on with new keys when the server asks for them", function()
      local ws, heard = open("-tls1_3")
      for round = 1, 5 do
        one:pump(other:command(round % 2 == 0 and "k" or "K"), "new keys")
        exchange_one(ws, heard, "round " .. round)
      end
    end)

    check("does not renegotiate", function()
      local ws, heard = open("-tls1_2")
      exchange_one(ws, heard, "before")
      other:command("r")
      one:pump(function() return heard.closed[1] end, "the end")
      assert.same({ 1006, false, "tls" }, { heard.closed[1][1], heard.closed[1][3], heard.closed[1][4] })
      one:pump(function() return other:output():find("no renegotiation", 1, true) end, "what the server says of it")
    end)
  end)
end)
