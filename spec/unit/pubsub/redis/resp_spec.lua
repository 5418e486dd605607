--- RESP3: commands out, values in. The cases of values follow those that hiredis tests.
-- @module spec.unit.pubsub.redis.resp_spec
local resp = require("websockets.pubsub.redis.resp")

local LIMIT = 1000

local function recorder()
  local seen = {}
  local function note(kind)
    return function(_, ...) seen[#seen + 1] = { kind, ... } end
  end
  return { message = note("message"), push = note("push"), reply = note("reply") }, seen
end

-- What a reader makes of bytes, whole or in pieces of so many bytes; last what it says of them.
local function read(bytes, size, limit)
  local handler, seen = recorder()
  local reader = resp.new(handler, limit or LIMIT)
  local is_good, why
  for at = 1, #bytes, size or #bytes do
    is_good, why = reader:feed(bytes:sub(at, at + (size or #bytes) - 1))
    if not is_good then break end
  end
  return seen, is_good, why
end

local GOOD = {
  { "+OK\r\n", "OK" }, { "+\r\n", "" }, { "-ERR unknown\r\n", { fault = "ERR unknown" } },
  { ":0\r\n", 0 }, { ":-12\r\n", -12 }, { ":+7\r\n", 7 },
  { "$5\r\nhello\r\n", "hello" }, { "$0\r\n\r\n", "" }, { "$4\r\na\r\nb\r\n", "a\r\nb" }, { "$-1\r\n", false },
  { "*0\r\n", {} }, { "*-1\r\n", false }, { "*2\r\n:1\r\n$1\r\nx\r\n", { 1, "x" } },
  { "*2\r\n*1\r\n:1\r\n*0\r\n", { { 1 }, {} } },
  { "_\r\n", false }, { "#t\r\n", true }, { "#f\r\n", false },
  { ",3.14\r\n", 3.14 }, { ",10\r\n", 10 }, { ",1e3\r\n", 1000 }, { ",-2.5E-1\r\n", -0.25 },
  { ",inf\r\n", math.huge }, { ",-inf\r\n", -math.huge }, { ",nan\r\n", "nan" },
  { "(3492890328409238509324850943850943825024385\r\n", "3492890328409238509324850943850943825024385" },
  { "=10\r\ntxt:foobar\r\n", "foobar" }, { "!9\r\nERR large\r\n", { fault = "ERR large" } },
  { "%2\r\n+first\r\n:123\r\n$6\r\nsecond\r\n#t\r\n", { "first", 123, "second", true } }, { "%0\r\n", {} },
  { "~3\r\n+orange\r\n$5\r\napple\r\n#f\r\n", { "orange", "apple", false } },
  -- Attributes say something about the value that follows.
  { "|1\r\n+ttl\r\n:3600\r\n*1\r\n|0\r\n+x\r\n", { "x" } },
}

local BAD = {
  "@foo\r\n", ":12x\r\n", ":\r\n", ":--1\r\n", ":9223372036854775808999\r\n", "$-2\r\nasdf\r\n", "$x\r\n", "*-2\r\n",
  "$3\r\nabcd\r\n", "*9223372036854775807\r\n", "_asd\r\n", "#foobar\r\n", ",3.14abc\r\n", ",-nan\r\n", ",\r\n",
  "(12.5\r\n", "(\r\n", "=3\r\nfoo\r\n", "+a\rb\r\n", "%-1\r\n", ">-1\r\n", "$?\r\n", "\r\n",
  -- A push inside of a value, and an empty one.
  "*2\r\n>1\r\n+x\r\n:1\r\n", ">0\r\n",
}

describe("websockets.pubsub.redis.resp", function()
  it("writes commands", function()
    assert.equal("*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$0\r\n\r\n", resp.command("PUBLISH", "a", ""))
    assert.equal("*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\nb\r\n$2\r\ncc\r\n",
      resp.list_command("SUBSCRIBE", { "a", "b", "cc", "d" }, 2, 3))
  end)

  it("reads each kind of value, whole and cut at each byte", function()
    for _, case in ipairs(GOOD) do
      local bytes = case[1]
      for size = 1, #bytes do
        local seen, is_good = read(bytes .. bytes, size)
        assert.is_true(is_good)
        assert.same({ { "reply", case[2] }, { "reply", case[2] } }, seen, bytes)
      end
    end
  end)

  it("tells messages from other pushes and from replies, cut at each byte", function()
    local bytes = ">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$5\r\na\r\nbc\r\n:1\r\n"
      .. ">3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n"
      .. ">3\r\n$8\r\nsmessage\r\n$0\r\n\r\n$0\r\n\r\n+OK\r\n"
      .. ">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$12\r\n123456789012\r\n"
      .. ">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nx\r\n$1\r\ny\r\n"
    for size = 1, #bytes do
      local seen, is_good = read(bytes, size)
      assert.is_true(is_good)
      assert.same({
        { "message", "ch", "a\r\nbc" }, { "reply", 1 }, { "push", { "subscribe", "ch", 1 } }, { "message", "", "" },
        { "reply", "OK" }, { "message", "x", "123456789012" }, { "push", { "pmessage", "*", "x", "y" } },
      }, seen)
    end
  end)

  it("says what is wrong, and reads nothing after it", function()
    for _, bytes in ipairs(BAD) do
      for size = 1, #bytes do
        local seen, is_good, why = read(bytes .. "+OK\r\n", size)
        assert.is_nil(is_good, bytes)
        assert.matches("^the server broke RESP3: ", why)
        assert.same({}, seen)
      end
    end
  end)

  it("reads messages that are not quite as they should be by the general way", function()
    for _, bytes in ipairs({
      ">3\r\n$7\r\nmessage\r\n$1\r\nab\r\n$1\r\nx\r\n", ">3\r\n$7\r\nmessage\r\n$x\r\na\r\n$1\r\nx\r\n",
      ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nxy\r\n", ">3\r\n$7\r\nmessage\r\n$-5\r\na\r\n$1\r\nx\r\n",
    }) do
      local seen, is_good = read(bytes)
      assert.is_nil(is_good)
      assert.same({}, seen)
    end
    assert.same({ { "push", { "message", false, "x" } } }, (read(">3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\nx\r\n")))
    assert.same({ { "push", { "message", "a", 5 } } }, (read(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n:5\r\n")))
  end)

  it("takes nothing but digits for the length of a message's channel and payload, cut at each byte", function()
    for _, size in ipairs({ "1.5", "0x2", "1e0", " 2", "2 ", "+2.", "inf", "nan", "" }) do
      for _, bytes in ipairs({
        ">3\r\n$7\r\nmessage\r\n$" .. size .. "\r\nab\r\n$2\r\nxy\r\n",
        ">3\r\n$7\r\nmessage\r\n$2\r\nab\r\n$" .. size .. "\r\nxy\r\n:1\r\n",
      }) do
        for pieces = 1, #bytes do
          local seen, is_good, why = read(bytes, pieces)
          assert.same({ {}, "the server broke RESP3: no integer" }, { seen, not is_good and why })
        end
      end
    end
  end)

  it("stops at values that are too long, before their bytes come", function()
    local _, is_good, why = read("$1001\r\n")
    assert.is_nil(is_good)
    assert.matches("a value longer than 1000 bytes", why)
    assert.is_true(select(2, read("$900\r\n")))
    -- What a value contains counts together, and one value after the other does not.
    local item = "$400\r\n" .. ("x"):rep(400) .. "\r\n"
    assert.is_nil(select(2, read("*3\r\n" .. item:rep(3))))
    assert.is_nil(select(2, read("*1000\r\n" .. ("_\r\n"):rep(999))))
    assert.is_nil(select(2, read(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1000\r\n" .. ("x"):rep(1000) .. "\r\n")))
    for size = 1, 500, 7 do
      local seen, is_read = read(item:rep(5), size)
      assert.is_true(is_read)
      assert.equal(5, #seen)
    end
  end)

  it("stops at values that are nested too deeply", function()
    assert.is_true(select(2, read(("*1\r\n"):rep(8) .. ":1\r\n")))
    assert.is_nil(select(2, read(("*1\r\n"):rep(9))))
  end)

  it("stops at a line without end", function()
    local handler = recorder()
    local reader = resp.new(handler, 2 ^ 30)
    local is_good = true
    for _ = 1, 20 do is_good = is_good and reader:feed(("x"):rep(1000)) end
    assert.is_nil(is_good)
  end)

  it("reads nothing more once the handler says so", function()
    for _, bytes in ipairs({ "+a\r\n", ">1\r\n+a\r\n", ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n" }) do
      local count = 0
      local function stop()
        count = count + 1
        return true
      end
      local reader = resp.new({ message = stop, push = stop, reply = stop }, LIMIT)
      assert.same({ nil, "stopped" }, { reader:feed(bytes .. bytes) })
      assert.equal(1, count)
    end
  end)

  it("looks keys of a map up", function()
    assert.equal(3, resp.field({ "server", "redis", "proto", 3 }, "proto"))
    assert.is_nil(resp.field({ "server", "proto", "proto" }, "proto"))
  end)

  it("costs what has come, however it was cut", function()
    local bytes = "*200\r\n" .. ("$100\r\n" .. ("x"):rep(100) .. "\r\n"):rep(200)
    local reader = resp.new(recorder(), 1e6)
    local begun = os.clock()
    for _ = 1, 5 do
      for at = 1, #bytes do reader:feed(bytes:sub(at, at)) end
    end
    assert.is_true(os.clock() - begun < 3)
  end)
end)
