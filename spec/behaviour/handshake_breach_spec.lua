--- Opening handshakes with one thing wrong, in both roles: each bad header alone has its status or its error.
-- @module spec.behaviour.handshake_breach_spec
local client = require("spec.support.client")
local peer = require("spec.support.peer")
local server = require("spec.support.server")
local testing = require("websockets.testing")

local engine = require("websockets.engine.loader").choose()

describe("a server, asked with", function()
  local RIGHT = {
    "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: " .. client.KEY,
  }
  local UPGRADE, CONNECTION, VERSION, KEY = 2, 3, 4, 5

  -- What is wrong, which of the lines it replaces (0: one more line), the line, the status.
  local BREACHES = {
    { "no Host", 1, false, 400 },
    { "two Hosts", 0, "Host: 127.0.0.1", 400 },
    { "a Host that is none", 1, "Host: a/b", 400 },
    { "no Upgrade", UPGRADE, false, 404 },
    { "another Upgrade", UPGRADE, "Upgrade: h2c", 404 },
    { "no Connection", CONNECTION, false, 426 },
    { "a Connection without upgrade", CONNECTION, "Connection: keep-alive", 426 },
    { "no version", VERSION, false, 426 },
    { "version 8", VERSION, "Sec-WebSocket-Version: 8", 426 },
    { "versions in a list", VERSION, "Sec-WebSocket-Version: 8, 13", 426 },
    { "two versions", 0, "Sec-WebSocket-Version: 13", 426 },
    { "no key", KEY, false, 400 },
    { "an empty key", KEY, "Sec-WebSocket-Key:", 400 },
    { "a short key", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j", 400 },
    { "a long key", KEY, "Sec-WebSocket-Key: A" .. client.KEY, 400 },
    { "a key that is not Base64", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==", 400 },
    { "two keys", 0, "Sec-WebSocket-Key: " .. client.KEY, 400 },
    { "a subprotocol that is no token", 0, "Sec-WebSocket-Protocol: a b", 400 },
    { "only an empty subprotocol, without a default handler", 0, "Sec-WebSocket-Protocol: ,", 400 },
    { "a subprotocol twice", 0, "Sec-WebSocket-Protocol: a, a", 400 },
    { "no known subprotocol", 0, "Sec-WebSocket-Protocol: z", 400 },
    { "another host's Origin", 0, "Origin: http://evil.example", 403 },
    { "the Origin null", 0, "Origin: null", 403 },
    { "two Origins", 0, "Origin: http://127.0.0.1, http://127.0.0.1", 403 },
    { "an extension field that is none", 0, "Sec-WebSocket-Extensions: permessage-deflate; =", 400 },
    { "a body", 0, "Content-Length: 1", 400 },
    { "a folded line", 0, "X: y\r\n z", 400 },
    { "a blank before the colon", 0, "X : y", 400 },
    { "a line without colon", 0, "X", 400 },
    { "a control character", 0, "X: \1", 400 },
  }

  local function answer_to(line, replaced)
    local raw = testing.context({ protocols = { a = server.echo } }):peer({ handshake = false })
    local lines = { "GET / HTTP/1.1" }
    for position, right in ipairs(RIGHT) do
      local one = position == replaced and line or right
      if position ~= replaced or line then lines[#lines + 1] = one end
    end
    if replaced == 0 then lines[#lines + 1] = line end
    local text = table.concat(lines, "\r\n")
    if not text:find("Sec%-WebSocket%-Protocol") then text = text .. "\r\nSec-WebSocket-Protocol: a" end
    raw:send_bytes(text .. "\r\n\r\n" .. (text:find("Content%-Length") and "x" or ""))
    return tonumber(raw:receive_bytes():match("^HTTP/1.1 (%d+) "))
  end

  it("nothing wrong: 101", function()
    assert.equal(101, answer_to("X: y", 0))
  end)

  it("lists with empty elements: 101", function()
    for _, line in ipairs({
      "Sec-WebSocket-Protocol: a,", "Sec-WebSocket-Protocol: , z,,\ta", "Sec-WebSocket-Protocol: a, ,b",
      "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: ,",
      "Sec-WebSocket-Extensions:", "Sec-WebSocket-Extensions: ,", "Sec-WebSocket-Extensions: , x; y,,",
      "Connection: ,", "Expect: ,",
    }) do
      assert.same({ line, 101 }, { line, answer_to(line, 0) })
    end
    assert.equal(101, answer_to("Connection: ,keep-alive,,Upgrade,", CONNECTION))
    assert.equal(101, answer_to("Upgrade: ,websocket,", UPGRADE))
  end)

  it("an empty list of subprotocols: the default handler gets the client, as if it offered none", function()
    for _, value in ipairs({ "", ",", " ,\t," }) do
      local context = testing.context({ protocols = { a = server.echo }, default = server.echo })
      local one = context:peer({ protocols = { value } })
      assert.is_nil(one.subprotocol)
      one:send("on")
      assert.equal("on", one:receive())
    end
  end)

  for _, breach in ipairs(BREACHES) do
    it(("%s: %d"):format(breach[1], breach[4]), function()
      assert.equal(breach[4], answer_to(breach[3], breach[2]))
    end)
  end
end)

describe("a client, answered with", function()
  after_each(server.stop_all)

  local ACCEPT = "Sec-WebSocket-Accept"

  -- What is wrong, changes of the headers, the status line, why, part of the message.
  local BREACHES = {
    { "status 200", nil, "HTTP/1.1 200 OK", "status", "answered 200 OK" },
    { "status 403", nil, "HTTP/1.1 403 Forbidden", "status", "answered 403 Forbidden" },
    { "a redirect to no server", { Location = "ftp://evil.example/" }, "HTTP/1.1 302 Found", "redirect", "302" },
    { "a redirect to nowhere", nil, "HTTP/1.1 302 Found", "status", "answered 302" },
    { "a status without phrase", nil, "HTTP/1.1 500", "status", "answered 500" },
    { "HTTP/1.0", nil, "HTTP/1.0 101 Switching Protocols", "handshake", "HTTP/1.0" },
    { "HTTP/2", nil, "HTTP/2 101 Switching Protocols", "handshake", "not HTTP" },
    { "a status of four digits", nil, "HTTP/1.1 1010 Switching", "handshake", "not HTTP" },
    { "something else", nil, "SSH-2.0-OpenSSH", "handshake", "not HTTP" },
    { "no Upgrade", { Upgrade = false }, nil, "handshake", "Upgrade: websocket" },
    { "another Upgrade", { Upgrade = "h2c" }, nil, "handshake", "Upgrade: websocket" },
    { "two words in Upgrade", { Upgrade = "websocket, h2c" }, nil, "handshake", "Upgrade: websocket" },
    { "no Connection", { Connection = false }, nil, "handshake", "Connection: Upgrade" },
    { "another Connection", { Connection = "close" }, nil, "handshake", "Connection: Upgrade" },
    { "no Accept", { [ACCEPT] = false }, nil, "handshake", ACCEPT },
    { "another key's Accept", { [ACCEPT] = client.ACCEPT }, nil, "handshake", ACCEPT },
    { "an empty Accept", { [ACCEPT] = "" }, nil, "handshake", ACCEPT },
    { "one more Accept", { ["X: y\r\n" .. ACCEPT] = "b" }, nil, "handshake", ACCEPT },
    { "the subprotocol twice", { ["X: y\r\nSec-WebSocket-Protocol"] = "a", ["Sec-WebSocket-Protocol"] = "a" }, nil,
      "handshake", "subprotocol" },
    { "a subprotocol not offered", { ["Sec-WebSocket-Protocol"] = "b" }, nil, "handshake", "subprotocol" },
    { "two subprotocols", { ["Sec-WebSocket-Protocol"] = "a, A" }, nil, "handshake", "subprotocol" },
    { "the subprotocol in another case", { ["Sec-WebSocket-Protocol"] = "A" }, nil, "handshake", "subprotocol" },
    { "an empty subprotocol", { ["Sec-WebSocket-Protocol"] = "" }, nil, "handshake", "subprotocol" },
    { "a header that is not HTTP", { ["X "] = "y" }, nil, "handshake", "header line" },
    { "a control character", { X = "\1" }, nil, "handshake", "header line" },
    { "a head over 32 KiB", { X = ("x"):rep(33000) }, nil, "handshake", "too long a head" },
    { "an extension that was not offered", { ["Sec-WebSocket-Extensions"] = "permessage-deflate" }, nil, "handshake",
      "extension" },
    { "an extension of another name", { ["Sec-WebSocket-Extensions"] = "x" }, nil, "handshake", "extension" },
    { "a list for the subprotocol", { ["Sec-WebSocket-Protocol"] = "a," }, nil, "handshake", "subprotocol" },
    { "an extension field that is none", { ["Sec-WebSocket-Extensions"] = ";" }, nil, "handshake", "extension" },
  }

  local function answered(changes, status_line)
    local s = server.start({ protocols = {} })
    local p = peer.listen(s)
    local _, log = p:connect({ protocols = { "a" } })
    local _, headers = p:read_request()
    p:send(peer.answer(headers, changes, status_line))
    -- The body of a refusal goes on to the end.
    if status_line and not status_line:find(" 101", 1, true) then p:close() end
    s:pump(function() return log.closed[1] or log.open > 0 end)
    return log
  end

  it("bytes that are not HTTP, and the end: the message says what they are not", function()
    for _, bytes in ipairs({ "SSH-2.0-x\r\n", "220 mail.example ESMTP\r\n", "SSH" }) do
      local s = server.start({ protocols = {} })
      local p = peer.listen(s)
      local _, log = p:connect()
      p:read_request()
      p:send(bytes)
      p:close()
      s:pump(function() return log.closed[1] end)
      assert.same({ "the server's answer is not HTTP", "handshake" }, { log.closed[1][2], log.closed[1][4] })
    end
  end)

  it("nothing, and the end: the message says so", function()
    local s = server.start({ protocols = {} })
    local p = peer.listen(s)
    local _, log = p:connect()
    p:read_request()
    p:close()
    s:pump(function() return log.closed[1] end)
    assert.matches("ended the connection before it answered$", log.closed[1][2])
    assert.equal("closed", log.closed[1][4])
  end)

  it("nothing wrong: on_open", function()
    assert.equal(1, answered().open)
    assert.equal(1, answered({ Upgrade = "WebSocket", Connection = "keep-alive, upgrade" }).open)
    assert.equal(1, answered({ ["Sec-WebSocket-Protocol"] = "a" }).open)
  end)

  it("what is unusual but readable: on_open", function()
    for name, changes in pairs({
      ["a folded line"] = { X = "y\r\n z" }, ["a folded Accept"] = { ["X: y\r\n z\r\nY"] = "\r\n\tz" },
      ["a long line"] = { X = ("x"):rep(10 * 1024) }, ["a head of nearly 32 KiB"] = { X = ("x"):rep(32000) },
      ["200 lines"] = { X = ("y\r\nX: "):rep(200) },
    }) do
      assert.same({ name, 1 }, { name, answered(changes).open })
    end
    assert.equal(1, answered(nil, "HTTP/1.1 101 " .. ("x"):rep(10000)).open)
  end)

  it("lists with empty elements: on_open", function()
    assert.equal(1, answered({ Upgrade = "websocket, ,", Connection = ",,Upgrade" }).open)
    for _, value in ipairs({ "", ",", " , ," }) do
      assert.equal(1, answered({ ["Sec-WebSocket-Extensions"] = value }).open)
    end
  end)

  for _, breach in ipairs(BREACHES) do
    it(("%s: on_closed hears 1006 and '%s'"):format(breach[1], breach[4]), function()
      local log = answered(breach[2], breach[3])
      assert.equal(0, log.open)
      local code, message, clean, why = (table.unpack or unpack)(log.closed[1])
      assert.same({ 1006, false, breach[4] }, { code, clean, why })
      assert.matches(breach[5], message, 1, true)
    end)
  end
end)

describe("a client that offers permessage-deflate with windows of 2^12 bytes, answered with", function()
  after_each(server.stop_all)

  local PMD = "permessage-deflate; server_max_window_bits=12"
  local OPTION = { server_max_window_bits = 12, client_max_window_bits = 12, server_no_context_takeover = true }
  local RIGHT = PMD .. "; server_no_context_takeover"

  local BREACHES = {
    { "another extension", "x" },
    { "two extensions", RIGHT .. ", x" },
    { "the extension twice", RIGHT .. ", " .. RIGHT },
    { "an unknown parameter", RIGHT .. "; x" },
    { "a parameter twice", RIGHT .. "; server_no_context_takeover" },
    { "a value where none belongs", PMD .. "; server_no_context_takeover=1" },
    { "no value where one belongs", RIGHT .. "; client_max_window_bits" },
    { "a window that there is not", RIGHT .. "; client_max_window_bits=16" },
    { "a number with a zero in front", RIGHT .. "; client_max_window_bits=09" },
    { "a larger window for us than offered", RIGHT .. "; client_max_window_bits=13" },
    { "a larger window than asked for", "permessage-deflate; server_no_context_takeover; server_max_window_bits=13" },
    { "no window where a smaller was asked for", "permessage-deflate; server_no_context_takeover" },
    { "a context that was to be given up", PMD },
    { "a list that cannot be read", RIGHT .. ";" },
  }

  local function answered(extensions)
    local s = server.start({ protocols = {} })
    local p = peer.listen(s)
    local _, log = p:connect({ compression = OPTION })
    local _, headers = p:read_request()
    p:send(peer.answer(headers, { ["Sec-WebSocket-Extensions"] = extensions }))
    s:pump(function() return log.closed[1] or log.open > 0 end)
    return log
  end

  if not engine.can_compress or not engine.can_compress() then
    pending("needs lua-zlib or the accelerator")
    return
  end

  it("nothing wrong: on_open", function()
    assert.equal(1, answered(RIGHT).open)
    assert.equal(1, answered(RIGHT .. "; client_no_context_takeover; client_max_window_bits=9").open)
    assert.equal(1, answered(nil).open)
  end)

  for _, breach in ipairs(BREACHES) do
    it(breach[1] .. ": on_closed hears 1006 and 'handshake'", function()
      local log = answered(breach[2])
      assert.equal(0, log.open)
      assert.same({ 1006, false, "handshake" }, { log.closed[1][1], log.closed[1][3], log.closed[1][4] })
      assert.matches("extension", log.closed[1][2])
    end)
  end
end)
