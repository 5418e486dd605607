--- The helpers of the API of lua-websockets 2.x: names, constants, frames, handshakes, tools, bits.
-- @module spec.behaviour.two_x_helpers_spec
local bit = require("websocket.bit")
local frame = require("websocket.frame")
local handshake = require("websocket.handshake")
local tools = require("websocket.tools")
local websocket = require("websocket")

local KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
local MASKED_HELLO = "\129\133\55\250\33\61\127\159\77\81\88"
local REQUEST = {
  "GET /chat HTTP/1.1", "Host: example:8080", "Upgrade: WebSocket", "Connection: keep-alive, Upgrade",
  "Sec-WebSocket-Key: " .. KEY, "Sec-WebSocket-Protocol: one, two", "Sec-WebSocket-Version: 13",
  "Cookie: A=B", "cookie: C=D",
}

local function request(...)
  local lines = { ... }
  for _, line in ipairs(REQUEST) do lines[#lines + 1] = line end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

describe("the module of 2.x", function()
  it("has clients, servers and the opcodes of RFC 6455", function()
    for _, module in ipairs({ websocket, frame }) do
      assert.same({ 0, 1, 2, 8, 9, 10 },
        { module.CONTINUATION, module.TEXT, module.BINARY, module.CLOSE, module.PING, module.PONG })
    end
    assert.equal(require("websocket.client"), websocket.client)
    assert.equal(require("websocket.server"), websocket.server)
    assert.equal(require("websocket.client_sync"), websocket.client.sync)
    assert.equal(websocket.client.sync, websocket.client.new)
    assert.equal(require("websocket.client_ev"), websocket.client.ev)
    assert.equal(require("websocket.client_copas"), websocket.client.copas)
    assert.equal(require("websocket.server_ev"), websocket.server.ev)
    assert.equal(require("websocket.server_copas"), websocket.server.copas)
    assert.error_matches(function() return websocket.client.uloop end, "module 'websocket.client_uloop' not found")
  end)

  it("needs no event loop to be loaded, and no LuaSec", function()
    local lua = require("spec.support.child")
    local said = lua.run(("%s %s -e %s"):format(lua.library_path(), lua.quote(lua.this_lua()), lua.quote(
      "for _, n in ipairs{'ev','copas','ssl'} do package.preload[n] = function() error('loaded ' .. n) end end "
      .. "local w = require('websocket') local _ = w.client.sync, w.client.ev, w.client.copas, w.server.ev, "
      .. "w.server.copas, require('websocket.ev_common') w.client.new() print('fine')")))
    assert.equal("fine\n", said)
  end)
end)

describe("frames of 2.x", function()
  it("are encoded with their defaults", function()
    assert.equal("\129\5Hello", frame.encode("Hello"))
    assert.equal("\130\5Hello", frame.encode("Hello", frame.BINARY, false, true))
    assert.equal("\1\3Hel", frame.encode("Hel", frame.TEXT, nil, false))
    local bytes = frame.encode("Hello", nil, true)
    assert.equal("\129\133", bytes:sub(1, 2))
    assert.same({ "Hello", true, 1, "", true }, { frame.decode(bytes) })
  end)

  it("are decoded, or tell how many bytes are missing", function()
    assert.same({ "Hello", true, 1, "foo", true }, { frame.decode(MASKED_HELLO .. "foo") })
    assert.same({ "lo", true, 0, "", false }, { frame.decode("\128\2lo") })
    assert.same({ nil, 2 }, { frame.decode("") })
    assert.same({ nil, 7 }, { frame.decode(MASKED_HELLO:sub(1, 4)) })
    for _, size in ipairs({ 0, 125, 126, 127, 65534, 65535, 65536, 70000 }) do
      local text = ("x"):rep(size)
      for _, masked in ipairs({ true, false }) do
        assert.same({ text, true, 2, "", masked }, { frame.decode(frame.encode(text, 2, masked)) })
      end
    end
  end)

  it("never raise for what a peer sends", function()
    for _, bytes in ipairs({
      "\129\127" .. ("\255"):rep(8), "\129\127" .. ("\0"):rep(8), "\255\126\0\0", "\129\255",
    }) do
      local payload, second = frame.decode(bytes)
      assert.is_true(payload ~= nil or type(second) == "number")
    end
  end)

  it("of close have a code and a reason", function()
    assert.equal("", frame.encode_close())
    assert.equal("\3\232", frame.encode_close(1000))
    assert.equal("\15\161bye", frame.encode_close(4001, "bye"))
    assert.same({ 4001, "bye" }, { frame.decode_close("\15\161bye") })
    assert.same({ 1000 }, { frame.decode_close("\3\232") })
    for _, data in ipairs({ "", "\3" }) do assert.is_nil((frame.decode_close(data))) end
    assert.is_nil((frame.decode_close(nil)))
  end)

  it("have headers of three sizes", function()
    assert.equal("{!", frame.encode_header_small(123, 33))
    assert.equal("{!\2\43", frame.encode_header_medium(123, 33, 555))
    assert.equal("{!\0\0\2\43\0\0\50\187", frame.encode_header_big(123, 33, 555, 12987))
  end)
end)

describe("handshakes of 2.x", function()
  it("compute the accept value of RFC 6455", function()
    assert.equal(ACCEPT, handshake.sec_websocket_accept(KEY))
  end)

  it("read headers, and give the rest", function()
    local headers, rest = handshake.http_headers(request() .. "rest")
    assert.equal("rest", rest)
    assert.same({ "example:8080", "websocket", "keep-alive, upgrade", KEY, "one, two", "A=B,C=D" }, {
      headers.host, headers.upgrade, headers.connection, headers["sec-websocket-key"],
      headers["sec-websocket-protocol"], headers.cookie,
    })
    for _, text in ipairs({ "", "GET / HTTP/1.0\r\nA: b\r\n\r\n", "nonsense", "HTTP/1.1 101 x" }) do
      assert.same({}, (handshake.http_headers(text)))
    end
    headers, rest = handshake.http_headers("HTTP/1.1 101 x\r\nno header\r\n: x\r\nA : b \r\n")
    assert.same({ { a = "b" } }, { headers, rest })
  end)

  it("write a request", function()
    local text = handshake.upgrade_request({
      key = KEY, host = "example", port = 8080, protocols = { "one", "two" }, origin = "http://a", uri = "/chat?x=1",
    })
    assert.matches("^GET /chat%?x=1 HTTP/1.1\r\nHost: example:8080\r\n", text)
    local headers = handshake.http_headers(text)
    assert.same({ "one, two", "http://a", KEY, "13" }, {
      headers["sec-websocket-protocol"], headers.origin, headers["sec-websocket-key"], headers["sec-websocket-version"],
    })
    text = handshake.upgrade_request({ key = KEY, host = "example", port = 80, protocols = { "" } })
    assert.matches("^GET / HTTP/1.1\r\nHost: example\r\n", text)
    assert.is_nil(text:find("Protocol"))
    for _, wrong in ipairs({
      { host = "a\r\nX: y" }, { uri = "/ HTTP/1.1\r\nX: y" }, { origin = "\n" }, { key = "\r" },
    }) do
      for name, value in pairs({ key = KEY, host = "a" }) do wrong[name] = wrong[name] or value end
      assert.has_error(function() handshake.upgrade_request(wrong) end)
    end
  end)

  it("accept with the first subprotocol that is served", function()
    local answer, name = handshake.accept_upgrade(request(), { "two", "one" })
    assert.equal("one", name)
    local headers = handshake.http_headers(answer)
    assert.same({ "websocket", "upgrade", ACCEPT, "one" }, {
      headers.upgrade, headers.connection, headers["sec-websocket-accept"], headers["sec-websocket-protocol"],
    })
    answer, name = handshake.accept_upgrade(request(), { "three" })
    assert.matches("^HTTP/1.1 101 Switching Protocols\r\n", answer)
    assert.is_nil(name)
    assert.is_nil(answer:find("Protocol:"))
    -- A request that was read line by line has no last empty line.
    assert.is_string((handshake.accept_upgrade(request():sub(1, -3), {})))
  end)

  it("refuse what is none", function()
    for _, text in ipairs({ "GET / HTTP/1.1\r\n\r\n", "", "nonsense", request("X") }) do
      local answer, refusal = handshake.accept_upgrade(text, {})
      assert.is_nil(answer)
      assert.matches("^HTTP/1.1 400 Bad Request\r\n.*\r\n\r\n", refusal)
    end
  end)
end)

describe("tools of 2.x", function()
  it("hash, encode and make keys", function()
    assert.equal("\169\153\62\54\71\6\129\106\186\62\37\113\120\80\194\108\156\208\216\157", tools.sha1("abc"))
    assert.equal("aGVsbG8=", tools.base64.encode("hello"))
    assert.equal(24, #tools.generate_key())
    assert.not_equal(tools.generate_key(), tools.generate_key())
  end)

  it("take URLs apart", function()
    for url, expected in pairs({
      ["ws://www.example.com"] = { "ws", "www.example.com", 80, "/" },
      ["WSS://example:8443/a?b=c"] = { "wss", "example", 8443, "/a?b=c" },
      ["wss://example/"] = { "wss", "example", 443, "/" }, ["ws://example?x=1"] = { "ws", "example", 80, "/?x=1" },
      ["ws://[2001:db8::1]:81/a"] = { "ws", "[2001:db8::1]", 81, "/a" },
      ["ws://[2001:db8::1]"] = { "ws", "[2001:db8::1]", 80, "/" },
    }) do
      assert.same(expected, { tools.parse_url(url) })
    end
    assert.same({ "http", "example", nil, "/" }, { tools.parse_url("http://example") })
    for _, url in ipairs({ "example", "ws://", "ws:///a", "" }) do
      assert.error_matches(function() tools.parse_url(url) end, "Invalid URL:" .. url, 1, true)
    end
  end)

  it("read and write numbers in network order", function()
    assert.same({ 2, 7 }, { tools.read_int8("\7") })
    assert.same({ 4, 258 }, { tools.read_int16("x\1\2", 2) })
    assert.same({ 5, 0xFFFEFDFC }, { tools.read_int32("\255\254\253\252", 1) })
    assert.same({ "\7", "\1\2", "\255\254\253\252" },
      { tools.write_int8(7), tools.write_int16(258), tools.write_int32(0xFFFEFDFC) })
    assert.equal("\1\2\3\4", tools.write_int8(1, 2, 3, 4))
  end)
end)

describe("bits of 2.x", function()
  local function word(value) return value % 2 ^ 32 end

  local function check(library)
    assert.same({ 0x30, 0xFF, 0xF0 }, {
      word(library.band(0xF0, 0x3C, 0xFF)), word(library.bor(0xF0, 0x0F)), word(library.bxor(0xFF, 0x3C, 0x33)),
    })
    assert.equal(0xFFFFFFF0, word(library.bnot(0xF)))
    assert.same({ 0x80000000, 1, 0x18000000, 0xF8000000 }, {
      word(library.lshift(3, 31)), word(library.rshift(0x80000000, 31)), word(library.rshift(0xC0000000, 3)),
      word(library.arshift(0x80000000, 4)),
    })
    assert.same({ 3, 0x80000000 }, { word(library.rol(0x80000001, 1)), word(library.ror(1, 1)) })
    assert.equal(library.rol, library.lrotate)
  end

  it("are there in every Lua", function() check(bit) end)

  it("are there without bit32 and bit, and leave those as they are", function()
    local saved, preloaded = {}, {}
    for _, name in ipairs({ "bit32", "bit", "websocket.bit" }) do
      saved[name], preloaded[name] = package.loaded[name], package.preload[name]
      package.loaded[name] = nil
      if name ~= "websocket.bit" then package.preload[name] = function() error("not here") end end
    end
    local is_good, library = pcall(require, "websocket.bit")
    for _, name in ipairs({ "bit32", "bit", "websocket.bit" }) do
      package.loaded[name], package.preload[name] = saved[name], preloaded[name]
    end
    assert(is_good, library)
    check(library)
    for _, name in ipairs({ "bit32", "bit" }) do
      local found, theirs = pcall(require, name)
      if found then assert.not_equal(theirs, bit) end
    end
  end)
end)
