--- How a connection ends of which the peer does not take all: it is reset where it is given up, so that the system
-- keeps nothing, and only there.
-- @module spec.behaviour.given_up_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local KIB = 1024
local WRITE_BINARY = 1
local PIECE = ("p"):rep(64 * KIB)
-- More than what the system may take a moment later.
local MUCH = ("m"):rep(4 * 1024 * KIB)

-- A server with an open connection whose peer reads nothing.
local function start(options)
  local handler, log = server.recorder()
  options.protocols = { slow = handler }
  local run = server.start(options)
  local peer = client.open(run, "slow")
  return run, log.ws[1], peer, log
end

-- Writes until the socket takes no more and stays full. Returns how many pieces, before one large message.
local function fill(run, ws)
  local count = 0
  run:pump(function()
    assert.equal(0, ws:write(PIECE, WRITE_BINARY))
    count = count + 1
    return ws:buffered() > 0
  end, "a full socket")
  assert.equal(0, ws:write(MUCH, WRITE_BINARY))
  run:calm(ws)
  assert.is_true(ws:buffered() > 1024 * KIB)
  return count
end

-- Whether the system has told the peer of a reset: it does so once.
local function was_reset(peer)
  return peer.connection:getoption("error") ~= nil
end

-- Counts the sockets of a port that still have to send, by state.
local function states_of(port)
  local counts = {}
  for line in io.lines("/proc/net/tcp") do
    local place, state = line:match("^%s*%d+: %x+:(%x+) %x+:%x+ (%x%x)")
    if place and tonumber(place, 16) == port then
      local name = state == "04" and "FIN_WAIT1" or state
      counts[name] = (counts[name] or 0) + 1
    end
  end
  return counts
end

describe("a peer that is given up", function()
  local can_ask = pcall(function()
    local probe = require("socket").tcp4()
    probe:getoption("error")
    probe:close()
  end)
  if not can_ask then return pending("needs LuaSocket with the option 'error'") end

  after_each(server.stop_all)

  it("as slow is reset after close_timeout", function()
    local run, ws, peer, log = start({ max_buffered_bytes = 256 * KIB })
    run:fake_time()
    fill(run, ws)
    ws:write(PIECE, WRITE_BINARY)
    run:calm(ws)
    run:expire(ws, 5, function()
      local is_over = log.closed[1] ~= nil
      -- The system tells of it once.
      if not is_over then assert.is_false(was_reset(peer)) end
      return is_over
    end)
    assert.equal("slow", log.closed[1][5])
    assert.is_true(was_reset(peer))
  end)

  it("as slow is reset at once where all that waits is past twice the limit of the context", function()
    local run, ws, peer, log = start({ max_buffered_total_bytes = 1024 * KIB })
    run:fake_time()
    -- However much of it the system takes.
    ws:write(MUCH:rep(4), WRITE_BINARY)
    run:pump(function() return log.closed[1] end)
    assert.equal("slow", log.closed[1][5])
    assert.is_true(was_reset(peer))
  end)

  it("while it closes is reset after close_timeout", function()
    local run, ws, peer, log = start({})
    run:fake_time()
    fill(run, ws)
    ws:close(1000)
    run:expire(ws, 5, function() return log.closed[1] end)
    assert.equal("timeout", log.closed[1][5])
    assert.is_true(was_reset(peer))
  end)

  it("in the midst of an HTTP answer is reset after response_timeout", function()
    local run = server.start({ on_http = function(ws) ws:respond(200, nil, ("x"):rep(32 * 1024 * KIB)) end })
    local peer = client.connect(run)
    peer.connection:send(client.request("/"))
    run:pump(function() return inside.buffered(run.context) > 0 end)
    run:settle()
    run:fake_time()
    run:pump(function()
      run:advance(31)
      return inside.connections(run.context) == 0
    end)
    assert.is_true(was_reset(peer))
  end)

  it("by destroy is reset where bytes wait, and gets its close frame where none do", function()
    local run, ws, peer = start({})
    fill(run, ws)
    run.context:destroy()
    assert.is_true(was_reset(peer))
    run, ws, peer = start({})
    ws:write("last words")
    run.context:destroy()
    run.turn = function() end
    assert.is_false(was_reset(peer))
    assert.same({ 1, "last words" }, { peer:message() })
    assert.same({ 8, "\3\233" }, { peer:message() })
  end)

  it("with bytes in the system only: it drops them when none is taken for close_timeout", function()
    if not server.is_native then return pending("needs the accelerator: LuaSocket has no such option") end
    local run, ws, _, log = start({ close_timeout = 0.05 })
    for _ = 1, 16 do ws:write(PIECE, WRITE_BINARY) end
    run:pump(function() return ws:buffered() == 0 end)
    ws:close(1000)
    run:pump(function() return log.closed[1] end)
    assert.equal("timeout", log.closed[1][5])
    run:pump(function() return states_of(run.port).FIN_WAIT1 == nil end, "the system to give up")
  end)
end)

describe("a slow reader", function()
  after_each(server.stop_all)

  it("that takes something within each close_timeout gets all of it, and the close frame", function()
    local run, ws, peer, log = start({})
    run:fake_time()
    local count = fill(run, ws)
    ws:close(1000)
    while ws:buffered() > 0 do
      local before = ws:buffered()
      run:advance(4.7)
      run:pump(function()
        peer:poll()
        return ws:buffered() < before
      end)
      run:advance(0.2)
      assert.equal(0, #log.closed)
    end
    for _ = 1, count do assert.equal(#PIECE, #select(2, peer:message())) end
    assert.equal(#MUCH, #select(2, peer:message()))
    assert.same({ 8, "\3\232" }, { peer:message() })
    peer:write(8, "\3\232")
    run:pump(function() return log.closed[1] end)
    assert.is_true(log.closed[1][4])
  end)

  it("of a connection that is closed at once gets what had left: no reset", function()
    local run, ws, peer = start({})
    fill(run, ws)
    ws:close(0)
    run:settle()
    local bytes = peer:drain()
    assert.equal("closed", peer.ended)
    assert.is_true(#bytes > 256 * KIB)
    assert.is_nil((peer.connection:receive(1)))
  end)
end)
