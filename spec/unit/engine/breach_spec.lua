--- Reading what is wrong: every rule with the bytes that break it, the close code, and how early it is seen.
-- @module spec.unit.engine.breach_spec

local support = require "spec.support.engine"

local bytes, frame, masked, options, read = support.bytes, support.frame, support.masked, support.options, support.read
local without_words = support.without_words

-- The last byte of each line is the one that breaks the rule; up to it nothing may be said.
local SERVER_BREACHES = {
  { 1002, "c1", "RSV1" }, { 1002, "a1", "RSV2" }, { 1002, "91", "RSV3" }, { 1002, "f2", "all reserved bits" },
  { 1002, "c9", "RSV1 on a ping" },
  { 1002, "83", "opcode 3" }, { 1002, "84", "opcode 4" }, { 1002, "85", "opcode 5" }, { 1002, "86", "opcode 6" },
  { 1002, "87", "opcode 7" }, { 1002, "8b", "opcode 11" }, { 1002, "8c", "opcode 12" }, { 1002, "8d", "opcode 13" },
  { 1002, "8e", "opcode 14" }, { 1002, "8f", "opcode 15" }, { 1002, "03", "opcode 3 without FIN" },
  { 1002, "08", "fragmented close" }, { 1002, "09", "fragmented ping" }, { 1002, "0a", "fragmented pong" },
  { 1002, "80", "continuation without a message" }, { 1002, "00", "first fragment as continuation" },
  { 1002, "01 80 01 02 03 04 81", "text inside a message" },
  { 1002, "02 80 01 02 03 04 02", "binary inside a message" },
  { 1002, "81 00", "no mask" }, { 1002, "82 7e", "no mask, 16-bit length" }, { 1002, "89 05", "ping without mask" },
  { 1002, "89 fe", "ping with a 16-bit length" }, { 1002, "8a ff", "pong with a 64-bit length" },
  { 1002, "88 fe", "close with a 16-bit length" },
  { 1002, "82 fe 00 7d", "125 in 16 bits" }, { 1002, "82 fe 00 00", "0 in 16 bits" },
  { 1002, "82 ff 00 00 00 00 00 00 ff ff", "65,535 in 64 bits" },
  { 1002, "82 ff 00 00 00 00 00 00 00 01", "1 in 64 bits" },
  { 1002, "82 ff 80 00 00 00 00 00 00 00", "top bit" }, { 1002, "82 ff ff ff ff ff ff ff ff ff", "all bits" },
  { 1009, "82 ff 00 00 00 00 00 40 00 01", "4 MiB and one" }, { 1009, "82 ff 00 00 00 01 00 00 00 00", "2^32" },
  { 1009, "82 ff 00 20 00 00 00 00 00 00", "2^53" }, { 1009, "82 ff 00 20 00 00 00 00 00 01", "2^53 + 1" },
  { 1009, "82 ff 7f ff ff ff ff ff ff ff", "2^63 - 1" },
}

local CLIENT_BREACHES = {
  { 1002, "81 80", "masked text" }, { 1002, "82 ff", "masked, 64-bit length" }, { 1002, "89 80", "masked ping" },
  { 1002, "c1", "RSV1" }, { 1002, "83", "opcode 3" }, { 1002, "80", "continuation without a message" },
  { 1002, "01 01 61 81", "text inside a message" }, { 1002, "89 7e", "ping with a 16-bit length" },
  { 1002, "82 7e 00 7d", "125 in 16 bits" }, { 1009, "82 7f 00 00 00 00 00 40 00 01", "4 MiB and one" },
  { 1007, "81 05 61 ff", "bad text in an unfinished frame" },
}

local function describe_headers(engine, role, breaches)
  for _, line in ipairs(breaches) do
    it("refuses " .. line[3] .. " as a " .. role, function()
      local code, text = line[1], bytes(line[2])
      local reader = engine.reader(options { role = role })
      assert.same({}, read(reader, text:sub(1, -2)))
      assert.same({ code, "breach" }, without_words(read(reader, text:sub(-1))))
      for _, size in ipairs { 1, 2, 3, #text } do
        assert.same({ code, "breach" }, without_words(read(engine.reader(options { role = role }), text, size)))
      end
    end)
  end
end

local function describe_close(engine)
  local function close(payload)
    return without_words(read(engine.reader(options()), masked(8, payload)))
  end

  it("takes a close frame without a code", function()
    assert.same({ 8, "" }, close "")
  end)

  it("refuses a close payload of one byte", function()
    assert.same({ 1002, "breach" }, close "\3")
  end)

  it("takes exactly the close codes that may stand on the wire", function()
    local allowed = { { 1000, 1003 }, { 1007, 1014 }, { 3000, 4999 } }
    for code = 0, 65535 do
      -- Every code near an edge, and some between.
      if code < 1100 or (code > 2980 and code < 3020) or (code > 4980 and code < 5020) or code % 997 == 0 then
        local fine = false
        for _, range in ipairs(allowed) do
          fine = fine or (code >= range[1] and code <= range[2])
        end
        local payload = string.char(math.floor(code / 256), code % 256)
        assert.same(fine and { 8, payload } or { 1002, "breach" }, close(payload), "code " .. code)
      end
    end
  end)

  it("checks the close reason", function()
    assert.same({ 8, "\3\232" .. ("r"):rep(123) }, close("\3\232" .. ("r"):rep(123)))
    assert.same({ 8, "\3\232Gr\195\188\195\159e" }, close "\3\232Gr\195\188\195\159e")
    assert.same({ 1007, "breach" }, close "\3\232\255")
    assert.same({ 1007, "breach" }, close "\3\232bye\195")
    assert.same({ 1007, "breach" }, close "\3\232\237\160\128")
  end)
end

local function first_pair_of(engine)
  return function(changes, text, size)
    return without_words(read(engine.reader(options(changes)), text, size))
  end
end

local function describe_sizes(engine)
  local first_pair = first_pair_of(engine)

  it("takes a message of max_message_bytes and refuses one byte more", function()
    for _, limit in ipairs { 0, 1, 100, 125, 126, 1000, 65535, 65536, 70000 } do
      for _, size in ipairs { 1000, 65536, 200000 } do
        local payload, changes = ("x"):rep(limit), { max_message_bytes = limit }
        assert.same({ 1, payload }, first_pair(changes, masked(1, payload), size))
        assert.same({ 1009, "breach" }, first_pair(changes, masked(1, payload .. "x"), size))
      end
    end
  end)

  it("judges the size from the header alone", function()
    for _, length in ipairs { 101, 126, 65536, 2 ^ 40 } do
      local header = frame { opcode = 2, length = length, key = "" }
      assert.same({ 1009, "breach" }, first_pair({ max_message_bytes = 100 }, header))
    end
  end)

  it("counts the bytes of all fragments", function()
    local changes = { max_message_bytes = 100 }
    local half = ("x"):rep(50)
    local function message(last)
      return masked(1, half, false) .. masked(9, half) .. masked(0, "", false) .. masked(0, last)
    end
    for _, size in ipairs { 1, 7, 1000 } do
      assert.same({ 9, half, 1, half .. half }, first_pair(changes, message(half), size))
      assert.same({ 9, half, 1009, "breach" }, first_pair(changes, message(half .. "x"), size))
    end
    local header = masked(2, ("x"):rep(99), false) .. frame { opcode = 0, length = 2 ^ 53, key = "" }
    assert.same({ 1009, "breach" }, first_pair(changes, header))
  end)
end

local function describe_fragments(engine)
  local first_pair = first_pair_of(engine)

  it("refuses a continuation after the last fragment", function()
    local message = masked(1, "a", false) .. masked(0, "b")
    assert.same({ 1, "ab", 1002, "breach" }, first_pair({}, message .. "\128"))
    assert.same({ 1, "ab", 1002, "breach" }, first_pair({}, message .. masked(0, "c"), 1))
  end)

  it("counts each message from the beginning", function()
    local message = masked(1, "abc", false) .. masked(0, "def")
    local changes = { max_message_bytes = 6, max_fragments = 2 }
    assert.same({ 1, "abcdef", 1, "abcdef", 1, "abcdef" }, first_pair(changes, message:rep(3)))
  end)

  it("takes max_fragments frames and refuses one more at its first byte", function()
    for _, most in ipairs { 1, 2, 3, 100 } do
      local changes = { max_fragments = most }
      local fragments = masked(2, "a", false) .. masked(0, "a", false):rep(most - 2)
      local fine = most == 1 and masked(2, "a") or fragments .. masked(0, "a")
      assert.same({ 2, ("a"):rep(most) }, first_pair(changes, fine))
      local open = most == 1 and masked(2, "a", false) or fragments .. masked(0, "a", false)
      assert.same({}, first_pair(changes, open))
      assert.same({ 1009, "breach" }, first_pair(changes, open .. "\128"))
      assert.same({ 9, "", 1009, "breach" }, first_pair(changes, open .. masked(9, "") .. masked(0, "")))
    end
  end)
end

for _, entry in ipairs(support.engines()) do
  describe("breaches for engine " .. entry.name, function()
    describe_headers(entry.engine, "server", SERVER_BREACHES)
    describe_headers(entry.engine, "client", CLIENT_BREACHES)
    describe_close(entry.engine)
    describe_sizes(entry.engine)
    describe_fragments(entry.engine)

    it("delivers what came before a breach in the same bytes", function()
      for _, line in ipairs(SERVER_BREACHES) do
        local list = without_words(read(entry.engine.reader(options()), masked(1, "fine") .. bytes(line[2])))
        assert.same({ 1, "fine", line[1], "breach" }, list, line[3])
      end
    end)
  end)
end
