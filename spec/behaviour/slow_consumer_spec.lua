--- Peers that do not read: what is queued for them, the policies when that is too much, and on_drain.
-- @module spec.behaviour.slow_consumer_spec
local await = require("spec.support.await")
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local unpack = table.unpack or unpack
local WRITE_BINARY = 1
local KIB = 1024
local PIECE = ("p"):rep(64 * KIB - 8)

-- A server with one peer that does not read and one that does; `stuck` is full to the brim of the system's buffers.
local function start(options, also)
  local handler, log = server.recorder(also)
  options.protocols = { slow = handler, quick = server.echo }
  options.max_buffered_bytes = options.max_buffered_bytes or 256 * KIB
  local run = server.start(options)
  local peer, witness = client.open(run, "slow"), client.open(run, "quick")
  return run, log.ws[1], peer, log, witness
end

-- Writes until the socket takes no more and something stays in the queue.
local function fill(run, ws)
  run:pump(function()
    ws:write(PIECE, WRITE_BINARY)
    return ws:buffered() > 0
  end, "a full socket")
end

local function all_messages(peer)
  local list = {}
  while true do
    local opcode, payload = peer:message()
    if not opcode then return list end
    list[#list + 1] = { opcode, payload }
    if opcode == 8 then return list end
  end
end

local function assert_served(witness)
  witness:text("quick")
  assert.same({ 1, "quick" }, { witness:message() })
end

-- Numbered messages of about 64 KiB.
local function numbered(i) return ("%08d"):format(i) .. PIECE end

local function write_until(ws, why_or_count)
  local written = 0
  while written < 10000 do
    local result, why = ws:write(numbered(written + 1), WRITE_BINARY)
    if why == why_or_count then return written, result, why end
    written = written + 1
    if written == why_or_count then return written end
  end
  error("never")
end

describe("high_water_bytes", function()
  after_each(server.stop_all)

  it("below it a write inside a turn waits for its end, passing it flushes at once", function()
    local seen = {}
    local run, _, peer = start({}, function(ws)
      ws:on_receive(function()
        ws:write(("a"):rep(60 * KIB), WRITE_BINARY)
        seen[1] = ws:buffered()
        ws:write(("a"):rep(60 * KIB), WRITE_BINARY)
        seen[2] = ws:buffered()
      end)
    end)
    peer:text("go")
    run:pump(function() return seen[2] end)
    assert.is_true(seen[1] >= 60 * KIB)
    assert.is_true(seen[2] < 64 * KIB)
    run:settle()
    assert.equal(2, #select(2, peer:message()) / (60 * KIB) + #select(2, peer:message()) / (60 * KIB))
  end)

  it("the default is 64 KiB", function()
    local run = start({})
    assert.equal(64 * KIB, inside.settings(run.context).high_water_bytes)
  end)
end)

describe("max_buffered_bytes and slow_consumer", function()
  after_each(server.stop_all)

  it("the limit is judged on what remains after a flush: one message of any size passes", function()
    local run, ws, peer = start({ max_buffered_bytes = 64 * KIB })
    local big = ("b"):rep(3 * 1024 * KIB)
    assert.equal(0, ws:write(big, WRITE_BINARY))
    assert.equal(#big, #select(2, peer:message()))
    run:settle()
  end)

  it("close: messages not begun are dropped, the begun frame is finished, then 1013", function()
    local _, ws, peer, log, witness = start({})
    local written = write_until(ws, "full")
    assert.is_true(ws:buffered() <= 256 * KIB + 2 * #PIECE)
    assert.same({ -1, "closing" }, { ws:write("more") })
    assert_served(witness)
    local got = all_messages(peer)
    for i = 1, #got - 1 do assert.equal(i, tonumber(got[i][2]:sub(1, 8))) end
    assert.is_true(#got - 1 < written)
    assert.same({ 8, "\3\245" }, got[#got])
    peer:close()
    peer.server:pump(function() return log.closed[1] end)
    assert.same({ 1013, "", false, "slow" }, { unpack(log.closed[1], 2, 5) })
  end)

  it("close: a peer that reads nothing is reset after close_timeout", function()
    local run, ws, peer, log, witness = start({})
    run:fake_time()
    write_until(ws, "full")
    run:expire(ws, 5, function() return log.closed[1] end)
    assert.equal("slow", log.closed[1][5])
    assert.equal(-1, ws:get_socket_fd())
    assert_served(witness)
    assert.is_true(inside.buffered(run.context) < 64 * KIB)
    peer:await_end()
  end)

  it("drop_new: write says full, what was queued arrives whole and in order, later messages too", function()
    local run, ws, peer, log, witness = start({ slow_consumer = "drop_new" })
    local written, result = write_until(ws, "full")
    assert.equal(-1, result)
    assert_served(witness)
    for i = 1, written do assert.equal(i, tonumber(select(2, peer:message()):sub(1, 8))) end
    assert.equal(0, ws:write("after"))
    assert.same({ 1, "after" }, { peer:message() })
    assert.equal(0, #log.closed)
    run:settle()
  end)

  it("drop_old: the oldest not begun are dropped, the newest arrives, order is kept", function()
    local _, ws, peer, log, witness = start({ slow_consumer = "drop_old" })
    write_until(ws, 400)
    assert.is_true(ws:buffered() <= 256 * KIB + 2 * #PIECE)
    assert_served(witness)
    local last, count = 0, 0
    repeat
      local number = tonumber(select(2, peer:message()):sub(1, 8))
      assert.is_true(number > last)
      last, count = number, count + 1
    until last == 400
    assert.is_true(count < 400)
    assert.equal(0, #log.closed)
  end)

  it("conflate: only the newest of what had not begun is kept", function()
    local _, ws, peer, log = start({ slow_consumer = "conflate" })
    write_until(ws, 400)
    local last, count = 0, 0
    repeat
      local number = tonumber(select(2, peer:message()):sub(1, 8))
      assert.is_true(number > last)
      last, count = number, count + 1
    until last == 400
    assert.is_true(count < 400)
    assert.equal(0, #log.closed)
  end)

  it("broadcasts follow the same policies", function()
    local cases = { close = { -1, "closing" }, drop_new = { -1, "full" }, drop_old = { 0 }, conflate = { 0 } }
    for policy, expected in pairs(cases) do
      local run, ws, _, _, witness = start({ slow_consumer = policy })
      ws:on_broadcast(WRITE_BINARY)
      for i = 1, 300 do assert.equal(0, run.context:broadcast("slow", numbered(i))) end
      assert.is_true(ws:buffered() <= 256 * KIB + 2 * #PIECE)
      assert.same(expected, { ws:write(PIECE, WRITE_BINARY) })
      assert_served(witness)
      run:stop()
    end
  end)

  it("control frames and fragments are never dropped", function()
    local _, ws, peer = start({ slow_consumer = "drop_old" })
    write_until(ws, 100)
    ws:write("frag", WRITE_BINARY + 0x40)
    ws:write("ment", 2)
    ws:ping("keep me")
    write_until(ws, 300)
    local seen = {}
    repeat
      local opcode, payload = peer:message()
      if opcode == 9 then seen.ping = payload elseif payload == "fragment" then seen.fragment = true end
    until payload:sub(1, 8) == "00000300"
    assert.same({ ping = "keep me", fragment = true }, seen)
  end)

  it("close: messages held until the last fragment do not follow the close frame", function()
    local run, ws, peer, log = start({ max_buffered_bytes = 1024 * KIB })
    run:pump(function()
      if ws:buffered() <= 512 * KIB then ws:write(PIECE, WRITE_BINARY) end
      return ws:buffered() > 512 * KIB
    end, "a full socket")
    run:calm(ws)
    assert.equal(0, ws:write("begun", WRITE_BINARY + 0x40))
    assert.equal(0, ws:write(("h"):rep(400 * KIB), WRITE_BINARY))
    for _ = 1, 2 do assert.equal(0, ws:write("held", WRITE_BINARY)) end
    -- Pings pass: with them the first of the held is the last that finds room.
    local pings = 0
    while ws:buffered() < 1100 * KIB and pings < 100000 do
      pings = pings + 1
      assert.equal(0, ws:ping(("p"):rep(125)))
    end
    assert.equal(0, ws:write("ended", 2))
    assert.same({ -1, "closing" }, { ws:write("x") })
    assert.equal("\128\5ended\136\2\3\245", peer:drain():sub(-11))
    peer:close()
    run:pump(function() return log.closed[1] end, "on_closed")
    assert.same({ 1013, "", false, "slow" }, { unpack(log.closed[1], 2, 5) })
  end)

  it("the default limit is 16 MiB, 256 MiB for all", function()
    local run = server.start({})
    local settings = inside.settings(run.context)
    assert.same({ 16 * KIB * KIB, 256 * KIB * KIB, "close" },
      { settings.max_buffered_bytes, settings.max_buffered_total_bytes, settings.slow_consumer })
  end)
end)

describe("max_buffered_total_bytes", function()
  after_each(server.stop_all)

  for _, policy in ipairs({ "close", "drop_old" }) do
    it("passing it costs the largest queue first, by its policy: " .. policy, function()
      local handler, log = server.recorder()
      local run = server.start({
        protocols = { slow = handler, quick = server.echo }, slow_consumer = policy,
        max_buffered_bytes = 1e9, max_buffered_total_bytes = 2048 * KIB,
      })
      local witness = client.open(run, "quick")
      local peers = {}
      for i = 1, 2 do
        peers[i] = client.open(run, "slow")
        fill(run, log.ws[i])
      end
      log.ws[2]:write(PIECE:rep(4), WRITE_BINARY)
      for _ = 1, 64 do log.ws[1]:write(PIECE, WRITE_BINARY) end
      run:settle()
      assert.is_true(inside.buffered(run.context) <= 2048 * KIB)
      assert.equal(policy == "close" and -1 or 0, (log.ws[1]:write("a")))
      assert.equal(0, (log.ws[2]:write("a")))
      assert_served(witness)
      local last, before
      repeat
        before = last
        last = select(2, peers[2]:message())
      until last == "a"
      assert.equal(4 * #PIECE, #before)
    end)
  end
end)

describe("on_drain", function()
  after_each(server.stop_all)

  it("fires once when the queue that the socket could not take is empty again, never before", function()
    local drained = {}
    local run, ws, peer = start({ max_buffered_bytes = 1e9 }, function(ws)
      ws:on_drain(function(...) drained[#drained + 1] = { select("#", ...), ... } end)
    end)
    ws:write("small")
    run:settle()
    assert.equal(0, #drained)
    fill(run, ws)
    run:settle()
    assert.equal(0, #drained)
    run:pump(function()
      peer:poll()
      peer:take()
      return drained[1]
    end, "on_drain")
    assert.equal(0, ws:buffered())
    assert.same({ 1, ws }, drained[1])
    run:settle()
    assert.equal(1, #drained)
  end)

  it("has what it writes to others sent in the same turn", function()
    local handler, log = server.recorder()
    local run = server.start({ protocols = { a = handler }, max_buffered_bytes = 1, slow_consumer = "drop_new" })
    local peer, other = client.open(run, "a"), client.open(run, "a")
    local slow, quick = log.ws[1], log.ws[2]
    slow:on_drain(function() quick:write("drained") end)
    repeat until slow:write(PIECE, WRITE_BINARY) == -1
    -- When it has room again, it is asked for it by this write, outside of a turn.
    await(function()
      peer:poll()
      return slow:write("x") == 0
    end, "room")
    function run.turn() end
    assert.same({ 1, "drained" }, { other:message() })
  end)
end)
