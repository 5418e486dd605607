--- The client's half of the opening handshake: its key, its request, and which answers it takes.
-- @module spec.unit.protocol.client_handshake_spec

local client = require "websockets.protocol.client_handshake"

local PLACE = { target = "/chat?x=1", authority = "example.com:8080" }
local KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
local RIGHT = {
  "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " .. ACCEPT,
}

local function head(changes)
  local lines = {}
  for i, line in ipairs(RIGHT) do lines[i] = line end
  for i, line in pairs(changes or {}) do lines[i] = line end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

describe("client_handshake.key", function()
  it("is 16 random bytes in Base64", function()
    local asked
    local engine = {
      random = function(count)
        asked = count
        return "random"
      end,
      base64 = function(bytes) return "<" .. bytes .. ">" end,
    }
    assert.equal("<random>", client.key(engine))
    assert.equal(16, asked)
  end)

  it("says why there is none where no random bytes can be had", function()
    assert.same({ nil, "gone", "entropy" }, { client.key({ random = function() return nil, "gone", "entropy" end }) })
  end)
end)

describe("client_handshake.request", function()
  it("has what RFC 6455 asks for, and nothing that was not asked for", function()
    assert.equal("GET /chat?x=1 HTTP/1.1\r\nHost: example.com:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      .. "Sec-WebSocket-Key: " .. KEY .. "\r\nSec-WebSocket-Version: 13\r\n\r\n",
      client.request(PLACE, KEY, { protocols = false, origin = false, headers = false }))
  end)

  it("offers subprotocols and extensions, and names origin and headers", function()
    local text = client.request(PLACE, KEY, {
      protocols = { "one", "two" }, origin = "http://here", headers = { Cookie = { "a=1", "b=2" } },
    }, "permessage-deflate")
    for _, line in ipairs({
      "Sec-WebSocket-Protocol: one, two", "Sec-WebSocket-Extensions: permessage-deflate", "Origin: http://here",
      "Cookie: a=1\r\nCookie: b=2",
    }) do
      assert.matches("\r\n" .. line .. "\r\n", text, 1, true)
    end
    assert.matches("\r\n\r\n$", text)
  end)
end)

describe("client_handshake.is_interim", function()
  it("tells statuses from 100 to 199 but 101", function()
    for _, line in ipairs({ "HTTP/1.1 100 Continue", "HTTP/1.1 102", "HTTP/1.1 103 Early Hints", "HTTP/1.1 199 " }) do
      assert.is_true(client.is_interim(line .. "\r\n\r\n"), line)
    end
    for _, line in ipairs({ "HTTP/1.1 101 Switching", "HTTP/1.1 101", "HTTP/1.1 200 OK", "HTTP/1.1 1000",
      "HTTP/1.1 100x", "HTTP/2 100", "100 Continue", "HTTP/1.1 500 HTTP/1.1 100 " }) do
      assert.is_false(client.is_interim(line .. "\r\n\r\n"), line)
    end
  end)
end)

describe("client_handshake.check", function()
  it("takes the right answer and gives its headers", function()
    local answer = client.check(head(), ACCEPT)
    assert.same({ "websocket", ACCEPT }, { answer.headers.upgrade, answer.headers["sec-websocket-accept"] })
    assert.is_table(client.check(head({ "HTTP/1.1 101", "upgrade: WebSocket", "connection: keep-alive, UPGRADE" }),
      ACCEPT))
    assert.is_table(client.check(head({ [5] = "Sec-WebSocket-Protocol: two" }), ACCEPT, { "one", "two" }))
  end)

  it("reads a folded field line: each fold is a space", function()
    local answer = client.check(head({ [5] = "X: a\r\n b\r\n\t \tc\r\n \r\nY:\r\n d" }), ACCEPT)
    assert.same({ "a b c", "d" }, { answer.headers.x, answer.headers.y })
    assert.is_table(client.check(head({ [4] = "Sec-WebSocket-Accept:\r\n " .. ACCEPT }), ACCEPT))
  end)

  it("takes time that grows with the length only, whatever blanks an answer has", function()
    local answer = client.check(head({ [5] = "X: " .. (" "):rep(30000) .. "y" .. ("\r\n "):rep(10000) }), ACCEPT)
    assert.equal("y", answer.headers.x)
  end)

  it("tells another status, with its phrase made printable", function()
    assert.same({ nil, "the server answered 403 No?way", "status" },
      { client.check(head({ "HTTP/1.1 403 No\27way" }), ACCEPT) })
  end)

  for what, changes in pairs({
    ["what is not HTTP"] = { "SSH-2.0-x" }, ["a status glued to its phrase"] = { "HTTP/1.1 101x" },
    ["HTTP/1.0"] = { "HTTP/1.0 101 Switching Protocols" }, ["another Upgrade"] = { [2] = "Upgrade: h2c" },
    ["a Connection without upgrade"] = { [3] = "Connection: close" },
    ["the accept value of another key"] = { [4] = "Sec-WebSocket-Accept: " .. KEY },
    ["no accept value"] = { [4] = "X: y" }, ["blanks before the first field"] = { [2] = " X: y\r\nUpgrade: websocket" },
    ["a subprotocol that was not offered"] = { [5] = "Sec-WebSocket-Protocol: three" },
  }) do
    it("refuses " .. what, function()
      local answer, why, code = client.check(head(changes), ACCEPT, { "one", "two" })
      assert.same({ nil, "string", "handshake" }, { answer, type(why), code })
    end)
  end

  it("refuses a subprotocol where none was offered", function()
    assert.is_nil((client.check(head({ [5] = "Sec-WebSocket-Protocol: one" }), ACCEPT)))
  end)
end)
