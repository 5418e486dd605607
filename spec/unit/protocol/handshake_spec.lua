--- The opening handshake: what is asked for, what is answered.
-- @module spec.unit.protocol.handshake_spec

local handshake = require "websockets.protocol.handshake"
local http = require "websockets.http.head"
local engine = require "websockets.engine.loader"

local KEY = "dGhlIHNhbXBsZSBub25jZQ=="

-- The RFC's own request with some fields changed; false leaves one out.
local function request_with(changes, first)
  local fields = {
    Host = "server.example.com", Upgrade = "websocket", Connection = "Upgrade", ["Sec-WebSocket-Key"] = KEY,
    ["Sec-WebSocket-Version"] = "13",
  }
  for name, value in pairs(changes or {}) do fields[name] = value end
  local lines = { first or "GET /chat HTTP/1.1" }
  for name, value in pairs(fields) do
    for _, one in ipairs(type(value) == "table" and value or { value or nil }) do
      lines[#lines + 1] = name .. ": " .. one
    end
  end
  return assert(http.parse(table.concat(lines, "\r\n") .. "\r\n\r\n"))
end

describe("http.asks_for", function()
  it("tells a request for WebSocket", function()
    for _, value in ipairs({ "websocket", "WebSocket", "h2c, websocket" }) do
      assert.is_true(http.asks_for(request_with({ Upgrade = value }), "websocket"))
    end
    for _, value in ipairs({ false, "websockets", "h2c", "websocket/13" }) do
      assert.is_false(http.asks_for(request_with({ Upgrade = value }), "websocket"))
    end
    assert.is_false(http.asks_for(request_with({}, "GET / HTTP/1.0"), "websocket"))
  end)
end)

describe("handshake.check", function()
  it("accepts the request of RFC 6455 1.3, and a browser's Connection", function()
    assert.is_true(handshake.check(request_with()))
    assert.is_true(handshake.check(request_with({ Connection = "keep-alive, upgrade" })))
  end)

  local BAD = {
    { "no Connection", { Connection = false }, 426 },
    { "another Connection", { Connection = "keep-alive" }, 426 },
    { "no version", { ["Sec-WebSocket-Version"] = false }, 426 },
    { "version 8", { ["Sec-WebSocket-Version"] = "8" }, 426 },
    { "version 0", { ["Sec-WebSocket-Version"] = "0" }, 426 },
    { "two versions", { ["Sec-WebSocket-Version"] = { "13", "13" } }, 426 },
    { "no key", { ["Sec-WebSocket-Key"] = false }, 400 },
    { "an empty key", { ["Sec-WebSocket-Key"] = "" }, 400 },
    { "a key of 15 bytes", { ["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAA" }, 400 },
    { "a key of 17 bytes", { ["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAAA=" }, 400 },
    { "a key of 23 characters", { ["Sec-WebSocket-Key"] = KEY:sub(2) }, 400 },
    { "a key of 25 characters", { ["Sec-WebSocket-Key"] = "A" .. KEY }, 400 },
    { "a key that is not base64", { ["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZ-==" }, 400 },
    { "a padding inside", { ["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25j==Q=" }, 400 },
    { "two keys", { ["Sec-WebSocket-Key"] = { KEY, KEY } }, 400 },
    { "a body", { ["Content-Length"] = "5" }, 400 },
    { "a chunked body", { ["Transfer-Encoding"] = "chunked" }, 400 },
  }
  for _, case in ipairs(BAD) do
    it("refuses " .. case[1] .. " with " .. case[3], function()
      local accepted, status, headers = handshake.check(request_with(case[2]))
      assert.is_nil(accepted)
      assert.equal(case[3], status)
      if status == 426 then
        assert.same({ ["Sec-WebSocket-Version"] = "13", Upgrade = "websocket", Connection = "Upgrade" }, headers)
      end
    end)
  end

  it("refuses every method but GET with 405 and Allow", function()
    for _, method in ipairs({ "POST", "HEAD", "get", "OPTIONS" }) do
      local accepted, status, headers = handshake.check(request_with({}, method .. " / HTTP/1.1"))
      assert.same({ nil, 405 }, { accepted, status })
      assert.equal("GET", headers.Allow)
    end
  end)
end)

describe("handshake.subprotocols", function()
  local function read(value) return handshake.subprotocols(request_with({ ["Sec-WebSocket-Protocol"] = value })) end

  it("reads a list in the client's order", function()
    assert.same({}, read(false))
    assert.same({ "chat" }, read("chat"))
    assert.same({ "b", "a", "A" }, read(" b ,\ta\t,A"))
    assert.same({ "b", "a", "c" }, read({ "b, a", "c" }))
  end)

  it("ignores empty elements; a wholly empty list offers none", function()
    for _, value in ipairs({ "", " ", ",", ", ,\t,", { "", "" }, { ",", "" } }) do assert.same({}, read(value)) end
    for _, value in ipairs({ "a,b,", ",a,b", "a,,b", " ,\ta, , b ,", { "a", "", "b" }, { "", "a,b" } }) do
      assert.same({ "a", "b" }, read(value))
    end
  end)

  it("refuses what is not a list of different tokens with 400", function()
    for _, value in ipairs({ "a b", "a b,", ",a,,a", "a;b", "a, a", '"a"', "a/b", "\195\164" }) do
      assert.same({ nil, 400 }, { read(value) })
    end
    assert.same({ nil, 400 }, { read({ "a", "b, a" }) })
  end)
end)

describe("handshake.choose", function()
  local function one() end
  local function two() end
  local function other() end

  it("takes the first of the client's that is known", function()
    assert.same({ one, "a" }, { handshake.choose({ "x", "a", "b" }, { a = one, b = two }, other) })
    assert.same({ two, "b" }, { handshake.choose({ "b", "a" }, { a = one, b = two }) })
  end)

  it("takes the default handler, without a name, where none is known or offered", function()
    assert.same({ other }, { handshake.choose({ "x" }, { a = one }, other) })
    assert.same({ other }, { handshake.choose({}, nil, other) })
  end)

  it("gives nil where there is neither", function()
    assert.is_nil(handshake.choose({ "x" }, { a = one }))
    assert.is_nil(handshake.choose({}, { a = one }))
    assert.is_nil(handshake.choose({ "x" }))
  end)
end)

describe("handshake.name_fault", function()
  it("says what is wrong with the name of a subprotocol", function()
    for _, name in ipairs({ "chat", "chat.v2", "!#$%&'*+-.^_`|~" }) do assert.is_nil(handshake.name_fault(name)) end
    assert.equal("the name of a subprotocol is a string", handshake.name_fault(1))
    for _, name in ipairs({ "", "a b", "a,b", "\195\164" }) do
      assert.equal("a name has only letters, digits and !#$%&'*+-.^_`|~", handshake.name_fault(name))
    end
  end)
end)

describe("handshake.accept", function()
  local pure = engine.choose()

  it("answers the request of RFC 6455 1.3 as written there", function()
    assert.equal("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      .. "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
      handshake.accept(pure, request_with(), "chat"))
  end)

  it("begins with 100 (Continue) where the client awaits it", function()
    local bytes = handshake.accept(pure, request_with({ Expect = "100-continue" }))
    assert.equal("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n", bytes:sub(1, 59))
  end)

  it("names no subprotocol where there is none, and adds further fields", function()
    local bytes = handshake.accept(pure, request_with(), nil, { ["X-One"] = "1" })
    assert.is_nil(bytes:find("Protocol:", 1, true))
    assert.equal("\r\nX-One: 1\r\n\r\n", bytes:sub(-14))
  end)
end)
