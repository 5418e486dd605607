--- Compressed messages in frames: read split anywhere, refused where they break a rule, written where that was agreed.
-- @module spec.unit.engine.packed_spec

local new_budget = require("websockets.engine.budget").new
local support = require "spec.support.engine"

local bytes, frame, options, read = support.bytes, support.frame, support.options, support.read
local without_words = support.without_words

local KEY = "\17\238\3\128"
local FRESH = { window_bits = 15, no_context_takeover = true }
local KEPT = { window_bits = 15, no_context_takeover = false }
local HOW = { window_bits = 15, level = 6, threshold = 0, no_context_takeover = false }
local HOW_FRESH = { window_bits = 15, level = 6, threshold = 0, no_context_takeover = true }

local function packed(payload, fin, opcode)
  return frame({ opcode = opcode or 1, payload = payload, fin = fin, rsv = opcode == 0 and 0 or 4, key = KEY })
end

local function noise_of(random, size)
  local list = {}
  for i = 1, size do list[i] = string.char(random(256) - 1) end
  return table.concat(list)
end

local function describe_reader(engine)
  local function new_reader(how, changes)
    local all = { deflate = { inflate = how } }
    for name, value in pairs(changes or {}) do all[name] = value end
    return engine.reader(options(all))
  end

  it("takes compressed messages between plain ones, split at every byte", function()
    local stream = packed(bytes("f2 48 cd c9 c9 07 00")) .. support.masked(1, "plain") .. support.masked(9, "?")
      .. packed(bytes("f2 00 11 00 00"), nil, 2) .. packed("\0")
    for size = 1, #stream do
      assert.same({ 1, "Hello", 1, "plain", 9, "?", 2, "Hello", 1, "" }, read(new_reader(KEPT), stream, size))
    end
  end)

  it("takes the fragments of RFC 7692 7.2.3.1, with a ping between them, split at every byte", function()
    local stream = packed(bytes("f2 48 cd"), false) .. support.masked(9, "?") .. packed(bytes("c9 c9 07 00"), true, 0)
      .. packed("", false) .. packed(bytes("f2 00 11 00 00"), false, 0) .. packed("", true, 0)
    for size = 1, #stream do
      assert.same({ 9, "?", 1, "Hello", 1, "Hello" }, read(new_reader(KEPT), stream, size))
    end
  end)

  it("as a client too", function()
    local reader = new_reader(KEPT, { role = "client" })
    assert.same({ 1, "Hello" }, read(reader, bytes("c1 07 f2 48 cd c9 c9 07 00")))
  end)

  local WRONG = {
    { "a compressed ping", frame({ opcode = 9, rsv = 4, key = KEY }), 1002 },
    { "a compressed close frame", frame({ opcode = 8, rsv = 4, key = KEY }), 1002 },
    { "a marked continuation", packed(bytes("f2 48"), false) .. frame({ opcode = 0, rsv = 4, key = KEY }), 1002 },
    { "RSV2", frame({ opcode = 1, rsv = 2, key = KEY }), 1002 },
    { "RSV3", frame({ opcode = 1, rsv = 1, key = KEY }), 1002 },
    { "RSV1 and RSV2", frame({ opcode = 1, rsv = 6, key = KEY }), 1002 },
    { "RSV1 and RSV3", frame({ opcode = 2, rsv = 5, key = KEY }), 1002 },
    { "data that cannot be inflated", packed("\255\255\255"), 1002 },
    { "text that inflates to what is not UTF-8", packed(bytes("00 01 00 fe ff ff 00")), 1007 },
    { "text that ends inside a character", packed(bytes("00 01 00 fe ff c3 00")), 1007 },
  }

  for _, case in ipairs(WRONG) do
    it("refuses " .. case[1] .. ": " .. case[3], function()
      for size = 1, #case[2] do
        assert.same({ case[3], "breach" }, without_words(read(new_reader(KEPT), case[2], size)))
      end
    end)
  end

  it("refuses bad UTF-8 while the compressed frame still arrives", function()
    local stream = packed(bytes("00 05 00 fa ff 61 ff 61 61 61 00"))
    local reader = new_reader(KEPT)
    assert.same({ 1007, "breach" }, without_words(read(reader, stream:sub(1, -4))))
  end)

  it("takes a message of max_message_bytes, though compressed it may be longer, and refuses one byte more", function()
    local noise = noise_of(support.random(3), 1000)
    local stored = "\0\232\3\23\252" .. noise .. "\0"
    local changes = { max_message_bytes = 1000 }
    assert.same({ 2, noise }, read(new_reader(KEPT, changes), packed(stored, nil, 2)))
    local longer = "\0\233\3\22\252" .. noise .. "x\0"
    assert.same({ 1009, "breach" }, without_words(read(new_reader(KEPT, changes), packed(longer, nil, 2))))
    local deflater = engine.deflater(HOW_FRESH)
    local fits = packed(deflater:deflate(("a"):rep(500)), nil, 2)
    assert.same({ 2, ("a"):rep(500) }, read(new_reader(KEPT, changes), fits))
    local fragments = packed(deflater:deflate(("a"):rep(999)) .. "\0\0\255\255", false, 2)
    assert.same({ 2, ("a"):rep(999) .. "b" },
      read(new_reader(FRESH, changes), fragments .. packed(deflater:deflate("b"), true, 0)))
    assert.same({ 1009, "breach" }, without_words(
      read(new_reader(FRESH, changes), fragments .. packed(deflater:deflate("bb"), true, 0))))
  end)

  it("counts fragments and what unfinished messages hold, inflated", function()
    local fragment = packed(bytes("f2 48 cd c9 c9 07 00 00 00 ff ff"), false)
    local more = packed("", false, 0)
    assert.same({ 1009, "breach" },
      without_words(read(new_reader(KEPT, { max_fragments = 3 }), fragment .. more .. more .. more)))
    local budget = new_budget(1000)
    local reader = new_reader(KEPT, { budget = budget })
    read(reader, fragment)
    assert.is_true(budget:used() >= 5 + 128)
    reader:release()
    assert.equal(0, budget:used())
    local bomb = packed(engine.deflater(HOW_FRESH):deflate(("x"):rep(2000)) .. "\0\0\255\255", false)
    reader = new_reader(KEPT, { budget = budget })
    assert.same({}, read(reader, bomb))
    assert.is_true(budget:used() >= 2000)
    reader:release()
    assert.equal(0, budget:used())
  end)
end

local function describe_writer(engine)
  local function new_writer(how, role)
    local copy = {}
    for name, value in pairs(how) do copy[name] = value end
    return engine.writer({ role = role or "server", deflate = { deflate = copy } })
  end

  it("marks and compresses whole messages, not control frames, fragments, or what is to go plain", function()
    local writer = new_writer(HOW_FRESH)
    local text = ("a"):rep(50)
    assert.equal(0xC1, writer:encode(1, text):byte())
    assert.equal(0xC2, writer:encode(2, text, true):byte())
    assert.equal("\129\50" .. text, writer:encode(1, text, true, true))
    assert.equal("\1\50" .. text, writer:encode(1, text, false))
    assert.equal("\128\50" .. text, writer:encode(0, text, true))
    assert.equal("\137\50" .. text, writer:encode(9, text))
    assert.equal("\136\0", writer:encode(8, ""))
  end)

  it("leaves alone what is below the threshold", function()
    local writer = new_writer({ window_bits = 15, level = 6, threshold = 10, no_context_takeover = true })
    assert.equal("\129\9aaaaaaaaa", writer:encode(1, "aaaaaaaaa"))
    assert.equal(0xC1, writer:encode(1, ("a"):rep(10)):byte())
  end)

  it("leaves alone what does not become shorter, where no context needs it", function()
    local noise = noise_of(support.random(5), 100)
    local fresh = { window_bits = 15, level = 6, threshold = 1, no_context_takeover = true }
    local kept = { window_bits = 15, level = 6, threshold = 1, no_context_takeover = false }
    assert.equal("\130\100" .. noise, new_writer(fresh):encode(2, noise))
    assert.equal(0xC2, new_writer(kept):encode(2, noise):byte())
    assert.equal(0xC2, new_writer(HOW_FRESH):encode(2, noise):byte())
  end)

  it("is one for all connections without context takeover, and one for each otherwise", function()
    local agreed = { deflate = { window_bits = 15, level = 6, threshold = 0, no_context_takeover = true } }
    assert.equal(engine.writer({ role = "server", deflate = agreed }),
      engine.writer({ role = "server", deflate = agreed }))
    agreed = { deflate = HOW }
    assert.are_not.equal(engine.writer({ role = "server", deflate = agreed }),
      engine.writer({ role = "server", deflate = agreed }))
  end)

  it("sends plain where the two agreed to compress one direction only", function()
    assert.equal("\129\5Hello", engine.writer({ role = "server", deflate = { deflate = false } }):encode(1, "Hello"))
  end)

  it("masks as a client", function()
    local text = ("Hello"):rep(20)
    for _, how in ipairs({ HOW, HOW_FRESH }) do
      local reader = engine.reader(options({ deflate = { inflate = KEPT } }))
      local writer = new_writer(how, "client")
      for _ = 1, 3 do assert.same({ 1, text }, read(reader, writer:encode(1, text))) end
    end
  end)
end

for _, one in ipairs(support.engines()) do
  local can_compress = one.engine.can_compress
  if not can_compress or not can_compress() then
    pending(one.name .. " engine: needs lua-zlib or the accelerator")
  else
    describe("compression, " .. one.name .. " engine: the reader", function() describe_reader(one.engine) end)
    describe("compression, " .. one.name .. " engine: the writer", function() describe_writer(one.engine) end)
  end
end
