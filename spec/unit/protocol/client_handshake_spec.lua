--- The client's half of the opening handshake: its key, its request, and which answers it takes.
-- @module spec.unit.protocol.client_handshake_spec

local answer = require "websockets.http.answer"
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

  it("names the host that the server goes by, in place of its address", function()
    local place = { target = "/", authority = "10.0.0.1:8080", virtual_host = { authority = "chat.example" } }
    assert.matches("\r\nHost: chat.example\r\n",
      client.request(place, KEY, { protocols = false, origin = false, headers = false }), 1, true)
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

describe("client_handshake.check", function()
  local function check(changes, protocols)
    return client.check(answer.read(head(changes)), ACCEPT, protocols)
  end

  it("takes the right answer", function()
    assert.is_true(check())
    assert.is_true(check({ "HTTP/1.1 101", "upgrade: WebSocket", "connection: keep-alive, UPGRADE" }))
    assert.is_true(check({ [5] = "Sec-WebSocket-Protocol: two" }, { "one", "two" }))
    assert.is_true(check({ [4] = "Sec-WebSocket-Accept:\r\n " .. ACCEPT }))
  end)

  for what, changes in pairs({
    ["HTTP/1.0"] = { "HTTP/1.0 101 Switching Protocols" }, ["another Upgrade"] = { [2] = "Upgrade: h2c" },
    ["a Connection without upgrade"] = { [3] = "Connection: close" },
    ["the accept value of another key"] = { [4] = "Sec-WebSocket-Accept: " .. KEY },
    ["no accept value"] = { [4] = "X: y" }, ["blanks before the first field"] = { [2] = " X: y\r\nUpgrade: websocket" },
    ["a subprotocol that was not offered"] = { [5] = "Sec-WebSocket-Protocol: three" },
  }) do
    it("refuses " .. what, function()
      local is_good, why = check(changes, { "one", "two" })
      assert.same({ nil, "string" }, { is_good, type(why) })
    end)
  end

  it("refuses a subprotocol where none was offered", function()
    assert.is_nil((check({ [5] = "Sec-WebSocket-Protocol: one" })))
  end)
end)
