--- The transport of LuaSec, over real sockets.
-- @module spec.unit.transport.luasec_spec

local await = require "spec.support.await"
local certificates = require "spec.support.certificates"
local luasec = require "websockets.transport.luasec"
local socket = require "socket"
local tls = require "spec.support.tls"
local tls_context = require "websockets.transport.tls_context"

describe("websockets.transport.luasec", function()
  local it = tls.test(it, pending)
  local open, raw

  before_each(function() open = {} end)

  after_each(function()
    for _, one in ipairs(open) do one:close() end
  end)

  local function keep(one)
    open[#open + 1] = one
    return one
  end

  local function server_context(also)
    return assert(tls_context.server(certificates.pair("good", also)))
  end

  -- A client and a server that have said nothing yet.
  local function pair(options, client, server)
    local one, other = tls.sockets()
    raw = one
    return keep(assert(luasec.new(one, client or assert(tls_context.client({})), options))),
      keep(assert(luasec.new(other, server or server_context(), options)))
  end

  -- A server, and a socket that speaks no TLS.
  local function half_pair(server)
    local one, other = tls.sockets()
    one:settimeout(20)
    return keep(one), keep(assert(luasec.new(other, server or server_context())))
  end

  local function greet(one, other)
    await(function()
      local first, second = one:handshake(), other:handshake()
      return first and second
    end, "TLS handshake")
    return one, other
  end

  -- Receives until there is something else than "nothing there".
  local function receive(transport)
    local answer
    await(function()
      answer = { transport:receive() }
      return answer[2] ~= "timeout"
    end, "bytes or end")
    return answer[1], answer[2], answer[3]
  end

  local function dies(transport, word, message)
    local _, why, told = receive(transport)
    assert.equal(word, why)
    if message then assert.matches(message, told) end
    -- Nothing of this asks LuaSec again, which would spin for ever.
    for _ = 1, 3 do
      assert.equal(word, (select(2, transport:receive())))
      assert.same({ nil, word, 1 }, { transport:send("x", 1) })
      assert.equal(word, (select(2, transport:handshake())))
      assert.is_false(transport:pending())
    end
    transport:shutdown()
    transport:close()
    transport:close()
    assert.equal(-1, transport:getfd())
  end

  it("does the TLS handshake by receiving and sending, and never waits", function()
    local client, server = pair()
    assert.same({ nil, "timeout" }, { server:receive() })
    assert.same({ true, false }, { server:wants() })
    assert.is_true(client.keeps_offer)
    local from = 1
    await(function()
      from = from == 1 and client:send("hello", 1) or from
      local bytes = server:receive()
      if bytes then assert.equal("hello", bytes) end
      return bytes
    end, "message")
    assert.equal(6, from)
    assert.is_true(server:handshake())
    assert.equal(4, server:send("abc", 2))
    assert.same({ "bc", false }, { receive(client) })
    assert.equal(1, server:send("", 1))
  end)

  it("calls on_secure once, before any byte; what it refuses is the end", function()
    local told = 0
    local client, server = pair({ on_secure = function()
      told = told + 1
      return true
    end })
    greet(client, server)
    server:send("x", 1)
    assert.equal("x", (receive(client)))
    assert.equal(2, told)
    client, server = pair()
    client.on_secure = function() return nil, "certificate", "for somebody else" end
    await(function()
      server:handshake()
      return select(2, client:handshake()) ~= "timeout"
    end, "refusal")
    dies(client, "certificate", "for somebody else")
  end)

  it("does no step of the TLS handshake that its queue does not grant", function()
    local is_open = false
    local client, server = pair({ queue = { may_begin = function() return is_open end } })
    for _ = 1, 20 do assert.same({ nil, "timeout" }, { client:handshake() }) end
    assert.same({ nil, "timeout" }, { server:receive() })
    is_open = true
    greet(client, server)
    is_open = false
    server:send("x", 1)
    assert.equal("x", (receive(client)))
  end)

  it("sends in parts where the peer takes no more; bytes of every record length come as they were", function()
    local client, server = greet(pair())
    for _, size in ipairs({ 1, 8191, 8192, 8193, 16383, 16384, 16385, 65535, 65536, 65537, 16000003 }) do
      local bytes = ("0123456789abcdef"):rep(math.floor(size / 16) + 1):sub(1, size)
      local received, total, from, parts = {}, 0, 1, 0
      await(function()
        if from <= size then
          local done, why, upto = client:send(bytes, from)
          parts = parts + 1
          assert.is_true(done ~= nil or why == "timeout")
          from = done or upto
          if math.type then assert.equal("integer", math.type(from)) end
          assert.same({ true, not done }, { client:wants() })
        end
        local piece, more = server:receive()
        if piece then
          received[#received + 1], total = piece, total + #piece
          assert.equal(server:pending(), more)
        end
        return total >= size
      end, "bytes")
      assert.is_true(table.concat(received) == bytes)
      if size > 1000000 then assert.is_true(parts > 1) end
    end
  end)

  it("leaves nothing decrypted that polling would not show", function()
    local client, server = greet(pair())
    local deadline = socket.gettime() + 20
    -- The second flood is longer than what came last.
    for _, size in ipairs({ 10, 100000, 50 }) do
      client:send(("x"):rep(size), 1)
      local total = 0
      while total < size and socket.gettime() < deadline do
        local bytes, more = server:receive()
        if bytes then
          total = total + #bytes
          if not more then assert.is_false(server.socket:dirty()) end
        end
      end
      assert.equal(size, total)
    end
  end)

  it("gives what came before a close_notify, then closed", function()
    local client, server = greet(pair())
    client:send("last words", 1)
    client:close()
    assert.equal("last words", (receive(server)))
    dies(server, "closed")
  end)

  it("can still receive when it has ended its sending direction; the peer reads all that was sent", function()
    local client, server = greet(pair())
    client:send("question", 1)
    client:shutdown()
    server:send("answer", 1)
    assert.equal("answer", (receive(client)))
    assert.equal("question", (receive(server)))
    dies(server, "closed")
  end)

  describe("after a fatal error never asks LuaSec again:", function()
    it("FIN before, in the middle of and after the TLS handshake", function()
      local client, server = half_pair()
      client:close()
      dies(server, "closed")
      client, server = half_pair()
      client:send("\22\3\1\1")
      client:close()
      dies(server, "closed")
      local one, other = greet(pair())
      one:shutdown()
      dies(other, "closed")
    end)

    it("a reset", function()
      local client, server = half_pair()
      client:setoption("linger", { on = true, timeout = 0 })
      client:close()
      dies(server, "closed")
      local one, other = greet(pair())
      one:close(0)
      dies(other, "closed")
    end)

    it("a record that is damaged, and one of a bad length", function()
      for _, record in ipairs({ "\23\3\3\0\20" .. ("x"):rep(20), "\23\3\3\255\255" .. ("x"):rep(100),
        "\23\3\3\0\0", "no TLS at all, but plain text" }) do
        local one, other = greet(pair())
        raw:setfd(one:getfd())
        raw:send(record)
        raw:setfd(-1)
        dies(other, "tls")
      end
      local client, server = half_pair()
      client:send("\22\3\1\255\255")
      dies(server, "tls")
    end)

    it("a version that is too old", function()
      local ssl = assert(tls_context.library())
      local old = ssl.newcontext({ mode = "client", protocol = "tlsv1_1", ciphers = "ALL:@SECLEVEL=0" })
      local client, server = pair(nil, old)
      await(function()
        client:handshake()
        return select(2, server:handshake()) ~= "timeout"
      end, "refusal")
      dies(server, "tls", "unsupported protocol")
    end)

    it("a function of the application that raises in the TLS handshake", function()
      local client, server = pair(nil, assert(tls_context.client({ alpn = "x" })),
        server_context({ alpn = function() error("oops", 0) end }))
      local message
      await(function()
        client:handshake()
        local is_good, err = pcall(server.handshake, server)
        message = err
        return not is_good
      end, "error")
      assert.equal("oops", message)
      dies(server, "error")
    end)
  end)

  it("tells plain HTTP from other bytes", function()
    for _, line in ipairs({ "GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\n\r\n" }) do
      local client, server = half_pair()
      client:send(line)
      assert.equal("tls", (select(2, receive(server))))
      local plain, is_http = server:unwrap()
      assert.is_true(is_http)
      assert.equal(9, plain:send("no TLS: x", 1) - 1)
      assert.equal("no TLS: x", client:receive(9))
      client:send("more")
      assert.is_truthy(receive(plain))
      assert.equal(server:getfd(), plain:getfd())
      assert.is_false(plain:pending())
      plain:shutdown()
      assert.same({ nil, "closed" }, { client:receive(1) == nil and nil, (select(2, client:receive(1))) })
      plain:close()
      assert.equal(-1, server:getfd())
      assert.same({ nil, "closed" }, { plain:receive() })
      assert.same({ nil, "closed", 1 }, { plain:send("x", 1) })
    end
    for _, other in ipairs({ "\22\3\1\255\255", "SSH-2.0-OpenSSH_9.2\r\n" }) do
      local client, server = half_pair()
      client:send(other)
      receive(server)
      assert.is_false((select(2, server:unwrap())))
    end
  end)

  it("closes at once though the peer reads nothing", function()
    local client, server = greet(pair())
    local bytes, from, why = ("x"):rep(1000000), 1, nil
    while why ~= "timeout" do
      local done, reason, upto = server:send(bytes, from)
      from, why = done and 1 or upto, reason
    end
    local before = socket.gettime()
    server:close()
    assert.is_true(socket.gettime() - before < 5)
    assert.equal(-1, server:getfd())
    client:close(0)
  end)

  it("resets the connection with a linger of 0", function()
    local client, server = greet(pair())
    client:close(0)
    raw = server:getfd()
    assert.is_true(raw >= 0)
    dies(server, "closed")
  end)

  it("names descriptor and peer, and neither once closed", function()
    local client, server = pair()
    assert.is_true(server:getfd() >= 0 and server:getfd() % 1 == 0)
    local ip, port = server:peer()
    assert.equal("127.0.0.1", ip)
    assert.is_true(port > 0)
    if math.type then assert.equal("integer", math.type(port)) end
    if math.type then assert.equal("integer", math.type(server:getfd())) end
    client:close()
    assert.equal(-1, client:getfd())
    assert.same({ "", 0 }, { client:peer() })
    assert.same({ nil, "closed", "closed" }, { client:receive() })
    assert.same({ nil, "closed", 1 }, { client:send("x", 1) })
    client:shutdown()
  end)

  it("wraps what has a descriptor, and takes a LuaSec connection before or after its handshake", function()
    local one, other = tls.sockets()
    local fd = one:getfd()
    one:setfd(-1)
    local client = keep(luasec.new({ getfd = function() return fd end, setfd = function() end },
      assert(tls_context.client({}))))
    local ssl = assert(tls_context.library())
    local made = assert(ssl.wrap(other, server_context()))
    local server = keep(luasec.adopt(made))
    greet(client, server)
    local again = luasec.adopt(made)
    assert.is_true(again:handshake())
    client:send("x", 1)
    assert.equal("x", (receive(again)))
  end)
end)
