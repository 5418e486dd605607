--- The transport of LuaSocket, over real sockets.
-- @module spec.unit.transport.luasocket_spec

local socket = require "socket"
local luasocket = require "websockets.transport.luasocket"

local DEADLINE_SECONDS = 20

describe("websockets.transport.luasocket", function()
  local open

  local function raw_pair()
    local listener = assert(socket.bind("127.0.0.1", 0))
    listener:settimeout(DEADLINE_SECONDS)
    local ip, port = listener:getsockname()
    local one = assert(socket.connect(ip, port))
    local other = assert(listener:accept())
    listener:close()
    open[#open + 1], open[#open + 2] = one, other
    return one, other
  end

  local function pair()
    local one, other = raw_pair()
    return luasocket.new(one), luasocket.new(other)
  end

  -- Receives until there is something else than "nothing there".
  local function receive(transport)
    local deadline = socket.gettime() + DEADLINE_SECONDS
    repeat
      local bytes, why = transport:receive()
      if bytes or why ~= "timeout" then return bytes, why end
      socket.select({ transport.socket }, nil, DEADLINE_SECONDS)
    until socket.gettime() > deadline
    return nil, "deadline"
  end

  before_each(function() open = {} end)

  after_each(function()
    for _, one in ipairs(open) do one:close() end
  end)

  it("connects, and tells when it has", function()
    local listener = assert(socket.bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    open[1] = listener
    local function settled(transport, why)
      local is_connected
      repeat
        if not why then
          socket.select(nil, { transport.socket }, DEADLINE_SECONDS)
          is_connected, why = transport:connected()
        end
      until is_connected or why
      return is_connected, why
    end
    local transport, why = luasocket.connect({ "tcp4", "127.0.0.1" }, port)
    open[2] = transport
    assert.is_true(settled(transport, why))
    listener:close()
    transport, why = luasocket.connect({ "tcp4", "127.0.0.1" }, port)
    open[3] = transport
    assert.same({ nil, "connection refused" }, { settled(transport, why) })
  end)

  it("takes a socket that is connected to itself for refused", function()
    local one = assert(socket.tcp4())
    open[1] = one
    assert(one:bind("127.0.0.1", 0))
    local ip, port = one:getsockname()
    assert(one:connect(ip, port))
    one:send("x")
    assert.equal("x", one:receive(1))
    assert.same({ nil, "connection refused" }, { luasocket.new(one):connected() })
  end)

  it("does not wait where nothing is there", function()
    local a = pair()
    assert.same({ nil, "timeout" }, { a:receive() })
    assert.is_false(a:pending())
  end)

  it("gives what has come, all bytes as they are", function()
    local a, b = pair()
    assert.equal(5, a:send("\0\1\r\n", 1))
    assert.same({ "\0\1\r\n", false }, { receive(b) })
    assert.equal(4, a:send("abc", 2))
    assert.same({ "bc", false }, { receive(b) })
    assert.equal(1, a:send("", 1))
  end)

  it("sends in parts where the peer takes no more, and tells where to go on", function()
    local a, b = pair()
    local size = 16 * 1024 * 1024
    local bytes, received, from, parts = ("0123456789abcdef"):rep(size / 16), {}, 1, 0
    local done, why, upto = a:send(bytes, from)
    assert.same({ nil, "timeout" }, { done, why })
    assert.is_true(upto > 1 and upto <= size)
    if math.type then assert.equal("integer", math.type(upto)) end
    local _, none, stays = a:send(bytes, upto)
    assert.equal("timeout", none)
    assert.is_true(stays >= upto)
    from = stays
    local total = 0
    while total < size do
      local piece = assert(receive(b))
      received[#received + 1], total = piece, total + #piece
      if not done then
        done, why, upto = a:send(bytes, from)
        parts = parts + 1
        from = done or upto
        assert.is_true(done ~= nil or why == "timeout")
      end
    end
    assert.equal(size + 1, done)
    assert.is_true(parts > 1)
    assert.is_true(table.concat(received) == bytes)
  end)

  it("gives what came before the end, then closed", function()
    local a, b = pair()
    a:send("last words", 1)
    a:close()
    assert.equal("last words", (receive(b)))
    assert.same({ nil, "closed" }, { receive(b) })
    assert.same({ nil, "closed" }, { receive(b) })
  end)

  it("can still receive when it has ended its sending direction", function()
    local a, b = pair()
    a:send("question", 1)
    a:shutdown()
    assert.equal("question", (receive(b)))
    assert.same({ nil, "closed" }, { receive(b) })
    assert.equal(7, b:send("answer", 1))
    assert.equal("answer", (receive(a)))
    assert.equal("closed", select(2, a:send("more", 1)))
  end)

  it("tells of a connection that was reset, in receiving and in sending, and does not raise", function()
    local a, b = pair()
    a.socket:setoption("linger", { on = true, timeout = 0 })
    a:close()
    local _, why = receive(b)
    assert.truthy(why == "closed" or why == "reset", why)
    local done, why_not, upto = b:send("x", 1)
    assert.is_nil(done)
    assert.truthy(why_not == "closed" or why_not == "reset", why_not)
    assert.equal(1, upto)
  end)

  it("keeps what LuaSocket has read ahead", function()
    local one, other = raw_pair()
    one:send("first line\nand the rest")
    other:settimeout(DEADLINE_SECONDS)
    assert.equal("first line", other:receive("*l"))
    local b = luasocket.new(other)
    assert.is_true(b:pending())
    assert.same({ "and the rest", false }, { b:receive() })
    assert.is_false(b:pending())
  end)

  it("leaves nothing of a flood unread that polling would not show", function()
    local a, b = pair()
    local size, total = 1000003, 0
    local bytes, from, deadline = ("x"):rep(size), 1, socket.gettime() + DEADLINE_SECONDS
    while total < size and socket.gettime() < deadline do
      if from <= size then
        local done, _, upto = a:send(bytes, from)
        from = done or upto
      end
      local piece, more = b:receive()
      if piece then
        total = total + #piece
        assert.equal(b:pending(), more)
        if not more then assert.is_false(b.socket:dirty()) end
      end
    end
    assert.equal(size, total)
    assert.same({ nil, "timeout" }, { b:receive() })
  end)

  it("names descriptor and peer, and neither once closed", function()
    local a, b = pair()
    assert.is_true(a:getfd() >= 0 and a:getfd() % 1 == 0)
    local _, port = b.socket:getsockname()
    assert.same({ "127.0.0.1", tonumber(port) }, { a:peer() })
    if math.type then assert.equal("integer", math.type(a:getfd())) end
    a:close()
    assert.equal(-1, a:getfd())
    assert.same({ "", 0 }, { a:peer() })
    assert.same({ nil, "closed" }, { a:receive() })
    assert.same({ nil, "closed", 1 }, { a:send("x", 1) })
    a:close()
  end)

  it("takes the prefix of an IPv4 address inside IPv6 away", function()
    local fake = { settimeout = function() end, getpeername = function() return "::ffff:10.0.0.1", "80" end }
    assert.same({ "10.0.0.1", 80 }, { luasocket.new(fake):peer() })
    fake.getpeername = function() return "::1", 81 end
    assert.same({ "::1", 81 }, { luasocket.new(fake):peer() })
    fake.getpeername = nil
    assert.same({ "", 0 }, { luasocket.new(fake):peer() })
  end)

  it("calls every failure that LuaSocket words otherwise reset", function()
    local fake = { settimeout = function() end, receive = function() return nil, "Broken pipe", "" end,
      send = function() return nil, "Broken pipe", 3 end }
    local transport = luasocket.new(fake)
    assert.same({ nil, "reset" }, { transport:receive() })
    assert.same({ nil, "reset", 4 }, { transport:send("abcdef", 2) })
  end)
end)
