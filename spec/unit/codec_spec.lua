--- WebSocket without sockets: the public codec.
-- @module spec.unit.codec_spec
local codec = require("websockets.codec")

local KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
local MASKED_HELLO = "\129\133\55\250\33\61\127\159\77\81\88"

local function request(changes)
  local all = {
    Host = "example", Upgrade = "websocket", Connection = "Upgrade", ["Sec-WebSocket-Version"] = "13",
    ["Sec-WebSocket-Key"] = KEY,
  }
  for name, value in pairs(changes or {}) do all[name] = value end
  local lines = { "GET / HTTP/1.1" }
  for name, value in pairs(all) do
    if value then lines[#lines + 1] = name .. ": " .. value end
  end
  return table.concat(lines, "\r\n") .. "\r\n"
end

describe("a session of the codec", function()
  local client, server
  before_each(function() client, server = codec.session({ role = "client" }), codec.session({ role = "server" }) end)

  it("carries messages both ways, cut anywhere", function()
    local bytes = client:send("hé") .. client:send("\0\255", codec.BINARY) .. client:send(("x"):rep(70000))
    local got = {}
    for i = 1, #bytes, 7 do
      for _, event in ipairs(server:receive(bytes:sub(i, i + 6))) do got[#got + 1] = event end
    end
    assert.same({
      { kind = "message", payload = "hé", opcode = 1 }, { kind = "message", payload = "\0\255", opcode = 2 },
      { kind = "message", payload = ("x"):rep(70000), opcode = 1 },
    }, got)
    assert.same({ { kind = "message", payload = "back", opcode = 1 } }, client:receive(server:send("back")))
  end)

  it("gives more messages of one read than a batch has", function()
    local bytes = server:send("m"):rep(1000)
    assert.equal(1000, #client:receive(bytes))
  end)

  it("answers pings, and tells pongs", function()
    local events = server:receive(client:send("p", codec.PING))
    assert.equal("send", events[1].kind)
    assert.same({ { kind = "pong", payload = "p" } }, client:receive(events[1].bytes))
  end)

  it("closes with both close frames", function()
    local events = server:receive(client:close(4001, "done"))
    assert.same({ "closed", 4001, "done", true },
      { events[1].kind, events[1].code, events[1].reason, events[1].clean })
    local ends = client:receive(events[1].bytes)
    assert.same({ { kind = "closed", code = 4001, reason = "", clean = true, bytes = false } }, ends)
    for _, session in ipairs({ client, server }) do
      assert.same({ nil, "closing" }, { session:send("late"), (select(3, session:send("late"))) })
      assert.equal("closing", (select(3, session:close(1000))))
    end
    assert.same({}, server:receive(client.writer:encode(1, "after the end")))
  end)

  it("fails what breaks a rule with a close code, once", function()
    for bytes, expected in pairs({
      ["\129\1a"] = { 1002, "protocol" }, ["\193\128\0\0\0\0"] = { 1002, "protocol" },
      ["\129\129\0\0\0\0\255"] = { 1007, "utf8" }, ["\130\255\0\0\0\0\127\255\255\255"] = { 1009, "too_big" },
      ["\130\255\255\255\255\255\255\255\255\255"] = { 1002, "protocol" },
    }) do
      local events = codec.session({ role = "server" }):receive(bytes .. bytes)
      assert.equal(1, #events)
      assert.same({ "closed", false, expected[1], expected[2] },
        { events[1].kind, events[1].clean, events[1].code, events[1].why })
      assert.equal(expected[1], events[1].bytes:byte(3) * 256 + events[1].bytes:byte(4))
    end
    assert.equal("protocol", client:receive(MASKED_HELLO)[1].why)
  end)

  it("has limits of its own", function()
    local small = codec.session({ role = "server", max_message_bytes = 10, max_fragments = 2 })
    assert.equal("too_big", small:receive(client:send("eleven byte"))[1].why)
    small = codec.session({ role = "server", max_fragments = 2 })
    local fragment = codec.encode(0, "", true, false)
    assert.equal("too_big", small:receive(codec.encode(1, "", true, false) .. fragment:rep(2))[1].why)
  end)

  it("refuses what may not be sent", function()
    for word, arguments in pairs({ utf8 = { "\255" }, type = { "x", 0 } }) do
      local bytes, message, code = client:send((table.unpack or unpack)(arguments))
      assert.is_nil(bytes)
      assert.is_string(message)
      assert.equal(word, code)
    end
    assert.equal("type", (select(3, client:send(("x"):rep(126), codec.PING))))
    assert.error_matches(function() client:close(1006) end, "bad argument #1 to 'close'")
    assert.error_matches(function() client:close(1000, "\255") end, "bad argument #2 to 'close'")
  end)

  it("names the wrong argument or option of the caller", function()
    for expected, call in pairs({
      ["bad argument #1 to 'session' (table of options expected, got no value)"] = function() codec.session() end,
      ["bad option 'role' (\"client\" or \"server\" expected, got \"peer\")"] =
        function() codec.session({ role = "peer" }) end,
      ["bad option 'role' (\"client\" or \"server\" expected, got no value)"] = function() codec.session({}) end,
      ["bad option 'max_fragments' (whole number of fragments above 0 expected, got 0)"] =
        function() codec.session({ role = "client", max_fragments = 0 }) end,
      ["unknown option 'max_bytes'"] = function() codec.session({ role = "client", max_bytes = 1 }) end,
      ["bad argument #1 to 'receive' (string expected, got no value)"] = function() client:receive() end,
      ["bad argument #1 to 'send' (string expected, got table)"] = function() client:send({}) end,
      ["bad argument #1 to 'encode' (opcode 0 to 15 expected, got 16)"] = function() codec.encode(16, "") end,
      ["bad argument #2 to 'encode' (string expected, got no value)"] = function() codec.encode(1) end,
      ["bad argument #1 to 'accept' (string expected, got no value)"] = function() codec.accept() end,
      ["bad argument #2 to 'accept' (list of names expected, got \"chat\")"] = function() codec.accept("", "chat") end,
      ["bad argument #1 to 'check_answer' (string expected, got no value)"] = function() codec.check_answer() end,
      ["bad argument #2 to 'check_answer' (string expected, got no value)"] = function() codec.check_answer("") end,
      ["bad argument #3 to 'check_answer' (list of names expected, got 1)"] =
        function() codec.check_answer("", "", 1) end,
      ["bad argument #1 to 'decode' (string expected, got no value)"] = function() codec.decode() end,
      ["bad argument #1 to 'frame_bytes' (string expected, got no value)"] = function() codec.frame_bytes() end,
      ["bad argument #1 to 'is_utf8' (string expected, got 12)"] = function() return (codec.is_utf8(12)) end,
      ["bad argument #1 to 'accept_key' (string expected, got no value)"] = function() return (codec.accept_key()) end,
      ["bad argument #1 to 'sha1' (string expected, got no value)"] = function() return (codec.sha1()) end,
      ["bad argument #1 to 'base64' (string expected, got no value)"] = function() return (codec.base64()) end,
    }) do
      local is_good, message = pcall(call)
      assert.is_false(is_good)
      assert.equal(expected, message:match("^.*codec_spec%.lua:%d+: (.*)$"))
    end
  end)
end)

describe("frames of the codec", function()
  it("are encoded as they are given", function()
    assert.equal("\129\5Hello", codec.encode(1, "Hello"))
    assert.equal("\1\5Hello", codec.encode(1, "Hello", false, false))
    local one, other = codec.encode(1, "Hello", true), codec.encode(1, "Hello", true)
    assert.equal("\129\133", one:sub(1, 2))
    assert.not_equal(one, other)
  end)

  it("are decoded without judgement", function()
    assert.same({ "Hello", true, 1, 12, true }, { codec.decode(MASKED_HELLO .. "rest") })
    assert.same({ "Hello", true, 1, 14, true }, { codec.decode("ab" .. MASKED_HELLO, 3) })
    assert.same({ "", false, 11, 3, false }, { codec.decode("\59\0") })
    assert.same({ "abc", true, 1, 8, false }, { codec.decode("\129\126\0\3abc") })
  end)

  it("are decoded from a position inside the bytes, or right after them", function()
    assert.same({ nil, 2 }, { codec.decode("", 1) })
    assert.same({ nil, 2 }, { codec.decode("\129\0", 3) })
    for _, case in ipairs({
      { "ab", 0, "0" }, { "ab", -1, "-1" }, { "ab", 4, "4" }, { "", 2, "2" }, { "ab", 1.5, "1.5" },
      { "ab", "1", '"1"' }, { "ab", {}, "table" }, { "ab", false, "false" },
    }) do
      local is_good, message = pcall(function() codec.decode(case[1], case[2]) end)
      assert.is_false(is_good)
      assert.equal(("bad argument #2 to 'decode' (position 1 to %d expected, got %s)"):format(#case[1] + 1, case[3]),
        message:match("^.*codec_spec%.lua:%d+: (.*)$"))
    end
    for _, position in ipairs({ math.huge, -math.huge, 0 / 0 }) do
      assert.error_matches(function() codec.decode("ab", position) end, "position 1 to 3 expected, got ")
    end
  end)

  it("that are not whole tell how many bytes are missing", function()
    for i = 0, #MASKED_HELLO - 1 do
      local payload, missing = codec.decode(MASKED_HELLO:sub(1, i))
      assert.is_nil(payload)
      assert.equal(i < 2 and 2 - i or #MASKED_HELLO - i, missing)
    end
    assert.same({ nil, 2 }, { codec.decode("\129\126") })
    assert.same({ nil, 8 }, { codec.decode("\129\127") })
    assert.is_true(select(2, codec.decode("\129\127" .. ("\255"):rep(8))) > 2 ^ 53)
  end)

  it("have a length by their header", function()
    assert.same({ nil, 2 }, { codec.frame_bytes("") })
    assert.same({ nil, 4 }, { codec.frame_bytes("\129\126") })
    assert.same({ nil, 10 }, { codec.frame_bytes("\129\255") })
    assert.equal(11, codec.frame_bytes("\129\133"))
    assert.equal(304, codec.frame_bytes("\129\126\1\44"))
  end)
end)

describe("the opening handshake of the codec", function()
  it("is accepted with the first subprotocol that is served", function()
    local answer, name = codec.accept(request({ ["Sec-WebSocket-Protocol"] = "a, b" }), { "b", "c" })
    assert.equal("b", name)
    assert.matches("^HTTP/1.1 101 .*\r\nSec%-WebSocket%-Accept: " .. ACCEPT:gsub("%p", "%%%0"), answer)
    answer, name = codec.accept(request() .. "\r\n")
    assert.matches("^HTTP/1.1 101 ", answer)
    assert.is_nil(name)
  end)

  it("is refused by RFC 6455, with the bytes of the answer", function()
    for status, head in pairs({
      [400] = request({ Upgrade = false }), [426] = request({ ["Sec-WebSocket-Version"] = "12" }),
      [405] = request():gsub("^GET", "PUT"), [505] = request():gsub("HTTP/1.1", "HTTP/2.0"),
    }) do
      local answer, code, bytes = codec.accept(head)
      assert.is_nil(answer)
      assert.equal(status, code)
      assert.matches("^HTTP/1.1 " .. status .. " .*\r\nConnection: close\r\n", bytes)
    end
    -- The headers of one refusal are not those of the next.
    local again = { codec.accept(request({ ["Sec-WebSocket-Version"] = "8" })) }
    assert.matches("Sec%-WebSocket%-Version: 13", again[3])
    for _, head in ipairs({
      "", "\r\n\r\n", "nonsense", ("x"):rep(100000), request({ ["Sec-WebSocket-Protocol"] = "a, a" }),
    }) do
      assert.is_nil((codec.accept(head, { "a" })))
    end
  end)

  it("is checked by the client", function()
    local answer = codec.accept(request({ ["Sec-WebSocket-Protocol"] = "a" }), { "a" })
    assert.equal("a", codec.check_answer(answer, KEY, { "a" })["sec-websocket-protocol"])
    for head, expected in pairs({
      [answer] = "handshake", ["HTTP/1.1 403 No\r\nA: b\r\n"] = "status", ["SSH-2.0\r\n"] = "handshake",
      [""] = "handshake",
    }) do
      local headers, message, code, refused = codec.check_answer(head, KEY, {})
      assert.is_nil(headers)
      assert.is_string(message)
      assert.equal(expected, code)
      if code == "status" then assert.equal("b", refused.a) end
    end
  end)

  it("has keys of random bytes", function()
    assert.equal(24, #codec.key())
    assert.not_equal(codec.key(), codec.key())
    assert.equal(ACCEPT, codec.accept_key(KEY))
    assert.equal("\169\153\62\54\71\6\129\106\186\62\37\113\120\80\194\108\156\208\216\157", codec.sha1("abc"))
    assert.equal("YWI=", codec.base64("ab"))
    assert.is_true(codec.is_utf8("é"))
    assert.is_false(codec.is_utf8("\233"))
    assert.is_true(codec.may_close(4000, "why"))
    assert.is_false(codec.may_close(1005))
    assert.is_false(codec.may_close(1000, ("x"):rep(124)))
  end)
end)
