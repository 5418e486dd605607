--- Peers that break off, stall or lie, at each moment of a TLS connection.
-- @module spec.behaviour.tls_attacks_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local socket = require("socket")
local tls = require("spec.support.tls")

-- Far more than a turn costs, far less than a wait without end.
local LONG_TURN_SECONDS = 5

describe("a peer of a TLS server", function()
  local it = tls.test(it, pending)
  local handler, log

  after_each(server.stop_all)

  local function start(options)
    handler, log = server.recorder(function(ws)
      ws:on_receive(function(from, data, kind) from:write(data, kind) end)
    end)
    local all = { protocols = { a = handler } }
    for name, value in pairs(options or {}) do all[name] = value end
    local s = tls.server(all)
    local turn = s.turn
    s.slowest = 0
    function s:turn(ms)
      local before = socket.gettime()
      turn(self, ms)
      self.slowest = math.max(self.slowest, socket.gettime() - before)
    end
    return s
  end

  -- A peer that sends bytes as they are.
  local function raw(s)
    local secure = s.secure
    s.secure = nil
    local c = client.connect(s)
    s.secure = secure
    return c
  end

  local function is_idle(s, count)
    s:pump(function() return inside.connections(s.context) == count end, "the end of a connection")
    s:settle()
    assert.is_true(s.slowest < LONG_TURN_SECONDS)
  end

  local function exchange(c)
    c:text("x")
    assert.same({ 1, "x" }, { c:message() })
  end

  -- The ClientHello of a client, cut out of the network.
  local function hello(version)
    local one, other = tls.sockets()
    local c = tls.wrap(one, version and { protocol = version })
    c.transport:handshake()
    other:settimeout(20)
    local head = assert(other:receive(5))
    local size = head:byte(4) * 256 + head:byte(5)
    local bytes = head .. assert(other:receive(size))
    other:close()
    c:close()
    return bytes
  end

  local ENDS = {
    ["ends with FIN"] = function(c) c.connection:close() end,
    ["ends with a reset"] = function(c) c:reset() end,
    ["sends a record that is none"] = function(c) c.connection:send("\255\255\255\255\255\255\255\255") end,
    ["sends a record of a bad length"] = function(c) c.connection:send("\22\3\3\255\255" .. ("x"):rep(3000)) end,
  }

  for what, act in pairs(ENDS) do
    it(what .. " after each byte of its ClientHello: it is gone, nobody else notices", function()
      local s = start()
      local other = client.open(s, "a")
      for _, version in ipairs({ "tlsv1_2", "tlsv1_3" }) do
        local bytes = hello(version)
        for size = 0, #bytes do
          local c = raw(s)
          c.connection:send(bytes:sub(1, size))
          if size % 7 == 0 then s:turns(2) end
          act(c)
          if size % 16 == 0 then exchange(other) end
          s:turns(2)
          c.connection:close()
        end
      end
      is_idle(s, 1)
      exchange(other)
    end)

    it(what .. " at each later moment of its handshake, and of an open connection", function()
      local s = start()
      local other = client.open(s, "a")
      for _, version in ipairs({ "tlsv1_2", "tlsv1_3" }) do
        s.client_tls = { protocol = version }
        for steps = 1, 14 do
          local c = client.connect(s)
          local transport = c.connection.transport
          for step = 1, steps do
            if transport:handshake() and step % 2 == 0 then
              local bytes = step == 8 and client.upgrade({ protocol = "a" }) or step > 8 and c:frame(1, "x") or ""
              c.connection:send(bytes)
            end
            s:turn(0)
            if step % 3 == 0 then c:poll() end
          end
          -- The same descriptor, without TLS.
          local plain = setmetatable({ connection = tls.lend(transport) }, client)
          act(plain)
          s:turns(2)
          c:close()
        end
      end
      is_idle(s, 1)
      exchange(other)
      for _, one in ipairs(log.closed) do assert.equal(1006, one[2]) end
    end)
  end

  it("that stalls after each byte of its ClientHello is given up after handshake_timeout, and others are served",
    function()
      local s = start({ handshake_timeout = 5 })
      s:fake_time()
      local other = client.open(s, "a")
      local bytes, stalled = hello("tlsv1_3"), {}
      for size = 0, #bytes - 1, 3 do
        local c = raw(s)
        c.connection:send(bytes:sub(1, size))
        stalled[#stalled + 1] = c
        s:turn(0)
        if size % 30 == 0 then exchange(other) end
      end
      s:settle()
      assert.equal(1 + #stalled, inside.connections(s.context))
      s:advance(5.1)
      is_idle(s, 1)
      for _, c in ipairs(stalled) do c:await_end() end
      exchange(other)
    end)

  it("that closes without close_notify has ended with 1006 and closed, after what it sent", function()
    local s = start()
    local c = client.open(s, "a")
    c.connection:send(c:frame(1, "last"))
    c.connection.transport:shutdown()
    s:pump(function() return log.closed[1] end)
    assert.same({ 1006, "", false, "closed" }, { log.closed[1][2], log.closed[1][3], log.closed[1][4],
      log.closed[1][5] })
    is_idle(s, 0)
  end)

  it("that sends a close frame and ends at once has closed with its code", function()
    local s = start()
    local c = client.open(s, "a")
    c:send_close(1001)
    c:close()
    s:pump(function() return log.closed[1] end)
    assert.equal(1001, log.closed[1][2])
    is_idle(s, 0)
  end)

  it("that breaks a record of an open connection has ended with tls", function()
    local s = start()
    for _, bytes in ipairs({ "\23\3\3\0\20" .. ("x"):rep(20), "\23\3\3\255\255", "\20\3\3\0\1\1",
      "GET / HTTP/1.1\r\n" }) do
      log.closed = {}
      local c = client.open(s, "a")
      tls.lend(c.connection.transport):send(bytes .. ("x"):rep(70000))
      s:pump(function() return log.closed[#log.closed] end)
    end
    is_idle(s, 0)
    assert.same({ 1006, "tls" }, { log.closed[1][2], log.closed[1][5] })
  end)

  it("that sends messages and records of each length around 16 KiB gets them back", function()
    local s = start()
    for _, version in ipairs({ "tlsv1_2", "tlsv1_3" }) do
      s.client_tls = { protocol = version }
      local c = client.open(s, "a")
      for size = 16384 - 40, 16384 + 8 do
        local text = ("0123456789"):rep(1700):sub(1, size)
        c:text(text)
        local _, answer = c:message()
        assert.is_true(answer == text, size)
      end
    end
  end)

  it("that reads nothing does not keep close or destroy waiting", function()
    local s = start()
    client.open(s, "a")
    local ws = log.ws[1]
    for _ = 1, 200 do ws:write(("x"):rep(65536)) end
    s:turns(20)
    ws:close(0)
    s:turns(2)
    assert.equal("closed", log.closed[1][5])
    local c = client.open(s, "a")
    for _ = 1, 200 do log.ws[2]:write(("x"):rep(65536)) end
    s:turns(20)
    local before = socket.gettime()
    s.context:destroy()
    assert.is_true(socket.gettime() - before < LONG_TURN_SECONDS)
    assert.is_true(s.slowest < LONG_TURN_SECONDS)
    c:close()
  end)

  it("that asks for renegotiation again and again is refused, and nobody waits for it", function()
    local s = start()
    local other = client.open(s, "a")
    local program = assert(io.popen(
      ("exec timeout 60 openssl s_client -connect 127.0.0.1:%d -tls1_2 >/dev/null 2>&1"):format(s.port), "w"))
    finally(function()
      -- Else the program may wait for an answer of a server that is not served any more.
      server.stop_all()
      program:close()
    end)
    s:pump(function() return inside.connections(s.context) == 2 end)
    for _ = 1, 50 do
      program:write("R\n")
      program:flush()
      exchange(other)
    end
    s:settle()
    exchange(other)
    assert.is_true(s.slowest < LONG_TURN_SECONDS)
  end)

  it("in a flood of TLS handshakes leaves others served: few steps a turn, in the order of their coming", function()
    local s = start({ max_half_open = 4096 })
    local other = client.open(s, "a")
    local bytes, flood = hello("tlsv1_3"), {}
    for i = 1, 200 do
      flood[i] = raw(s)
      flood[i].connection:send(bytes)
    end
    local turns = 0
    -- All of them have been answered after so many turns.
    s:pump(function()
      turns = turns + 1
      if turns % 10 == 0 then exchange(other) end
      for i = #flood, 1, -1 do
        flood[i]:poll()
        if flood[i].size > 0 then table.remove(flood, i) end
      end
      return #flood == 0
    end, "an answer to each ClientHello")
    assert.is_true(s.turn_count >= 200 / 8, s.turn_count)
    exchange(other)
  end)

  it("gets nothing of a connection whose number is used again", function()
    local s = start()
    for _ = 1, 30 do
      local c = client.open(s, "a")
      exchange(c)
      c:reset()
      local d = raw(s)
      d.connection:send("\22\3\1")
      s:turns(3)
      d.connection:close()
    end
    is_idle(s, 0)
  end)
end)
