--- Delivering what was read to callbacks, over a hub that reads what it is told to: the order, errors at every place,
-- and the recovery from them.
-- @module spec.unit.turn.delivery_spec
local delivery = require("websockets.turn.delivery")
local fakes = require("spec.support.fakes")
local lifecycle = require("websockets.connection.lifecycle")
local stderr = require("spec.support.stderr")

local TEXT, BINARY, OTHER, CLOSE, PING, PONG = 1, 2, 3, 8, 9, 10
local TEXT_KIND, BINARY_KIND = 0, 1
local CONNECTIONS = 3

describe("delivery", function()
  local context, all, heard, errors

  -- Has the hub read these batches, one a call, each a list of entries `{ owner, opcode, payload }`; one with `raises`
  -- raises after them, one with `half` inside an entry more.
  local function hub_reads(...)
    local batches, readable = { ... }, {}
    local count = #batches
    for i = 1, count do readable[i] = i end
    function context.hub.read(_, _, place, _, _, takers, opcodes, payloads)
      if not readable[place] then return 0, place + 1 end
      local batch = batches[place]
      readable[place] = false
      for i, entry in ipairs(batch) do
        takers[i], opcodes[i], payloads[i] = entry[1], entry[2], entry[3]
      end
      if batch.half then opcodes[#batch + 1], payloads[#batch + 1] = TEXT, "half" end
      if batch.raises then error(batch.raises, 0) end
      return #batch, place + 1
    end
    delivery.run(delivery.read_ready, context, readable, count)
    for i = 1, count do assert.is_false(readable[i]) end
  end

  local function read_list(...)
    fakes.read(context, ...)
  end

  -- Six messages, two of each connection.
  local function six()
    local entries = {}
    for i = 1, 6 do entries[i] = { all[(i - 1) % CONNECTIONS + 1], TEXT, tostring(i) } end
    return entries
  end

  local function texts()
    local list = {}
    for i, message in ipairs(heard) do list[i] = message[2] end
    return table.concat(list, " ")
  end

  -- Has every connection note its messages, and raise the number of one that `raises_at` tells.
  local function listen(raises_at)
    for _, ws in ipairs(all) do
      ws:on_receive(function(...)
        heard[#heard + 1] = { ... }
        local text = select(2, ...)
        if raises_at(text) then error(text, 0) end
      end)
    end
  end

  before_each(function()
    all, heard, errors = {}, {}, {}
    context = fakes.context({ on_error = function(err, ws) errors[#errors + 1] = { err, ws } end })
    for i = 1, CONNECTIONS do all[i] = fakes.connection(context) end
    listen(function() return false end)
  end)

  it("gives each message to its connection, in the order in which they came, with its kind", function()
    hub_reads(six(), { { all[2], BINARY, "\255" }, { all[1], TEXT, "" } })
    local expected = {}
    for i, entry in ipairs(six()) do expected[i] = { entry[1], entry[3], TEXT_KIND } end
    expected[7], expected[8] = { all[2], "\255", BINARY_KIND }, { all[1], "", TEXT_KIND }
    assert.same(expected, heard)
    assert.same({}, errors)
  end)

  it("needs no callback", function()
    all[1].receive_handler = false
    hub_reads({ { all[1], TEXT, "x" }, { all[1], PONG, "p" }, { all[2], TEXT, "y" } })
    assert.equal("y", texts())
  end)

  for place = 1, 6 do
    it(("of many: an error at place %d costs no message, and names its connection"):format(place), function()
      listen(function(text) return text == tostring(place) end)
      hub_reads(six(), { { all[1], TEXT, "7" } })
      assert.equal("1 2 3 4 5 6 7", texts())
      assert.same({ { tostring(place), six()[place][1] } }, errors)
    end)

    it(("of one: an error at place %d costs no message, and names its connection"):format(place), function()
      listen(function(text) return text == tostring(place) end)
      all[1].wire.reads = { { TEXT, "1", TEXT, "2", TEXT, "3", TEXT, "4", TEXT, "5", TEXT, "6" } }
      all[2].wire.reads = { { TEXT, "7" } }
      read_list(all[1], all[2])
      assert.equal("1 2 3 4 5 6 7", texts())
      assert.same({ { tostring(place), all[1] } }, errors)
    end)
  end

  it("costs no message where every callback raises", function()
    listen(function() return true end)
    all[1].wire.reads = { { TEXT, "7", TEXT, "8" } }
    hub_reads(six())
    read_list(all[1])
    assert.equal("1 2 3 4 5 6 7 8", texts())
    assert.equal(8, #errors)
    for i, entry in ipairs(six()) do assert.same({ tostring(i), entry[1] }, errors[i]) end
  end)

  it("goes on where on_error raises too", function()
    function context.settings.on_error(err) error("again " .. err, 0) end
    listen(function() return true end)
    local lines = stderr.of(function() hub_reads(six()) end)
    assert.equal("1 2 3 4 5 6", texts())
    assert.same({ "again 1" }, context.agenda.failure)
    -- There is no log.
    for i = 2, 6 do assert.equal("websockets: again " .. i, lines[i - 1]) end
    assert.is_nil(lines[6])
  end)

  for count = 0, 3 do
    it(("gives out %d messages that were read before the hub itself raised, then reads on"):format(count), function()
      for _, is_half in ipairs({ false, true }) do
        heard, errors = {}, {}
        local cut = { raises = "memory", half = is_half }
        for i = 1, count do cut[i] = { all[i], TEXT, "cut " .. i } end
        hub_reads({ { all[1], TEXT, "before" } }, cut, { { all[2], TEXT, "after" } })
        local expected = { "before" }
        for i = 1, count do expected[i + 1] = "cut " .. i end
        expected[count + 2] = "after"
        assert.equal(table.concat(expected, " "), texts())
        assert.same({ { "memory" } }, errors)
      end
    end)
  end

  it("ends one amid whose reading the hub raises, and goes on with the next", function()
    function context.hub.read(_, readable, place, _, _, takers, opcodes, payloads)
      if readable[place] == all[2] then error("memory", 0) end
      if not readable[place] then return 0, place + 1 end
      readable[place], takers[1], opcodes[1], payloads[1] = false, all[1], TEXT, "x"
      return 1, place + 1
    end
    delivery.run(delivery.read_ready, context, { all[2], all[1] }, 2)
    assert.equal("x", texts())
    assert.same({ "closed", "open" }, { all[2].state, all[1].state })
    assert.equal(1, #errors)
    assert.equal("memory", errors[1][1])
  end)

  it("ends the turn where every try raises", function()
    local calls = 0
    function context.hub.read()
      calls = calls + 1
      error("memory", 0)
    end
    assert.has_error(function() delivery.run(delivery.read_ready, context, { 1, 2 }, 2) end, "memory")
    assert.same({ 3, 2 }, { calls, #errors })
  end)

  it("delivers a message after an error that came before it was taken", function()
    for place = 1, 6 do
      local kept, is_armed = {}, true
      -- The delivery takes a payload by putting false in its place.
      context.delivery.many.payloads = setmetatable({}, { __index = kept, __newindex = function(_, at, value)
        if is_armed and value == false and at == place then
          is_armed = false
          error("interrupted", 0)
        end
        kept[at] = value
      end })
      heard, errors = {}, {}
      hub_reads(six())
      assert.equal("1 2 3 4 5 6", texts())
      assert.equal("interrupted", errors[1][1])
    end
  end)

  it("takes an error of a message that was read before the hub raised as any other", function()
    listen(function(text) return text == "cut 1" end)
    hub_reads({ raises = "memory", { all[1], TEXT, "cut 1" }, { all[2], TEXT, "cut 2" } }, { { all[3], TEXT, "x" } })
    assert.equal("cut 1 cut 2 x", texts())
    assert.same({ { "memory" }, { "cut 1", all[1] } }, errors)
  end)

  it("reads a connection by itself amid the messages of many, and goes on with both after an error", function()
    for _, raises in ipairs({ "b", "c", "1", "2", "one" }) do
      heard, errors = {}, {}
      listen(function(text) return text == raises end)
      all[2].wire.reads = raises == "one" and { { TEXT, "one" } } or { { TEXT, "b", TEXT, "c" } }
      hub_reads({ { all[1], TEXT, "1" }, { all[2], OTHER, false }, { all[3], TEXT, "2" } })
      assert.equal(raises == "one" and "1 one 2" or "1 b c 2", texts())
      local raiser = raises == "1" and all[1] or raises == "2" and all[3] or all[2]
      assert.same({ { raises, raiser } }, errors)
    end
  end)

  it("keeps what came after a pause in its order, and gives it out when reading goes on", function()
    all[1]:on_receive(function(ws, text)
      heard[#heard + 1] = { ws, text }
      lifecycle.pause(ws, true)
    end)
    hub_reads({ { all[1], TEXT, "1" }, { all[2], TEXT, "2" }, { all[1], TEXT, "3" }, { all[1], PONG, "p" },
      { all[1], TEXT, "4" } })
    assert.equal("1 2", texts())
    all[1]:on_pong(function(ws, text) heard[#heard + 1] = { ws, text } end)
    read_list(all[1])
    assert.equal("1 2", texts())
    for _, expected in ipairs({ "1 2 3", "1 2 3 p 4", "1 2 3 p 4" }) do
      lifecycle.pause(all[1], false)
      assert.equal(all[1], fakes.take_waiting(context)[1])
      read_list(all[1])
      assert.equal(expected, texts())
    end
    assert.is_false(all[1].held)
  end)

  it("keeps its order also where messages come while others are held", function()
    all[1].held = { TEXT, "1", TEXT, "2" }
    lifecycle.refresh(all[1])
    hub_reads({ { all[1], TEXT, "3" } })
    assert.equal("", texts())
    read_list(all[1])
    assert.equal("1 2 3", texts())
    -- What the wire has comes after them.
    all[1].wire.reads = { { TEXT, "4" } }
    read_list(fakes.take_waiting(context)[1])
    assert.equal("1 2 3 4", texts())
    assert.equal(all[1].wire, all[1].fast)
  end)

  it("loses no held message to an error amid them", function()
    for place = 1, 3 do
      heard, errors = {}, {}
      listen(function(text) return text == tostring(place) end)
      all[1].held = { TEXT, "1", TEXT, "2", TEXT, "3" }
      read_list(all[1])
      assert.equal("1 2 3", texts())
      assert.same({ { tostring(place), all[1] } }, errors)
    end
  end)

  it("has a connection of which more may be here read again in the next turn", function()
    hub_reads({ { all[2], OTHER, true } })
    local list = fakes.take_waiting(context)
    assert.same({ 1, all[2] }, { #list, list[1] })
  end)

  it("ends a connection by the word why nothing more comes, after its messages", function()
    hub_reads({ { all[1], TEXT, "last" }, { all[1], OTHER, "reset" }, { all[2], TEXT, "x" } })
    assert.equal("last x", texts())
    assert.same({ "closed", "reset" }, { all[1].state, all[1].outcome.why })
  end)

  it("reads one whose callback has paused it instead of taking its end for granted", function()
    all[1]:on_receive(function(ws, text)
      heard[#heard + 1] = { ws, text }
      lifecycle.pause(ws, text == "last")
    end)
    hub_reads({ { all[1], TEXT, "last" }, { all[1], TEXT, "held" }, { all[1], OTHER, "closed" } })
    assert.same({ "open", true }, { all[1].state, all[1].paused })
    lifecycle.pause(all[1], false)
    all[1].wire.reads = { { why = "closed" } }
    read_list(all[1], all[1])
    assert.equal("last held", texts())
    assert.equal("closed", all[1].state)
  end)

  it("has a listener among the connections accept; what it raises is the fault of no connection", function()
    local accepted = 0
    local listener = { context = context, accept = function()
      accepted = accepted + 1
      error("no more", 0)
    end }
    hub_reads({ { all[1], TEXT, "1" }, { listener, OTHER, false }, { all[2], TEXT, "2" } })
    read_list(listener, all[1])
    assert.equal(2, accepted)
    assert.equal("1 2", texts())
    assert.same({ { "no more" }, { "no more" } }, errors)
  end)

  it("passes over what follows the end of a connection, and answers what a close frame needs", function()
    all[1]:on_receive(function(ws, text)
      heard[#heard + 1] = { ws, text }
      if text == "close" then lifecycle.close(ws, 1000) elseif text == "abort" then lifecycle.abort(ws, "closed") end
    end)
    hub_reads({ { all[1], TEXT, "close" }, { all[1], TEXT, "late" }, { all[1], PING, "late" }, { all[1], CLOSE, "" },
      { all[1], CLOSE, "" }, { all[2], PING, "p" }, { all[2], 1002, "what" }, { all[2], TEXT, "late" } })
    assert.equal("close", texts())
    assert.same({ { CLOSE, "\3\232" } }, all[1].wire.pushed)
    assert.same({ "draining", 1005, true }, { all[1].state, all[1].outcome.code, all[1].outcome.clean })
    assert.same({ { PONG, "p" }, { CLOSE, "\3\234" } }, all[2].wire.pushed)
    assert.same({ "draining", "what" }, { all[2].state, all[2].outcome.reason })
  end)
end)
