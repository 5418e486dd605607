--- Compressed payloads: the examples of RFC 7692, cut anywhere, window sizes, contexts, limits and what is wrong.
-- @module spec.unit.engine.deflate_spec

local support = require "spec.support.engine"

local bytes = support.bytes

local FRESH = { window_bits = 15, no_context_takeover = true }
local KEPT = { window_bits = 15, no_context_takeover = false }
local HOW = { window_bits = 15, level = 6, threshold = 0, no_context_takeover = false }
local HOW_FRESH = { window_bits = 15, level = 6, threshold = 0, no_context_takeover = true }

-- RFC 7692 7.2.3: what stands there as the payload, and as frames.
local EXAMPLES = {
  { "one compressed DEFLATE block", "f2 48 cd c9 c9 07 00", "Hello" },
  { "two messages that share a window", "f2 00 11 00 00", "Hello", "f2 48 cd c9 c9 07 00" },
  { "a DEFLATE block with no compression", "00 05 00 fa ff 48 65 6c 6c 6f 00", "Hello" },
  { "a block with BFINAL set", "f3 48 cd c9 c9 07 00 00", "Hello" },
  { "two DEFLATE blocks in one message", "f2 48 05 00 00 00 ff ff ca c9 c9 07 00", "Hello" },
  { "an empty message", "00", "" },
}

local function text_of(random, size)
  local words, length = {}, 0
  while length < size do
    words[#words + 1] = ("w%d "):format(random(500))
    length = length + #words[#words]
  end
  return table.concat(words):sub(1, size)
end

local function noise_of(random, size)
  local list = {}
  for i = 1, size do list[i] = string.char(random(256) - 1) end
  return table.concat(list)
end

local function describe_inflater(engine)
  for _, example in ipairs(EXAMPLES) do
    it("inflates " .. example[1] .. ", cut anywhere", function()
      local payload = bytes(example[2])
      for size = 1, #payload do
        local inflater, parts = support.inflater(engine, KEPT), {}
        if example[4] then assert.equal("Hello", inflater:inflate(bytes(example[4]), true, 5)) end
        for from = 1, #payload, size do
          parts[#parts + 1] = assert(inflater:inflate(payload:sub(from, from + size - 1),
            from + size > #payload, 5))
        end
        assert.equal(example[3], table.concat(parts))
      end
    end)
  end

  it("continues after a block with BFINAL, also where the message ends with it", function()
    local inflater = support.inflater(engine, KEPT)
    for _ = 1, 20 do
      assert.equal("Hello", inflater:inflate(bytes("f3 48 cd c9 c9 07 00 00"), true, 5))
      assert.equal("Hello", inflater:inflate(bytes("f3 48 cd c9 c9 07 00"), true, 5))
      assert.equal("Hello", inflater:inflate(bytes("f2 48 cd c9 c9 07 00"), true, 5))
    end
  end)

  it("takes a message without bytes as empty", function()
    local inflater = support.inflater(engine, KEPT)
    assert.equal("", inflater:inflate("", true, 5))
    assert.equal("Hello", inflater:inflate(bytes("f2 48 cd c9 c9 07 00"), true, 5))
  end)

  it("refuses what is no DEFLATE data: 1002", function()
    for _, text in ipairs({ "ff ff ff", "07", "00 05 00 00 00" }) do
      local made, code, why = support.inflater(engine, FRESH):inflate(bytes(text), true, 100)
      assert.same({ nil, 1002, "string" }, { made, code, type(why) })
    end
  end)

  it("refuses a message that refers to another connection's or an earlier one's context", function()
    local inflater = support.inflater(engine, FRESH)
    assert.equal("Hello", inflater:inflate(bytes("f2 48 cd c9 c9 07 00"), true, 5))
    local made, code = inflater:inflate(bytes("f2 00 11 00 00"), true, 5)
    assert.same({ nil, 1002 }, { made, code })
  end)

  it("refuses a message of many streams: 1002", function()
    local made, code = support.inflater(engine, KEPT):inflate(("\3\0"):rep(1000), true, 5)
    assert.same({ nil, 1002 }, { made, code })
  end)

  it("stops at the limit, one byte past: 1009, without taking much more memory than that", function()
    local size = 8 * 1024 * 1024
    local bomb = engine.deflater(HOW_FRESH):deflate(("\0"):rep(size))
    assert.is_true(#bomb < 10000)
    assert.equal(size, #assert(support.inflater(engine, FRESH):inflate(bomb, true, size)))
    assert.equal(1009, (select(2, support.inflater(engine, FRESH):inflate(bomb, true, size - 1))))
    collectgarbage()
    collectgarbage("stop")
    local before = collectgarbage("count")
    local made, code = support.inflater(engine, FRESH):inflate(bomb, true, 65536)
    local taken = collectgarbage("count") - before
    collectgarbage("restart")
    assert.same({ nil, 1009 }, { made, code })
    assert.is_true(taken < 1024, taken .. " KiB")
  end)

  it("counts the limit over the whole message", function()
    local payload = engine.deflater(HOW_FRESH):deflate(("ab"):rep(5000))
    local inflater, left, code = support.inflater(engine, FRESH), 9999, nil
    for i = 1, #payload do
      local made
      made, code = inflater:inflate(payload:sub(i, i), i == #payload, left)
      if not made then break end
      left = left - #made
    end
    assert.equal(1009, code)
  end)
end

local function describe_deflater(engine)
  it("writes the examples of RFC 7692 7.2.3, with a shared window and without", function()
    local kept, fresh = engine.deflater(HOW), engine.deflater(HOW_FRESH)
    assert.equal(bytes("f2 48 cd c9 c9 07 00"), kept:deflate("Hello"))
    assert.equal(bytes("f2 00 11 00 00"), kept:deflate("Hello"))
    for _ = 1, 3 do assert.equal(bytes("f2 48 cd c9 c9 07 00"), fresh:deflate("Hello")) end
    assert.equal("\0", kept:deflate(""))
    assert.equal("\0", kept:deflate(""))
    assert.equal("\0", fresh:deflate(""))
    assert.equal("\0", fresh:deflate(""))
  end)

  for bits = 9, 15 do
    it("and inflater agree with a window of 2^" .. bits .. " bytes, whatever the data and the cuts", function()
      local random = support.random(bits)
      for _, forgets in ipairs({ false, true }) do
        local deflater = engine.deflater({ window_bits = bits, level = 1 + bits % 9, no_context_takeover = forgets })
        local inflater = support.inflater(engine, { window_bits = bits, no_context_takeover = forgets })
        local text = text_of(random, 5000)
        for _, message in ipairs({ "", "a", text, text, text .. text, noise_of(random, 3000), "", text,
          ("x"):rep(100000), noise_of(random, 9000), text }) do
          local payload, parts, from = assert(deflater:deflate(message)), {}, 1
          repeat
            local stop = from + random(700) - 1
            parts[#parts + 1] = assert(inflater:inflate(payload:sub(from, stop), stop >= #payload, 1e6))
            from = stop + 1
          until from > #payload
          assert.equal(message, table.concat(parts))
        end
        deflater:release()
        inflater:release()
      end
    end)
  end

  it("makes less of what comes again only where it keeps the context", function()
    local kept, fresh = engine.deflater(HOW), engine.deflater(HOW_FRESH)
    local text = text_of(support.random(7), 2000)
    local first = #kept:deflate(text)
    assert.is_true(#kept:deflate(text) < first / 5)
    assert.equal(fresh:deflate(text), fresh:deflate(text))
  end)

  it("goes on after release with a new context", function()
    local deflater, inflater = engine.deflater(HOW), support.inflater(engine, KEPT)
    for _ = 1, 3 do
      assert.equal("Hello", inflater:inflate(deflater:deflate("Hello"), true, 5))
      deflater:release()
    end
  end)
end

for _, one in ipairs(support.engines()) do
  local can_compress = one.engine.can_compress
  if not can_compress or not can_compress() then
    pending(one.name .. " engine: needs lua-zlib or the accelerator")
  else
    describe("compression, " .. one.name .. " engine: the inflater", function() describe_inflater(one.engine) end)
    describe("compression, " .. one.name .. " engine: the deflater", function() describe_deflater(one.engine) end)
  end
end
