--- How much a reader does in one call: the share of a turn that one connection has. Fragments and inflated bytes count.
-- @module spec.unit.engine.share_spec

local support = require "spec.support.engine"

local masked, options = support.masked, support.options

local FRESH = { window_bits = 15, no_context_takeover = true }
local HOW_FRESH = { window_bits = 15, level = 6, threshold = 0, no_context_takeover = true }

-- Feeds bytes, then goes on as long as there are more. Returns how many pairs each call gave, and all pairs.
local function shares(reader, bytes)
  local counts, list, batch = {}, {}, {}
  local count, again = reader:feed(bytes, batch)
  while true do
    counts[#counts + 1] = count
    for i = 1, 2 * count do list[#list + 1] = batch[i] end
    if not again then return counts, list end
    count, again = reader:feed("", batch)
  end
end

local function fragmented(count)
  return masked(1, "a", false) .. masked(0, "a", false):rep(count - 2) .. masked(0, "z")
end

local function describe_fragments(engine)
  it("256 fragments are a share, as 256 messages are", function()
    local counts, list = shares(engine.reader(options()), fragmented(1000))
    assert.same({ 0, 0, 0, 1 }, counts)
    assert.same({ 1, ("a"):rep(999) .. "z" }, list)
  end)

  it("fragments and messages count together", function()
    local counts = shares(engine.reader(options()), (masked(2, "a", false) .. masked(0, "b")):rep(300))
    for _, count in ipairs(counts) do assert.is_true(count <= 256, count .. " messages in a call") end
    assert.is_true(#counts >= 2)
    counts = shares(engine.reader(options()), fragmented(16):rep(100))
    for _, count in ipairs(counts) do assert.is_true(count <= 17, count .. " messages of 16 fragments in a call") end
  end)

  it("control frames between fragments count", function()
    local counts, list = shares(engine.reader(options()),
      masked(1, "a", false) .. (masked(9, "") .. masked(0, "", false)):rep(400) .. masked(0, "z"))
    assert.is_true(#counts >= 2)
    assert.same({ 1, "az" }, { list[#list - 1], list[#list] })
    assert.equal(2 * 401, #list)
  end)

  it("fragments that come one by one wait for nothing", function()
    local reader, batch = engine.reader(options()), {}
    for _ = 1, 600 do
      assert.same({ 0, false }, { reader:feed(masked(1, "a", false), batch) })
      assert.same({ 1, false }, { reader:feed(masked(0, "a"), batch) })
    end
  end)
end

local function describe_inflated(engine)
  local function reader()
    return engine.reader(options({ deflate = { inflate = FRESH } }))
  end

  local function packed(payload, cut)
    local bytes = engine.deflater(HOW_FRESH):deflate(payload)
    if not cut then return support.frame { opcode = 1, rsv = 4, payload = bytes, key = "abcd" } end
    return support.frame { opcode = 1, rsv = 4, payload = bytes:sub(1, cut), key = "abcd", fin = false }
      .. support.frame { opcode = 0, payload = bytes:sub(cut + 1), key = "efgh" }
  end

  it("a message that inflates to a megabyte takes several calls, however it is cut", function()
    local text = ("x"):rep(1000000)
    for _, cut in ipairs({ false, 1, 200, 500 }) do
      local counts, list = shares(reader(), packed(text, cut))
      -- No more than 200,000 bytes a call.
      assert.is_true(#counts >= 5, #counts .. " calls")
      assert.equal(1, list[1])
      assert.is_true(list[2] == text)
    end
  end)

  it("messages that follow each other share it", function()
    local text = ("y"):rep(10000)
    local counts, list = shares(reader(), packed(text):rep(100))
    for _, count in ipairs(counts) do assert.is_true(count <= 20, count .. " messages in a call") end
    assert.equal(200, #list)
    for i = 2, 200, 2 do assert.is_true(list[i] == text) end
  end)

  it("what is not taken is read again as it came, masked", function()
    local random, noise = support.random(7), {}
    for i = 1, 40000 do noise[i] = string.char(random(256) - 1, random(4)) .. ("-"):rep(20) end
    local payload = table.concat(noise)
    local bytes = engine.deflater(HOW_FRESH):deflate(payload)
    local stream = support.frame { opcode = 2, rsv = 4, payload = bytes, key = "\1\250\7\99" }
    local whole = reader()
    local counts, list = shares(whole, stream)
    assert.is_true(#counts >= 5)
    assert.is_true(list[2] == payload)
    assert.is_true(support.read(reader(), stream, 777)[2] == payload)
  end)
end

for _, one in ipairs(support.engines()) do
  describe("the share of a call, " .. one.name .. " engine:", function()
    describe_fragments(one.engine)
    if one.engine.can_compress() then describe_inflated(one.engine) end
  end)
end
