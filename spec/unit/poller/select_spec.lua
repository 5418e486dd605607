--- Which sockets are ready: select over real sockets.
-- @module spec.unit.poller.select_spec

local socket = require "socket"
local select_poller = require "websockets.poller.select"
local luasocket = require "websockets.transport.luasocket"
local memory = require "websockets.transport.memory"

local DEADLINE_SECONDS = 20

describe("websockets.poller.select", function()
  local poller, open, readable, writable

  -- Two connected transports.
  local function pair()
    local listener = assert(socket.bind("127.0.0.1", 0))
    listener:settimeout(DEADLINE_SECONDS)
    local ip, port = listener:getsockname()
    local one = assert(socket.connect(ip, port))
    local other = assert(listener:accept())
    listener:close()
    one, other = luasocket.new(one), luasocket.new(other)
    open[#open + 1], open[#open + 2] = one, other
    return one, other
  end

  local function wait(seconds)
    readable, writable = {}, {}
    return poller.wait(poller.source, seconds, {}, readable, writable)
  end

  before_each(function()
    poller, open = select_poller.new(), {}
  end)

  after_each(function()
    for _, transport in ipairs(open) do transport:close() end
  end)

  it("ends a wait without end that is interrupted, after the part that is going on", function()
    local waits = 0
    poller.select = function(_, _, seconds)
      waits = waits + 1
      assert.is_true(seconds <= 0.5)
      if waits == 3 then poller:interrupt() end
      assert.is_true(waits <= 3)
      return {}, {}
    end
    assert.same({ 0, 0 }, { wait(nil) })
    assert.equal(3, waits)
    -- Only that one.
    poller.select = function(_, _, seconds)
      waits = waits + 1
      return {}, {}, seconds
    end
    wait(2)
    assert.equal(7, waits)
  end)

  it("reports owners of sockets with bytes to read, and no others", function()
    local a, b = pair()
    local c = pair()
    poller:watch(b, "b", true, false)
    poller:watch(c, "c", true, false)
    assert.same({ 0, 0 }, { wait(0) })
    a:send("x", 1)
    assert.same({ 1, 0 }, { wait(DEADLINE_SECONDS) })
    assert.same({ { "b" }, {} }, { readable, writable })
  end)

  it("reports owners of sockets that take bytes", function()
    local a = pair()
    poller:watch(a, "a", true, true)
    assert.same({ 0, 1 }, { wait(DEADLINE_SECONDS) })
    assert.same({ {}, { "a" } }, { readable, writable })
    poller:watch(a, "a", true, false)
    assert.same({ 0, 0 }, { wait(0) })
  end)

  it("does not report a socket as writable while the peer takes nothing", function()
    local a, b = pair()
    local piece = ("x"):rep(65536)
    local deadline, taken = socket.gettime() + DEADLINE_SECONDS, 0
    poller:watch(a, "a", false, true)
    -- The system may still be moving bytes into the peer's buffer.
    repeat
      while a:send(piece, 1) do end
    until select(2, wait(0)) == 0 or socket.gettime() > deadline
    assert.same({}, writable)
    repeat
      local bytes = b:receive()
      taken = taken + (bytes and #bytes or 0)
    until select(2, wait(0)) == 1 or socket.gettime() > deadline
    assert.same({ "a" }, writable)
    assert.is_true(taken > 0)
  end)

  it("reports the end of a connection as something to read", function()
    local a, b = pair()
    poller:watch(b, "b", true, false)
    a:close()
    assert.same({ 1, 0 }, { wait(DEADLINE_SECONDS) })
    assert.same({ nil, "closed" }, { b:receive() })
  end)

  it("reports what LuaSocket has read ahead, that the system does not show", function()
    local a, b = pair()
    a:send("line\nrest", 1)
    b.socket:settimeout(DEADLINE_SECONDS)
    assert.equal("line", b.socket:receive("*l"))
    b.socket:settimeout(0)
    poller:watch(b, "b", true, false)
    assert.same({ 1, 0 }, { wait(0) })
    assert.equal("rest", (b:receive()))
    assert.same({ 0, 0 }, { wait(0) })
  end)

  it("keeps the others when any of them is taken out", function()
    for out = 1, 4 do
      poller = select_poller.new()
      local mine, theirs = {}, {}
      for i = 1, 4 do
        mine[i], theirs[i] = pair()
        poller:watch(mine[i], i, true, true)
        theirs[i]:send("x", 1)
      end
      poller:watch(mine[out], out, false, false)
      poller:watch(mine[out], out, false, false)
      local expected, deadline = 0, socket.gettime() + DEADLINE_SECONDS
      repeat until wait(0) == 3 or socket.gettime() > deadline
      for i = 1, 4 do expected = expected + (i == out and 0 or i) end
      for _, list in ipairs({ readable, writable }) do
        local sum = 0
        for _, owner in ipairs(list) do sum = sum + owner end
        assert.same({ 3, expected }, { #list, sum })
      end
      poller:watch(mine[out], out, true, false)
      repeat until wait(0) == 4 or socket.gettime() > deadline
      assert.same({ 4, 3 }, { #readable, #writable })
      for left = 3, 0, -1 do
        local leaving = (out + left) % 4 + 1
        poller:watch(mine[leaving], leaving, false, false)
        assert.equal(left, (wait(0)))
        for _, owner in ipairs(readable) do assert.not_equal(leaving, owner) end
      end
      assert.same({ 0, 0 }, { wait(0) })
    end
  end)

  it("passes over a descriptor above what select can watch", function()
    local a, b = pair()
    poller.limit = b:getfd()
    assert.is_false(poller:can_watch(b:getfd()))
    assert.is_true(poller:can_watch(b:getfd() - 1))
    assert.is_false(poller:can_watch(-1))
    a:send("x", 1)
    poller:watch(b, "b", true, true)
    assert.same({ 0, 0 }, { wait(0) })
    poller:watch(b, "b", false, false)
    assert.same({ 0, 0 }, { wait(0) })
  end)

  it("passes over a real descriptor that select would raise for", function()
    local last
    repeat
      last = socket.tcp4()
      open[#open + 1] = last
    until not last or last:getfd() >= poller.limit
    if not last then return pending("needs descriptors above the set of select") end
    local transport = luasocket.new(last)
    poller:watch(transport, "high", true, true)
    assert.same({ 0, 0 }, { wait(0) })
    poller:watch(transport, "high", false, false)
  end)

  it("has the limit of the select that is installed", function()
    assert.equal(socket._SETSIZE, poller.limit)
  end)

  it("passes over a transport that has no socket", function()
    local end_here = memory.pair()
    poller:watch(end_here, "memory", true, false)
    poller:watch(end_here, "memory", true, true)
    poller:watch(end_here, "memory", false, false)
    assert.same({ 0, 0 }, { wait(0) })
  end)

  it("watches nothing of a transport that was closed", function()
    local a, b = pair()
    poller:watch(a, "a", true, false)
    a:close()
    assert.same({ 0, 0 }, { wait(0) })
    poller:watch(a, "a", true, true)
    poller:watch(a, "a", false, false)
    poller:watch(b, "b", true, false)
    assert.same({ 1, 0 }, { wait(DEADLINE_SECONDS) })
  end)
end)
