--- What is offered, answered and accepted about permessage-deflate; what each side then does.
-- @module spec.unit.protocol.compression_spec
local compression = require("websockets.protocol.compression")
local option = require("websockets.options.compression")

local ENGINE = { can_compress = function() return true end }

local function settings(given, slow_consumer)
  return option.settle(given or true, { slow_consumer = slow_consumer or "close" }, ENGINE, 1)
end

describe("a server's answer", function()
  local PMD = "permessage-deflate"

  -- The option, what is offered, what is answered (false: declined), window bits of deflate and inflate, and
  -- whether each forgets its context.
  local CASES = {
    { true, PMD, PMD, 15, 15, false, false },
    { true, "x-webkit-deflate-frame, " .. PMD .. "; client_max_window_bits", PMD, 15, 15, false, false },
    { true, PMD .. "; server_no_context_takeover", PMD .. "; server_no_context_takeover", 15, 15, true, false },
    { true, PMD .. "; client_no_context_takeover", PMD .. "; client_no_context_takeover", 15, 15, false, true },
    { true, PMD .. "; server_max_window_bits=10", PMD .. "; server_max_window_bits=10", 10, 15, false, false },
    { true, PMD .. '; server_max_window_bits="10"', PMD .. "; server_max_window_bits=10", 10, 15, false, false },
    { true, PMD .. "; server_max_window_bits=15", PMD .. "; server_max_window_bits=15", 15, 15, false, false },
    { true, PMD .. "; client_max_window_bits=10", PMD .. "; client_max_window_bits=10", 15, 10, false, false },
    { true, PMD .. "; client_max_window_bits=8", PMD .. "; client_max_window_bits=8", 15, 9, false, false },
    { true, PMD .. "; client_max_window_bits=15", PMD, 15, 15, false, false },
    { true, PMD .. "; server_max_window_bits=8", false },
    { true, PMD .. "; server_max_window_bits=8, " .. PMD, PMD, 15, 15, false, false },
    { true, PMD .. "; server_max_window_bits=8, x, " .. PMD .. "; server_max_window_bits=9",
      PMD .. "; server_max_window_bits=9", 9, 15, false, false },
    { true, "x-other", false },
    { true, PMD .. "; unknown", false },
    { true, PMD .. "; unknown, " .. PMD, PMD, 15, 15, false, false },
    { true, PMD .. "; server_no_context_takeover; server_no_context_takeover", false },
    { true, PMD .. "; server_no_context_takeover=1", false },
    { true, PMD .. "; client_no_context_takeover=true", false },
    { true, PMD .. "; server_max_window_bits", false },
    { true, PMD .. "; server_max_window_bits=7", false },
    { true, PMD .. "; server_max_window_bits=16", false },
    { true, PMD .. "; server_max_window_bits=010", false },
    { true, PMD .. "; server_max_window_bits=1e1", false },
    { true, PMD .. "; server_max_window_bits=+10", false },
    { true, PMD .. "; client_max_window_bits=7", false },
    { true, PMD .. "; client_max_window_bits=10; client_max_window_bits=10", false },
    { true, PMD:upper(), false },
    { { server_no_context_takeover = true }, PMD, PMD .. "; server_no_context_takeover", 15, 15, true, false },
    { { client_no_context_takeover = true }, PMD, PMD .. "; client_no_context_takeover", 15, 15, false, true },
    { { server_max_window_bits = 9 }, PMD, PMD .. "; server_max_window_bits=9", 9, 15, false, false },
    { { server_max_window_bits = 12 }, PMD .. "; server_max_window_bits=14", PMD .. "; server_max_window_bits=12",
      12, 15, false, false },
    { { client_max_window_bits = 12 }, PMD, false },
    { { client_max_window_bits = 12 }, PMD .. "; client_max_window_bits", PMD .. "; client_max_window_bits=12",
      15, 12, false, false },
    { { client_max_window_bits = 12 }, PMD .. "; client_max_window_bits=10", PMD .. "; client_max_window_bits=10",
      15, 10, false, false },
    { false, PMD, false },
  }

  for _, case in ipairs(CASES) do
    local name = type(case[1]) == "table" and next(case[1]) .. "=" .. tostring(case[1][next(case[1])]) or case[1]
    it(("with %s to %s: %s"):format(tostring(name), case[2], tostring(case[3])), function()
      local agreed, text = compression.answer(case[1] and settings(case[1]), case[2], true)
      if not case[3] then
        assert.is_false(agreed)
        return assert.is_nil(text)
      end
      assert.equal(case[3], text)
      local deflate, inflate = agreed.deflate, agreed.inflate
      assert.same({ case[4], case[5], case[6], case[7] },
        { deflate.window_bits, inflate.window_bits, deflate.no_context_takeover, inflate.no_context_takeover })
    end)
  end

  it("is no compression where the list is empty", function()
    for _, value in ipairs({ "", ",", " , " }) do assert.is_false((compression.answer(settings(), value))) end
  end)

  it("is nil to what is no list of extensions, also where compression is off", function()
    for _, given in ipairs({ settings(), false }) do
      for _, value in ipairs({ ",;", "a;", PMD .. "; server_max_window_bits=" }) do
        assert.is_nil((compression.answer(given, value)))
      end
    end
  end)

  it("without an offer is no compression", function()
    assert.is_false(compression.answer(settings(), nil))
  end)

  it("gives up its context where messages may be dropped from a queue", function()
    for _, policy in ipairs({ "drop_new", "drop_old", "conflate" }) do
      local agreed, text = compression.answer(settings(true, policy), PMD, true)
      assert.equal(PMD .. "; server_no_context_takeover", text)
      assert.is_true(agreed.deflate.no_context_takeover)
      assert.is_false(agreed.inflate.no_context_takeover)
    end
  end)

  it("is the same table for the same agreement", function()
    local given = settings()
    assert.equal(compression.answer(given, PMD, true), (compression.answer(given, "x, " .. PMD, true)))
    local other = compression.answer(given, PMD .. "; client_no_context_takeover", true)
    assert.are_not.equal(compression.answer(given, PMD, true), other)
    -- What is shared by those who compress alike does not grow with what they do otherwise.
    assert.equal(compression.answer(given, PMD, true).deflate, other.deflate)
  end)

  it("passes level and threshold on", function()
    local agreed = compression.answer(settings({ level = 3, threshold = 77 }), PMD)
    assert.same({ 3, 77 }, { agreed.deflate.level, agreed.deflate.threshold })
  end)
end)

describe("a client's offer", function()
  local PMD = "permessage-deflate"

  -- Where our context is not given up, a second offer says that it could be.
  for _, case in ipairs({
    { true, PMD .. "; client_max_window_bits, " .. PMD .. "; client_no_context_takeover; client_max_window_bits" },
    { { server_no_context_takeover = true }, PMD .. "; server_no_context_takeover; client_max_window_bits, " .. PMD
      .. "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits" },
    { { client_no_context_takeover = true }, PMD .. "; client_no_context_takeover; client_max_window_bits" },
    { { server_max_window_bits = 11 }, PMD .. "; server_max_window_bits=11; client_max_window_bits, " .. PMD
      .. "; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits" },
    { { client_max_window_bits = 9 }, PMD .. "; client_max_window_bits=9, " .. PMD
      .. "; client_no_context_takeover; client_max_window_bits=9" },
  }) do
    it("is " .. case[2], function() assert.equal(case[2], compression.offer(settings(case[1]))) end)
  end

  -- The option, the answer, window bits of deflate (false: sends plain) and inflate, whether each forgets.
  local TAKEN = {
    { true, PMD, 15, 15, false, false },
    { true, PMD .. "; server_no_context_takeover", 15, 15, false, true },
    { true, PMD .. "; client_no_context_takeover", 15, 15, true, false },
    { true, PMD .. "; server_max_window_bits=9", 15, 9, false, false },
    { true, PMD .. "; server_max_window_bits=8", 15, 9, false, false },
    { true, PMD .. "; client_max_window_bits=10", 10, 15, false, false },
    { true, PMD .. "; client_max_window_bits=8", false, 15, false, false },
    { { client_max_window_bits = 12 }, PMD, 12, 15, false, false },
    { { client_max_window_bits = 12 }, PMD .. "; client_max_window_bits=10", 10, 15, false, false },
    { { client_no_context_takeover = true }, PMD, 15, 15, true, false },
    { { server_max_window_bits = 11 }, PMD .. "; server_max_window_bits=10", 15, 10, false, false },
    { { server_no_context_takeover = true }, PMD .. "; server_no_context_takeover", 15, 15, false, true },
  }

  for _, case in ipairs(TAKEN) do
    it("can be answered with " .. case[2], function()
      local agreed = assert(compression.accept(settings(case[1]), case[2]))
      local deflate, inflate = agreed.deflate, agreed.inflate
      assert.equal(case[3], deflate and deflate.window_bits)
      if deflate then assert.equal(case[5], deflate.no_context_takeover) end
      assert.same({ case[4], case[6] }, { inflate.window_bits, inflate.no_context_takeover })
    end)
  end

  local REFUSED = {
    { true, "x" }, { true, PMD .. ", x" }, { true, PMD .. ", " .. PMD }, { true, ";" }, { true, ", x" },
    { true, PMD .. "; unknown" }, { true, PMD .. "; server_max_window_bits" },
    { true, PMD .. "; client_max_window_bits" },
    { true, PMD .. "; server_max_window_bits=16" }, { true, PMD .. "; server_no_context_takeover=1" },
    { true, PMD .. "; server_max_window_bits=9; server_max_window_bits=9" },
    { { client_max_window_bits = 12 }, PMD .. "; client_max_window_bits=13" },
    { { server_max_window_bits = 11 }, PMD }, { { server_max_window_bits = 11 }, PMD .. "; server_max_window_bits=12" },
    { { server_no_context_takeover = true }, PMD }, { false, PMD }, { false, "x" },
  }

  for _, case in ipairs(REFUSED) do
    it(("with %s cannot be answered with '%s'"):format(
      type(case[1]) == "table" and next(case[1]) or tostring(case[1]), case[2]), function()
      local agreed, why = compression.accept(case[1] and settings(case[1]), case[2])
      assert.is_nil(agreed)
      assert.matches("extension", why)
    end)
  end

  it("can be declined", function()
    assert.is_false(compression.accept(settings(), nil))
    assert.is_false(compression.accept(settings(), " , "))
    assert.is_false(compression.accept(false, ""))
    assert.is_false(compression.accept(false, nil))
  end)
end)
