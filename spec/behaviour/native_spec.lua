--- What only the accelerator has: sockets of its own, one descriptor for a whole context, facts of the system.
-- @module spec.behaviour.native_spec
local await = require("spec.support.await")
local child = require("spec.support.child")
local socket = require("socket")
local client = require("spec.support.client")
local file = require("spec.support.file")
local server = require("spec.support.server")

local BINARY = 2
local it_native = server.is_native and it or os.getenv("WEBSOCKETS_NATIVE") == "off" and function() end or pending

local function is_ready(fd)
  return #socket.select({ { getfd = function() return fd end } }, nil, 0) == 1
end

describe("the accelerator", function()
  after_each(server.stop_all)

  it_native("names one descriptor that is readable when the context has something to do", function()
    local s = server.start({ protocols = { a = server.echo } })
    local c = client.open(s, "a")
    s:settle()
    local fd = s.context:get_fd()
    assert.equal(fd, s.context:get_fd())
    assert.is_false(is_ready(fd))
    c:text("x")
    await(function() return is_ready(fd) end, "a readable descriptor")
    s.context:service(0)
    assert.is_false(is_ready(fd))
    assert.same({ 1, "x" }, { c:message() })
  end)

  -- A connection that the accelerator does not take over.
  local function foreign(s)
    local listening = socket.bind("127.0.0.1", 0)
    local near = socket.connect("127.0.0.1", (select(2, listening:getsockname())))
    local far = listening:accept()
    listening:close()
    s.clients[#s.clients + 1] = near
    return near, setmetatable({}, { __index = function(_, name)
      return far[name] and function(_, ...) return far[name](far, ...) end
    end })
  end

  it_native("answers in the same turn a connection that an on_closed adopts, the first on another transport", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    local gone = client.open(s, "a")
    local near, far = foreign(s)
    local turn
    log.ws[1]:on_closed(function()
      turn = s.context.turn
      s.context:adopt(far, client.upgrade({ protocol = "a" }))
    end)
    gone:close()
    s:pump(function() return turn end, "the end")
    assert.equal(turn, s.context.turn)
    near:settimeout(5)
    assert.equal("HTTP/1.1 101 Switching Protocols", (near:receive("*l")))
  end)

  it_native("makes that descriptor readable when a timer is due, and not before", function()
    local s = server.start({ handshake_timeout = 0.05 })
    -- The descriptor goes by the time of the system, the deadline by this.
    s:fake_time()
    local fd, begun = s.context:get_fd(), socket.gettime()
    client.connect(s)
    s:settle()
    assert.equal(1, s.context.connection_count)
    await(function() return is_ready(fd) end, "a readable descriptor")
    assert.is_true(socket.gettime() - begun >= 0.049)
    s:advance(0.051)
    assert.equal(0, s.context.connection_count)
  end)

  it_native("reads a large frame that comes in pieces, whole and unchanged, and what follows it", function()
    local s = server.start({ protocols = { a = server.echo } })
    local c = client.open(s, "a")
    local big = ("0123456789abcdef!"):rep(60000)
    c:send(c:frame(BINARY, big) .. c:frame(1, "after") .. c:frame(BINARY, big))
    for _, expected in ipairs({ { BINARY, big }, { 1, "after" }, { BINARY, big } }) do
      local kind, data = c:message()
      assert.equal(expected[1], kind)
      assert.is_true(expected[2] == data)
    end
    assert.equal(0, s.context.budget:used())
  end)

  it_native("hears of an end that came together with the last bytes", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    local c = client.open(s, "a")
    c:send(c:frame(1, "last"))
    c.connection:shutdown("send")
    s:pump(function() return #log.closed == 1 end, "on_closed")
    assert.equal(1, #log.messages)
  end)

  it_native("sends several large messages of a turn in one call", function()
    local s = server.start({ protocols = { a = server.echo } })
    local c = client.open(s, "a")
    local data = ("x"):rep(16384)
    local before = select(3, s.context.hub.source:totals())
    c:send(c:frame(BINARY, data):rep(4))
    for _ = 1, 4 do assert.is_true(select(2, c:message()) == data) end
    assert.is_true(select(3, s.context.hub.source:totals()) - before <= 4)
  end)

  it_native("sends several broadcasts of a turn in one call for each connection", function()
    local s = server.start({ protocols = { a = function(ws)
      ws:on_receive(function(it, data) it:broadcast(data) end)
    end } })
    local c, d = client.open(s, "a"), client.open(s, "a")
    local before = select(3, s.context.hub.source:totals())
    c:send(c:frame(1, "x"):rep(4))
    for _ = 1, 4 do
      assert.same({ 1, "x" }, { c:message() })
      assert.same({ 1, "x" }, { d:message() })
    end
    assert.equal(2, select(3, s.context.hub.source:totals()) - before)
  end)

  -- Here `write` is found in the shared library by name; a program may have forbidden that.
  if rawget(_G, "jit") then
    it_native("echoes by LuaJIT with its ffi and without", function()
      for _, forbids in ipairs({ "", "package.preload.ffi, package.loaded.ffi = nil, nil" }) do
        local program = forbids .. [[
          package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
          local core, wire_class = require("websockets_native"), require("websockets.wire.native")
          local client, server = require("spec.support.client"), require("spec.support.server")
          local s = server.start({ protocols = { a = server.echo } })
          local c = client.open(s, "a")
          for _, size in ipairs({ 0, 5, 4095, 4096, 100000 }) do
            for kind = 1, 2 do
              local payload = ("x"):rep(size)
              c:send(c:frame(kind, payload))
              local opcode, echo = c:message()
              assert(opcode == kind and echo == payload)
            end
          end
          c:send(c:frame(1, "\255"))
          local opcode, reason = c:message()
          assert(opcode == 8 and reason == "\3\239")
          io.write(wire_class.write == core.write and "C" or "ffi")
        ]]
        local text, code = child.run(child.quote(child.this_lua()) .. " -e " .. child.quote(program))
        assert.same({ forbids == "" and "ffi" or "C", 0 }, { text, code })
      end
    end)
  end

  it("allows unsafe code in one folder only", function()
    local pipe = io.popen("grep -rn -A1 'allow(unsafe_code)' native")
    local text = pipe:read("*a")
    pipe:close()
    assert.matches("^native/lib.rs:%d+:#%[allow%(unsafe_code%)%]\nnative/lib.rs%-%d+%-mod lua;\n$", text)
    assert.matches('unsafe_code = "deny"', file.read("Cargo.toml"), 1, true)
  end)

  it_native("tells facts of the system", function()
    local engine = require("websockets.engine.native")
    assert.equal("127.0.0.1", engine.interface_address("lo"))
    assert.is_nil(engine.interface_address("no such interface"))
    local before = engine.now()
    assert.is_true(engine.now() >= before)
  end)

  it_native("names descriptors by whole numbers", function()
    local names = {}
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler }, on_add_fd = function(fd) names[#names + 1] = fd end })
    client.open(s, "a")
    names[#names + 1] = log.ws[1]:get_socket_fd()
    assert.equal(4, #names)
    for _, name in ipairs(names) do assert.matches("^%d+$", tostring(name)) end
  end)

  it_native("holds its descriptors no longer than the context is alive", function()
    local s = server.start({ on_add_fd = function() end })
    s.context:get_fd()
    s.context:destroy()
    assert.equal(-1, s.context.hub.source:getfd(false))
  end)
end)
