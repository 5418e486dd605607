--- How a connection is read in each state, over wires that give what they are told to.
-- @module spec.unit.turn.reading_spec
local delivery = require("websockets.turn.delivery")
local fakes = require("spec.support.fakes")
local lifecycle = require("websockets.connection.lifecycle")

local TEXT, CLOSE, PING = 1, 8, 9
local LAST_READS = 64

describe("reading a connection", function()
  local context, errors

  local function read(...)
    fakes.read(context, ...)
  end

  -- A connection in a state, whose next reads give these; with its wire and phase.
  local function start(state, role, ...)
    local ws, wire, phase = fakes.connection(context, state, role)
    wire.reads, wire.calls = { ... }, {}
    return ws, wire, phase
  end

  local function is_waiting(ws) return fakes.take_waiting(context)[1] == ws end

  before_each(function()
    errors = {}
    context = fakes.context({ on_error = function(err, ws) errors[#errors + 1] = { err, ws } end })
  end)

  it("while dialling goes on connecting", function()
    local ws, wire, phase = start("dialling")
    read(ws)
    assert.same({ { { "advance" } }, {} }, { phase.calls, wire.calls })
  end)

  it("in the HTTP phase gives it the bytes, none where none came, and their end", function()
    local ws, _, phase = start("http", nil, { "GET", again = true }, { why = "timeout" }, { why = "closed" })
    read(ws)
    assert.is_true(is_waiting(ws))
    read(ws, ws)
    assert.is_false(is_waiting(ws))
    assert.same({ { "feed", "GET" }, { "feed", "" }, { "ended" } }, phase.calls)
    assert.equal("http", ws.state)
  end)

  it("in the HTTP phase ends with a broken connection, and reads nothing while paused", function()
    local broken = start("http", nil, { why = "reset" })
    read(broken)
    assert.same({ "closed", "reset" }, { broken.state, broken.outcome.why })
    local ws, wire, phase = start("http", nil, { "GET" })
    lifecycle.pause(ws, true)
    read(ws)
    assert.same({ { "feed", "" } }, phase.calls)
    assert.same({}, wire.calls)
  end)

  it("open or closing takes messages, once a turn; more that may be here is read in the next", function()
    for _, state in ipairs({ "open", "closing" }) do
      local heard = {}
      local ws, wire = start(state, nil, { TEXT, "x", PING, "p", again = true }, { why = "timeout" }, { CLOSE, "" })
      ws:on_receive(function(_, text) heard[#heard + 1] = text end)
      wire.pushed = {}
      read(ws)
      assert.is_true(is_waiting(ws))
      assert.same({ state, { "read" } }, { ws.state, wire.calls })
      assert.same(state == "open" and { "x" } or {}, heard)
      assert.equal(state == "open" and 1 or 0, #wire.pushed)
      read(ws, ws)
      assert.equal("draining", ws.state)
    end
  end)

  it("open or closing ends with the connection", function()
    for _, state in ipairs({ "open", "closing" }) do
      for _, why in ipairs({ "closed", "reset" }) do
        local ws = start(state, nil, { why = why })
        read(ws)
        assert.same({ "closed", 1006, why }, { ws.state, ws.outcome.code, ws.outcome.why })
      end
    end
  end)

  it("does not happen while it is paused, nor after it has closed", function()
    local ws, wire = start("open", nil, { TEXT, "x" })
    lifecycle.pause(ws, true)
    wire.calls = {}
    read(ws)
    assert.same({}, wire.calls)
    ws, wire = start("closed", nil, { TEXT, "x" })
    read(ws)
    assert.same({}, wire.calls)
  end)

  it("draining or lingering throws away what comes, until the peer ends", function()
    for _, state in ipairs({ "draining", "lingering" }) do
      local ws, wire = start(state, "client", { "junk", again = true }, { "junk" }, { why = "timeout" },
        { why = "closed" })
      read(ws)
      assert.is_true(is_waiting(ws))
      read(ws, ws)
      assert.is_false(is_waiting(ws))
      assert.equal(state, ws.state)
      read(ws)
      assert.equal("closed", ws.state)
      assert.same({ "receive", "receive", "receive", "receive" }, { wire.calls[1], wire.calls[2], wire.calls[3],
        wire.calls[4] })
    end
  end)

  it("draining lets what is queued leave although the peer has ended its direction; a reset ends it", function()
    for why, expected in pairs({ closed = "draining", reset = "closed" }) do
      local ws, wire = start("draining", nil, { why = why })
      wire.pending = 1
      read(ws)
      assert.equal(expected, ws.state)
      assert.equal(why == "closed" or nil, ws.peer_ended)
    end
  end)

  it("ends one whose wire or phase raises, and goes on with the others", function()
    local broken, _, phase = start("http", nil, { "GET" })
    function phase.feed() error("feed", 0) end
    local other, heard = start("open", nil, function() error("wire", 0) end, { TEXT, "x" }), {}
    other:on_receive(function(_, text) heard[#heard + 1] = text end)
    local last = start("open", nil, { TEXT, "x" })
    last:on_receive(function(_, text) heard[#heard + 1] = text end)
    read(broken, other, last)
    assert.same({ "feed", "wire" }, { errors[1][1], errors[2][1] })
    assert.same({ "closed", "closed", "x" }, { broken.state, other.state, heard[1] })
  end)

  it("of a broken one takes what came before, so that the peer's close frame counts", function()
    local heard = {}
    local ws, wire = start("open", nil, { TEXT, "1", again = true }, { TEXT, "2" }, { CLOSE, "\3\232" },
      { TEXT, "3" })
    ws:on_receive(function(_, text) heard[#heard + 1] = text end)
    delivery.run(delivery.read_rest, context, nil, ws)
    assert.same({ "1", "2" }, heard)
    assert.same({ "draining", 1000, true }, { ws.state, ws.outcome.code, ws.outcome.clean })
    assert.equal(3, select(2, table.concat(wire.calls, " "):gsub("read", "")))
  end)

  it("of a broken one stops where nothing comes, at a pause, and after some reads, errors among them", function()
    local pausing = start("open", nil, { TEXT, "x" })
    pausing:on_receive(function() lifecycle.pause(pausing, true) end)
    delivery.run(delivery.read_rest, context, nil, pausing)
    assert.equal("open", pausing.state)
    local ws, wire = start("open")
    for i = 1, 2 * LAST_READS do wire.reads[i] = { TEXT, "x" } end
    ws:on_receive(function() error("raised", 0) end)
    delivery.run(delivery.read_rest, context, nil, ws)
    assert.equal(LAST_READS, 2 * LAST_READS - #wire.reads)
    assert.equal(LAST_READS, #errors)
    assert.same({ "raised", ws }, errors[1])
  end)

  it("counts messages as use for idle_timeout, and nothing else", function()
    context = fakes.context({ idle_timeout = 60 })
    local ws = start("open", nil, { PING, "p" }, { TEXT, "x" })
    ws.idle_slot, ws.active, context.now = 1, 1, 200
    read(ws)
    assert.equal(1, ws.active)
    read(ws)
    assert.equal(200, ws.active)
    ws.idle_slot = false
  end)
end)
