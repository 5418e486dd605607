--- What a connection sends, over a wire that says full when it is told to: the policies, fragments, control frames.
-- @module spec.unit.connection.outbox_spec
local fakes = require("spec.support.fakes")
local outbox = require("websockets.connection.outbox")

local CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
local TRY_AGAIN_LATER = "\3\245"
local HIGH_WATER_BYTES = 1000

-- An open connection with a policy, whose wire refuses so many pushes and gives so many bytes when it has to drop.
local function start(policy, refusals, ...)
  local context = fakes.context({
    slow_consumer = policy, high_water_bytes = HIGH_WATER_BYTES, max_buffered_bytes = 5000,
  })
  local ws, wire = fakes.connection(context)
  wire.refusals, wire.drops = refusals or 0, { ... }
  return ws, wire
end

-- What is sent where the queue is full: how, and the frame.
local SENDINGS = {
  { "a message", function(ws) return outbox.send(ws, TEXT, "text", true, true) end, { TEXT, "text", true, true } },
  { "a first fragment", function(ws) return outbox.send(ws, BINARY, "piece", false) end, { BINARY, "piece", false } },
  { "a ping", function(ws) return outbox.send_control(ws, PING, "p") end, { PING, "p" } },
  { "a pong", function(ws) return outbox.send_control(ws, PONG, "p") end, { PONG, "p" } },
}

describe("a full queue", function()
  for _, sending in ipairs(SENDINGS) do
    local what, send, frame = sending[1], sending[2], sending[3]

    for policy, enough in pairs({ drop_old = HIGH_WATER_BYTES, conflate = math.huge }) do
      it(("%s: %s is sent in place of messages that are dropped"):format(policy, what), function()
        local ws, wire = start(policy, 1, 10)
        assert.same({ 0 }, { send(ws) })
        assert.same({ frame }, wire.pushed)
        assert.same({ enough }, wire.dropped)
        assert.equal("open", ws.state)
      end)

      it(("%s: %s is refused where nothing can be dropped, and where that was not enough"):format(policy, what),
        function()
          assert.same({ -1, "full" }, { send((start(policy, 1))) })
          local ws, wire = start(policy, 2, 10)
          assert.same({ -1, "full" }, { send(ws) })
          assert.same({ {}, { enough } }, { wire.pushed, wire.dropped })
          assert.same({ "open", false }, { ws.state, ws.fragment })
        end)
    end

    it(("drop_new: %s is refused, and nothing is dropped"):format(what), function()
      local ws, wire = start("drop_new", 1, 10)
      assert.same({ -1, "full" }, { send(ws) })
      assert.same({ {}, {} }, { wire.pushed, wire.dropped })
      assert.same({ "open", false }, { ws.state, ws.fragment })
    end)

    it(("close: %s is refused, all that can be is dropped, and the connection fails with 1013"):format(what), function()
      local ws, wire = start("close", 1, 10)
      assert.same({ -1, "full" }, { send(ws) })
      assert.same({ { { CLOSE, TRY_AGAIN_LATER } }, { math.huge } }, { wire.pushed, wire.dropped })
      assert.equal("draining", ws.state)
      assert.same({ code = 1013, reason = "", clean = false, why = "slow" }, ws.outcome)
    end)
  end

  it("is treated in make_room as the policy says; drop_new drops only what must go", function()
    for _, case in ipairs({
      { "drop_old", nil, 50, true, "open" }, { "drop_old", nil, 0, false, "open" },
      { "conflate", nil, 50, true, "open", math.huge }, { "drop_new", true, 50, true, "open" },
      { "drop_new", true, 0, false, "open" }, { "close", nil, 50, false, "draining", math.huge },
      { "close", true, 50, false, "draining", math.huge },
    }) do
      local ws, wire = start(case[1], 0, case[3])
      assert.equal(case[4], outbox.make_room(ws, 70, case[2]))
      assert.equal(case[5], ws.state)
      assert.same({ case[6] or 70 }, wire.dropped)
    end
    local ws, wire = start("drop_new", 0, 50)
    assert.is_false(outbox.make_room(ws, 70))
    assert.same({}, wire.dropped)
  end)

  it("is not what any other refusal means: nothing is dropped for it", function()
    for _, why in ipairs({ "utf8", "type", "entropy" }) do
      local ws, wire = start("drop_old", 1, 10)
      wire.why = why
      assert.same({ -1, why }, { outbox.send(ws, TEXT, "x", true) })
      assert.same({ {}, {}, "open" }, { wire.pushed, wire.dropped, ws.state })
    end
  end)
end)

describe("a message of a topic to a slow connection", function()
  local subscriptions = require("websockets.connection.subscriptions")

  local function start_topic(pending)
    local ws, wire = start("close", 0, 10)
    ws.context.subscriptions = subscriptions.new({ forget = function() end, unsubscribe = function() end })
    wire.pending = pending or 4000
    return ws, wire, ws.context.subscriptions.backlog, ws.context.agenda.drops
  end

  it("close: fails the connection with 1013, whatever slow_consumer of the connection is", function()
    local ws, wire, _, drops = start_topic()
    ws.settings.slow_consumer = "drop_new"
    outbox.publish_to_slow(ws, "close", "t", "", TEXT, "x")
    assert.same({ { { CLOSE, TRY_AGAIN_LATER } }, { math.huge } }, { wire.pushed, wire.dropped })
    assert.same({ "draining", 0 }, { ws.state, drops.total })
  end)

  it("drop_new: is dropped", function()
    local ws, wire, waiting, drops = start_topic()
    outbox.publish_to_slow(ws, "drop_new", "t", "", TEXT, "x")
    assert.same({ {}, {}, 1, false }, { wire.pushed, wire.dropped, drops.total, waiting:has(ws) })
  end)

  it("drop_old: waits, whatever its key; the oldest go where that is too much with what is queued", function()
    local ws, _, waiting, drops = start_topic(4000)
    for _ = 1, 2 do outbox.publish_to_slow(ws, "drop_old", "t", "key", TEXT, ("x"):rep(300)) end
    assert.same({ 856, 0 }, { waiting:size(ws), drops.total })
    outbox.publish_to_slow(ws, "drop_old", "t", "key", TEXT, ("x"):rep(300))
    assert.same({ 856, 1 }, { waiting:size(ws), drops.total })
  end)

  it("conflate: takes the place of the one with its key", function()
    local ws, _, waiting, drops = start_topic()
    for i = 1, 3 do outbox.publish_to_slow(ws, "conflate", "t", "key", TEXT, ("x"):rep(i)) end
    outbox.publish_to_slow(ws, "conflate", "t", "other", TEXT, "x")
    assert.same({ 3 + 1 + 256, 2 }, { waiting:size(ws), drops.total })
  end)

  it("is nothing for one that has begun to end meanwhile", function()
    for _, policy in ipairs({ "close", "drop_new", "drop_old", "conflate" }) do
      local ws, wire, waiting, drops = start_topic()
      ws.state = "closing"
      outbox.publish_to_slow(ws, policy, "t", "", TEXT, "x")
      assert.same({ {}, 0, false }, { wire.pushed, drops.total, waiting:has(ws) })
    end
  end)

  it("goes on when the queue is empty; only then nothing waits any more", function()
    local ws, wire, waiting = start_topic(0)
    assert.is_true(outbox.go_on(ws, true))
    assert.is_false(outbox.go_on(ws, false))
    outbox.publish_to_slow(ws, "drop_old", "t", "", TEXT, "x")
    assert.is_false(outbox.go_on(ws, true))
    assert.same({ { TEXT, "x", true } }, wire.pushed)
    assert.is_true(outbox.go_on(ws, false))
    assert.is_false(waiting:has(ws))
  end)
end)

describe("outbox.send", function()
  it("refuses in every state but open, and says why", function()
    for state, why in pairs({
      dialling = "type", http = "type", closing = "closing", draining = "closing", lingering = "closing",
      closed = "closed",
    }) do
      local ws, wire = fakes.connection(fakes.context(), state)
      wire.pushed = {}
      assert.same({ -1, why }, { outbox.send(ws, TEXT, "x", true) })
      assert.same({ -1, why }, { outbox.send_control(ws, PING, "") })
      assert.same({}, wire.pushed)
    end
  end)

  it("counts as use where idle_timeout is on", function()
    local context = fakes.context({ idle_timeout = 60 })
    local ws = fakes.connection(context)
    ws.active, ws.idle_slot, context.now = 1, 1, 200
    outbox.send_control(ws, PING, "")
    assert.equal(1, ws.active)
    outbox.send(ws, TEXT, "x", true)
    assert.equal(200, ws.active)
  end)

  it("refuses what RFC 6455 5.4 forbids between fragments", function()
    local ws = start("close")
    assert.same({ -1, "fragment" }, { outbox.send(ws, CONTINUATION, "x", true) })
    assert.same({ 0 }, { outbox.send(ws, TEXT, "x", false) })
    assert.same({ -1, "fragment" }, { outbox.send(ws, TEXT, "x", false) })
    assert.same({ 0 }, { outbox.send(ws, CONTINUATION, "y", true) })
    assert.same({ -1, "fragment" }, { outbox.send(ws, CONTINUATION, "y", false) })
  end)
end)

describe("a message in fragments", function()
  it("takes the fast path away until its end", function()
    local ws, wire = start("close")
    outbox.send(ws, TEXT, "a", false)
    assert.is_false(ws.fast)
    outbox.send(ws, CONTINUATION, "b", false)
    assert.is_false(ws.fast)
    outbox.send(ws, CONTINUATION, "c", true)
    assert.same({ wire, false }, { ws.fast, ws.fragment })
    assert.same({ { TEXT, "a", false }, { CONTINUATION, "b", false }, { CONTINUATION, "c", true } }, wire.pushed)
  end)

  it("is checked as a whole: a fragment that is not UTF-8 is refused, and another may take its place", function()
    local ws, wire = start("close")
    assert.same({ -1, "utf8" }, { outbox.send(ws, TEXT, "\255", false) })
    assert.is_false(ws.fragment)
    assert.same({ 0 }, { outbox.send(ws, TEXT, "\226\130", false) })
    assert.same({ -1, "utf8" }, { outbox.send(ws, CONTINUATION, "x", false) })
    assert.same({ -1, "utf8" }, { outbox.send(ws, CONTINUATION, "", true) })
    assert.same({ 0 }, { outbox.send(ws, CONTINUATION, "\172", true) })
    assert.equal(2, #wire.pushed)
  end)

  it("can go on with the same fragment after it was refused because the queue was full", function()
    local ws, wire = start("drop_new")
    outbox.send(ws, TEXT, "\226", false)
    wire.refusals = 1
    assert.same({ -1, "full" }, { outbox.send(ws, CONTINUATION, "\130", false) })
    assert.same({ 0 }, { outbox.send(ws, CONTINUATION, "\130", false) })
    assert.same({ 0 }, { outbox.send(ws, CONTINUATION, "\172", true) })
    assert.equal(3, #wire.pushed)
  end)

  it("has whole messages wait for its end, in their order; control frames pass", function()
    local ws, wire = start("close")
    outbox.send(ws, TEXT, "a", false)
    assert.same({ 0 }, { outbox.send(ws, BINARY, "held", true, true) })
    assert.same({ 0 }, { outbox.send(ws, TEXT, "too", true) })
    assert.same({ 0 }, { outbox.send_control(ws, PING, "p") })
    assert.same({ -1, "utf8" }, { outbox.send(ws, TEXT, "\255", true) })
    assert.equal(7, ws.fragment.held_bytes)
    outbox.send(ws, CONTINUATION, "b", true)
    assert.same({
      { TEXT, "a", false }, { PING, "p" }, { CONTINUATION, "b", true }, { BINARY, "held", true, true },
      { TEXT, "too", true, false },
    }, wire.pushed)
  end)

  it("holds no more than max_buffered_bytes, what the wire has queued included", function()
    local ws, wire = start("close")
    outbox.send(ws, TEXT, "a", false)
    wire.pending = 2000
    assert.same({ 0 }, { outbox.send(ws, BINARY, ("x"):rep(3001), true) })
    assert.same({ -1, "full" }, { outbox.send(ws, BINARY, "x", true) })
    wire.pending = 0
    assert.same({ 0 }, { outbox.send(ws, BINARY, "x", true) })
    assert.equal("open", ws.state)
  end)

  it("is followed by no more held messages once one of them has ended the connection", function()
    local ws, wire = start("close")
    outbox.send(ws, TEXT, "a", false)
    for _ = 1, 3 do outbox.send(ws, TEXT, "held", true) end
    local push = wire.push
    function wire.push(self, opcode, payload, fin, plain)
      if payload == "held" then return nil, "full" end
      return push(self, opcode, payload, fin, plain)
    end
    assert.same({ 0 }, { outbox.send(ws, CONTINUATION, "b", true) })
    assert.same({ { TEXT, "a", false }, { CONTINUATION, "b", true }, { CLOSE, TRY_AGAIN_LATER } }, wire.pushed)
    assert.same({ "draining", false, false }, { ws.state, ws.fragment, ws.fast })
    assert.equal(1, #wire.dropped)
  end)
end)
