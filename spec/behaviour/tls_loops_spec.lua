--- TLS under each kind of loop, where bytes wait on either side.
-- @module spec.behaviour.tls_loops_spec
local certificates = require("spec.support.certificates")
local child = require("spec.support.child")
local client = require("spec.support.client")
local loops = require("spec.support.loops")
local relay = require("spec.support.relay")
local server = require("spec.support.server")
local socket = require("socket")
local tls = require("spec.support.tls")

local MIB = 1024 * 1024
-- A loop that spins is ready in every one of these.
local IDLE_TURNS = 60

local LOOPS = {
  ["service"] = server.start, ["run"] = loops.run, ["a loop that watches READ only"] = loops.read_only,
  ["a loop that watches writing too"] = loops.with_modes,
  ["a loop that is attached"] = loops.attached,
}
if server.is_native then LOOPS["a loop that watches the one descriptor"] = loops.one_descriptor end

for name, start in pairs(LOOPS) do
  describe("TLS under " .. name, function()
    local it = tls.test(it, pending)

    after_each(server.stop_all)

    -- Serves for a while in which there is nothing to do.
    local function idle(s)
      for _ = 1, 20 do s:turn(1) end
      local before = s.ready or 0
      for _ = 1, IDLE_TURNS do s:turn(1) end
      return (s.ready or 0) - before
    end

    it("serves what LuaSec has decrypted already, of any number of messages in a record", function()
      local handler, log = server.recorder(server.echo)
      local s = tls.server({ protocols = { a = handler }, max_message_bytes = 8 * MIB }, start)
      local c = client.open(s, "a")
      local frames = {}
      for i = 1, 500 do frames[i] = c:frame(1, "message " .. i) end
      c:send(table.concat(frames))
      for i = 1, 500 do assert.same({ 1, "message " .. i }, { c:message() }) end
      local big = ("x"):rep(5 * MIB)
      c:text(big)
      assert.same({ 1, big }, { c:message() })
      assert.is_true(idle(s) < IDLE_TURNS / 2)
      c:send_close(1000)
      assert.equal(1000, (c:close_code()))
      s:pump(function() return log.closed[1] end)
      assert.is_true(log.closed[1][4])
    end)

    it("keeps the order of 12 MiB for a peer that reads late, and tells on_drain", function()
      local drained, ws = 0, nil
      local s = tls.server({ protocols = { a = function(it_is)
        ws = it_is
        ws:on_drain(function() drained = drained + 1 end)
      end } }, start)
      local c = client.open(s, "a")
      local big = ("0123456789abcdef"):rep(12 * MIB / 16)
      ws:write(big)
      assert.is_true(idle(s) < IDLE_TURNS / 2)
      assert.equal(0, drained)
      assert.same({ 1, big }, { c:message() })
      s:pump(function() return drained == 1 end)
    end)

    it("does not spin while reading is paused, and goes on where it stopped", function()
      local handler, log = server.recorder()
      local s = tls.server({ protocols = { a = handler } }, start)
      local c = client.open(s, "a")
      log.ws[1]:rx_flow_control(false)
      c:send(c:frame(1, "1") .. c:frame(1, ("2"):rep(50000)) .. c:frame(1, "3"))
      assert.is_true(idle(s) < IDLE_TURNS / 2)
      assert.equal(0, #log.messages)
      log.ws[1]:rx_flow_control(true)
      s:pump(function() return #log.messages == 3 end)
      assert.equal("3", log.messages[3][2])
    end)

    it("waits for a peer that does not read the server's part of the TLS handshake", function()
      local folder = child.make_folder()
      finally(function() child.remove_folder(folder) end)
      local file = assert(io.open(folder .. "/long.pem", "wb"))
      file:write(certificates.read("good.pem"), (certificates.read("ca.pem"):rep(60)))
      file:close()
      local listening = assert(socket.tcp4())
      -- Accepted sockets have it from the listening one.
      assert(listening:setoption("send-buffer-size", 1))
      assert(listening:bind("127.0.0.1", 0))
      assert(listening:listen(10))
      local s = tls.server({ protocols = { a = server.echo }, socket = listening, tls = {
        certificate = folder .. "/long.pem", key = certificates.path "good.key" } }, start)
      s.on_stop = function() listening:close() end
      local between = relay.new(s)
      between.is_held = true
      local late = client.connect({ port = between.port, clients = s.clients, secure = s.secure,
        pump = function(_, ...) return s:pump(...) end })
      late.connection:send("x")
      s:pump(function() return between.server end)
      assert.is_true(idle(s) < IDLE_TURNS / 2)
      local other = client.open(s, "a")
      other:text("x")
      assert.same({ 1, "x" }, { other:message() })
      between.is_held = false
      late:send(client.upgrade({ protocol = "a" }))
      assert.equal(101, (late:read_head()))
    end)

    it("waits where a peer that reads nothing wants new keys", function()
      local s = tls.server({ protocols = { a = server.echo }, on_http = function(ws)
        ws:respond(200, nil, ("0123456789abcdef"):rep(12 * MIB / 16))
      end }, start)
      local between = relay.new(s)
      local output = os.tmpname()
      local program = assert(io.popen(("exec timeout 60 openssl s_client -connect 127.0.0.1:%d -tls1_3 -crlf >%s 2>&1")
        :format(between.port, child.quote(output)), "w"))
      finally(function()
        between:close()
        program:close()
        os.remove(output)
      end)
      local function written()
        local file = assert(io.open(output, "rb"))
        local size = file:seek("end")
        file:close()
        return size
      end
      s:pump(function() return between.server and written() > 1000 end, "TLS handshake")
      program:write("GET / HTTP/1.1\nHost: a\n\n")
      program:flush()
      s:pump(function() return written() > 100000 end, "the first bytes of the answer")
      between.is_held = true
      assert.is_true(idle(s) < IDLE_TURNS / 2)
      program:write("K\n")
      program:flush()
      local before = socket.gettime()
      while socket.gettime() - before < 0.3 do s:turn(1) end
      assert.is_true(idle(s) < IDLE_TURNS / 2)
      local other = client.open(s, "a")
      other:text("x")
      assert.same({ 1, "x" }, { other:message() })
      between.is_held = false
      s:pump(function() return written() > 12 * MIB end, "the whole answer")
    end)
  end)
end
