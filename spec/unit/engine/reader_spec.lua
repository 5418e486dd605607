--- Reading what is right: whole messages in the order of the wire, however the bytes are cut.
-- @module spec.unit.engine.reader_spec

local support = require "spec.support.engine"

local bytes, frame, masked, options, read = support.bytes, support.frame, support.masked, support.options, support.read

local function describe_examples(engine)
  local function client(changes)
    local merged = options(changes)
    merged.role = "client"
    return engine.reader(merged)
  end

  it("reads the examples of RFC 6455 5.7", function()
    assert.same({ 1, "Hello" }, read(client(), bytes "81 05 48 65 6c 6c 6f"))
    assert.same({ 1, "Hello" }, read(engine.reader(options()), bytes "81 85 37 fa 21 3d 7f 9f 4d 51 58"))
    assert.same({ 1, "Hello" }, read(client(), bytes "01 03 48 65 6c 80 02 6c 6f"))
    assert.same({ 9, "Hello" }, read(client(), bytes "89 05 48 65 6c 6c 6f"))
    assert.same({ 10, "Hello" }, read(engine.reader(options()), bytes "8a 85 37 fa 21 3d 7f 9f 4d 51 58"))
    local middle, large = ("\1"):rep(256), ("\254"):rep(65536)
    assert.same({ 2, middle }, read(client(), bytes "82 7E 01 00" .. middle))
    assert.same({ 2, large }, read(client(), bytes "82 7F 00 00 00 00 00 01 00 00" .. large))
  end)

  it("reads every length form at its edges, in both roles", function()
    for _, length in ipairs { 0, 1, 2, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537 } do
      local payload = ("abcdefg"):rep(10000):sub(1, length)
      assert.same({ 1, payload }, read(engine.reader(options()), masked(1, payload)))
      assert.same({ 2, payload }, read(client(), frame { opcode = 2, payload = payload }))
    end
  end)
end

-- One of everything: all opcodes, all length forms, fragments with control frames between them.
local STREAM = {
  masked(1, "Hello"), masked(2, ""), masked(9, "ping"), masked(1, ("\195\164\226\130\172"):rep(40)),
  masked(1, "Gr\195", false), masked(9, "between"), masked(0, "", false), masked(10, ""),
  masked(0, "\188\195\159e \240\159", false), masked(0, "\152\128"), masked(2, "\0\255", false),
  masked(0, "\128"), masked(2, ("z"):rep(130)), masked(10, ("p"):rep(125)), masked(1, ""),
  masked(8, "\3\232bye"),
}
local EXPECTED = {
  1, "Hello", 2, "", 9, "ping", 1, ("\195\164\226\130\172"):rep(40), 9, "between", 10, "",
  1, "Gr\195\188\195\159e \240\159\152\128", 2, "\0\255\128", 2, ("z"):rep(130), 10, ("p"):rep(125), 1, "",
  8, "\3\232bye",
}

local function describe_cuts(engine)
  local stream = table.concat(STREAM)

  it("reads a stream whole", function()
    assert.same(EXPECTED, read(engine.reader(options()), stream))
  end)

  it("reads a stream cut at every position", function()
    for cut = 0, #stream do
      local reader = engine.reader(options())
      local list = read(reader, stream:sub(1, cut))
      for _, item in ipairs(read(reader, stream:sub(cut + 1))) do
        list[#list + 1] = item
      end
      assert.same(EXPECTED, list, "cut after byte " .. cut)
    end
  end)

  it("reads a stream in pieces of 1 to 20 bytes", function()
    for size = 1, 20 do
      assert.same(EXPECTED, read(engine.reader(options()), stream, size), "pieces of " .. size)
    end
  end)

  it("gives each message with its last byte, not later", function()
    local reader, batch = engine.reader(options()), {}
    for _, piece in ipairs { masked(1, "Hello"), masked(2, ("x"):rep(200)), masked(9, "") } do
      assert.equal(0, (reader:feed(piece:sub(1, -2), batch)))
      assert.equal(1, (reader:feed(piece:sub(-1), batch)))
    end
  end)
end

local function describe_fragments(engine)
  it("gives control frames between fragments at once", function()
    local reader = engine.reader(options())
    assert.same({}, read(reader, masked(1, "a", false)))
    assert.same({ 9, "now" }, read(reader, masked(9, "now")))
    assert.same({ 10, "", 9, "again" }, read(reader, masked(0, "b", false) .. masked(10, "") .. masked(9, "again")))
    assert.same({ 1, "abc" }, read(reader, masked(0, "c")))
  end)

  it("reads fragments of no bytes", function()
    local reader = engine.reader(options())
    assert.same({ 1, "" }, read(reader, masked(1, "", false) .. masked(0, "", false) .. masked(0, "")))
    assert.same({ 2, "x" }, read(reader, masked(2, "", false) .. masked(0, "x", false) .. masked(0, "")))
  end)

  it("takes no bytes for nothing new", function()
    local reader = engine.reader(options())
    assert.same({}, read(reader, ""))
    local piece = masked(1, "Hello")
    assert.same({}, read(reader, piece:sub(1, 3)))
    assert.same({}, read(reader, ""))
    assert.same({}, read(reader, piece:sub(4, 8)))
    assert.same({}, read(reader, ""))
    assert.same({ 1, "Hello" }, read(reader, piece:sub(9)))
  end)
end

local function describe_end(engine)
  it("reads nothing after a close frame", function()
    local reader, batch = engine.reader(options()), {}
    local count, again = reader:feed(masked(1, "a") .. masked(8, "\3\233") .. masked(1, "b") .. "\255\255", batch)
    assert.same({ 2, false }, { count, again })
    assert.same({ 1, "a", 8, "\3\233" }, { batch[1], batch[2], batch[3], batch[4] })
    assert.same({ 0, false }, { reader:feed(masked(1, "c"), batch) })
    assert.same({ 0, false }, { reader:feed("", batch) })
  end)

  it("reads nothing after a breach, but everything before it", function()
    local reader, batch = engine.reader(options()), {}
    local count, again = reader:feed(masked(1, "a") .. masked(9, "b") .. masked(3, "c") .. masked(1, "d"), batch)
    assert.same({ 3, false }, { count, again })
    assert.same({ 1, "a", 9, "b", 1002 }, { batch[1], batch[2], batch[3], batch[4], batch[5] })
    assert.equal("string", type(batch[6]))
    assert.same({ 0, false }, { reader:feed(masked(1, "e"), batch) })
  end)

  it("reads nothing after release", function()
    local reader, batch = engine.reader(options()), {}
    reader:feed(masked(1, "abc", false) .. masked(0, "def"):sub(1, 8), batch)
    reader:release()
    assert.same({ 0, false }, { reader:feed(masked(0, "def"), batch) })
    reader:release()
  end)
end

local function describe_batches(engine)
  it("ends a batch at 256 messages", function()
    local reader, batch = engine.reader(options()), {}
    local parts = {}
    for index = 1, 600 do
      parts[index] = index % 3 == 0 and masked(9, tostring(index)) or masked(1, tostring(index))
    end
    local seen, sizes, chunk = 0, {}, table.concat(parts)
    local count, again = reader:feed(chunk, batch)
    while true do
      sizes[#sizes + 1] = count
      for index = 1, count do
        seen = seen + 1
        assert.equal(tostring(seen), batch[2 * index])
        assert.equal(seen % 3 == 0 and 9 or 1, batch[2 * index - 1])
      end
      if again ~= true then break end
      count, again = reader:feed("", batch)
    end
    assert.same({ 256, 256, 88 }, sizes)
  end)

  it("asks for nothing more where a full batch was all", function()
    local reader, batch = engine.reader(options()), {}
    assert.same({ 256, false }, { reader:feed(masked(1, "x"):rep(256), batch) })
    assert.same({ 0, false }, { reader:feed("", batch) })
  end)
end

local function describe_full_batches(engine)
  it("ends a batch at 1 MiB of payload", function()
    local reader, batch = engine.reader(options()), {}
    local large = masked(2, ("x"):rep(65536))
    assert.same({ 16, true }, { reader:feed(large:rep(20), batch) })
    assert.same({ 4, false }, { reader:feed("", batch) })
    assert.same({ 16, false }, { reader:feed(large:rep(16), batch) })
    local most = masked(2, ("x"):rep(65537))
    assert.same({ 16, true }, { reader:feed(most:rep(16) .. "\129", batch) })
  end)

  it("goes on where new bytes come after a full batch", function()
    local reader, batch = engine.reader(options()), {}
    local last = masked(1, "last")
    assert.same({ 256, true }, { reader:feed(masked(1, "x"):rep(300) .. last:sub(1, 4), batch) })
    assert.same({ 45, false }, { reader:feed(last:sub(5), batch) })
    assert.equal("last", batch[90])
  end)

  it("gives a breach after a full batch with the next one", function()
    local reader, batch = engine.reader(options()), {}
    assert.same({ 256, true }, { reader:feed(masked(1, "x"):rep(256) .. masked(4, ""), batch) })
    assert.same({ 1, false }, { reader:feed("", batch) })
    assert.equal(1002, batch[1])
    assert.same({ 0, false }, { reader:feed("", batch) })
  end)

  it("forgets what was left over where it is released", function()
    local reader, batch = engine.reader(options()), {}
    assert.same({ 256, true }, { reader:feed(masked(1, "x"):rep(300), batch) })
    reader:release()
    assert.same({ 0, false }, { reader:feed("", batch) })
  end)
end

for _, entry in ipairs(support.engines()) do
  describe("reader of engine " .. entry.name, function()
    describe_examples(entry.engine)
    describe_cuts(entry.engine)
    describe_fragments(entry.engine)
    describe_end(entry.engine)
    describe_batches(entry.engine)
    describe_full_batches(entry.engine)
  end)
end
