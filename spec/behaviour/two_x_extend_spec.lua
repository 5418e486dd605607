--- `websocket.sync.extend` of the API of 2.x: connections whose bytes the application moves; and programs that give a
-- client its socket by themselves.
-- @module spec.behaviour.two_x_extend_spec
local codec = require("websockets.codec")
local frame = require("websocket.frame")
local handshake = require("websocket.handshake")
local socket = require("socket")
local sync = require("websocket.sync")
local websocket = require("websocket")

local KEY_LINE = "\r\nSec%-WebSocket%-Key: (%S+)\r\n"

-- An object over a string of what the peer sends. `answer(object, bytes)` is called with what was sent.
local function over(given)
  local object = { input = "", output = {}, asked = {}, closed = 0 }
  for name, value in pairs(given or {}) do object[name] = value end
  function object:sock_connect(host, port)
    self.place = { host, port }
    if self.fault then return nil, self.fault end
  end
  function object:sock_send(bytes)
    if self.is_cut then return nil, "closed", 0 end
    self.output[#self.output + 1] = bytes
    if self.answer then self:answer(bytes) end
    return #bytes
  end
  function object:sock_receive(count)
    if count == "*l" then
      local line, after = self.input:match("^(.-)\r\n()")
      if not line then return nil, "closed", self.input end
      self.input = self.input:sub(after)
      return line
    end
    self.asked[#self.asked + 1] = count
    local bytes = self.input:sub(1, count)
    self.input = self.input:sub(count + 1)
    if #bytes == count then return bytes end
    return nil, self.why or "closed", bytes
  end
  function object:sock_close() self.closed = self.closed + 1 end
  return object
end

local function open(given)
  local object = over(given)
  object.state = "OPEN"
  return sync.extend(object)
end

local function sent(object)
  local list = {}
  for _, bytes in ipairs(object.output) do
    local payload, _, opcode, _, masked = frame.decode(bytes)
    list[#list + 1] = { opcode, payload, masked }
  end
  return list
end

describe("sync.extend", function()
  it("wants the functions, and names that are free", function()
    for _, name in ipairs({ "sock_send", "sock_receive", "sock_close", "sock_connect" }) do
      local object = over()
      object[name] = nil
      assert.error_matches(function() sync.extend(object) end, "no " .. name, 1, true)
    end
    local server = over({ is_server = true })
    server.sock_connect = nil
    assert.equal("CLOSED", sync.extend(server).state)
    for _, name in ipairs({ "receive", "send", "close", "connect" }) do
      assert.error_matches(function() sync.extend(over({ [name] = print })) end, "'" .. name .. "' already", 1, true)
    end
    local object = over()
    assert.equal(object, sync.extend(object))
  end)

  it("asks for exactly the bytes of each frame", function()
    local object = open({ input = frame.encode("Hello") .. frame.encode(("m"):rep(300)) .. frame.encode("") })
    assert.same({ "Hello", 1 }, { object:receive() })
    assert.same({ ("m"):rep(300), 1 }, { object:receive() })
    assert.same({ "", 1 }, { object:receive() })
    assert.same({ 2, 5, 2, 2, 300, 2 }, object.asked)
    assert.equal("", object.input)
    local server = open({ is_server = true, input = frame.encode("Hello", 2, true) })
    assert.same({ "Hello", 2 }, { server:receive() })
    assert.same({ 2, 9 }, server.asked)
  end)

  it("loses nothing by a timeout", function()
    local bytes = frame.encode(("m"):rep(300), 2)
    for cut = 0, #bytes, 3 do
      local object = open({ input = bytes:sub(1, cut), why = "timeout" })
      assert.same({ nil, nil, false, 1006, "timeout" }, { object:receive() })
      object.input = bytes:sub(cut + 1)
      assert.same({ ("m"):rep(300), 2 }, { object:receive() })
      assert.equal("OPEN", object.state)
    end
  end)

  it("masks as a client, and not as a server", function()
    for _, is_server in ipairs({ true, false }) do
      local object = open({ is_server = is_server })
      assert.is_true(object:send("one"))
      assert.is_true(object:send("two", websocket.BINARY))
      assert.same({ { 1, "one", not is_server }, { 2, "two", not is_server } }, sent(object))
    end
  end)

  it("joins fragments, and answers pings between them", function()
    local object = open({ input = frame.encode("Hel", 1, false, false) .. frame.encode("p", 9)
      .. frame.encode("q", 10) .. frame.encode("lo", 0) })
    assert.same({ "Hello", 1 }, { object:receive() })
    assert.same({ { 10, "p", true } }, sent(object))
  end)

  it("ends by the peer's close frame, which is answered", function()
    local object = open({ input = frame.encode(frame.encode_close(4001, "bye"), 8) })
    local heard = 0
    function object.on_close() heard = heard + 1 end
    assert.same({ nil, nil, true, 4001, "bye" }, { object:receive() })
    assert.same({ { 8, "\15\161", true } }, sent(object))
    assert.same({ "CLOSED", 1, 1 }, { object.state, object.closed, heard })
    assert.same({ nil, nil, false, 1006, "wrong state" }, { object:receive() })
    object = open({ input = frame.encode("", 8), is_cut = true })
    assert.is_false((select(3, object:receive())))
  end)

  it("ends by what breaks a rule, with a close code", function()
    for bytes, code in pairs({
      [frame.encode("x", 1, true)] = 1002, ["\255\0"] = 1002, [frame.encode("\255")] = 1007, ["\136\1x"] = 1002,
      ["\129\127" .. ("\255"):rep(8)] = 1002, ["\129\127\0\0\0\0\127\0\0\0"] = 1009,
    }) do
      local object = open({ input = bytes .. ("x"):rep(100) })
      local message, _, was_clean, got = object:receive()
      assert.same({ false, code }, { was_clean, got })
      assert.is_nil(message)
      assert.same({ 8, frame.encode_close(code), true }, sent(object)[1])
      assert.same({ "CLOSED", 1 }, { object.state, object.closed })
    end
  end)

  it("ends where the bytes end", function()
    local object = open({ input = "\129" })
    assert.same({ nil, nil, false, 1006, "closed" }, { object:receive() })
    object = open({ is_cut = true })
    assert.same({ nil, false, 1006, "closed" }, { object:send("x") })
    assert.same({ "CLOSED", 1 }, { object.state, object.closed })
  end)

  it("closes, and waits for the peer's close frame past messages", function()
    local object = open({ input = frame.encode("late") .. frame.encode(frame.encode_close(1000, "ok"), 8) })
    assert.same({ true, 1000, "ok" }, { object:close(4001, "bye") })
    assert.same({ { 8, "\15\161bye", true } }, sent(object))
    assert.same({ "CLOSED", 1 }, { object.state, object.closed })
    assert.same({ false, 1006, "closed" }, { open():close() })
    assert.same({ false, 1006, "timeout" }, { open({ why = "timeout" }):close() })
  end)

  it("refuses what may not be sent, and goes on", function()
    local object = open()
    assert.same({ nil, false, 1007, "utf8" }, { object:send("\255") })
    assert.same({ nil, false, 1006, "type" }, { object:send("", 8) })
    assert.is_true(object:send("fine"))
  end)

  it("connects over the functions, and checks the answer", function()
    local object = sync.extend(over({ answer = function(self, bytes)
      self.input = codec.accept(bytes, { "a" }) .. frame.encode("first")
      self.request = bytes
    end }))
    local is_open, protocol, headers = object:connect("ws://[::1]:8080/chat", { "a", "b" })
    assert.same({ true, "a", "websocket" }, { is_open, protocol, headers.upgrade })
    assert.same({ "::1", 8080 }, object.place)
    assert.matches("^GET /chat HTTP/1.1\r\nHost: %[::1%]:8080\r\n", object.request)
    assert.same({ "first", 1 }, { object:receive() })
    assert.same({ nil, "wrong state" }, { object:connect("ws://a/") })
  end)

  it("says why there is no connection, and may connect again", function()
    local object = sync.extend(over({ fault = "connection refused" }))
    assert.same({ nil, "connection refused" }, { object:connect("ws://a/") })
    assert.same({ nil, "bad protocol" }, { object:connect("http://a/") })
    assert.error_matches(function() object:connect("a") end, "Invalid URL:a", 1, true)
    object.fault = nil
    assert.same({ nil, "closed" }, { object:connect("ws://a/") })
    function object:answer(bytes)
      local key = bytes:match(KEY_LINE)
      self.input = codec.accept(bytes):gsub("Accept: [^\r]+", "Accept: " .. codec.accept_key(key .. "x"))
    end
    local is_open, why, headers = object:connect("ws://a/")
    assert.is_nil(is_open)
    assert.matches("Sec%-WebSocket%-Accept", why)
    assert.equal("websocket", headers.upgrade)
    function object:answer() self.input = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n" end
    is_open, why, headers = object:connect("ws://a/")
    assert.same({ "the server answered 503 Busy", "7" }, { why, headers["retry-after"] })
    assert.is_nil(is_open)
    assert.same({ nil, "wss needs the parameters of LuaSec" }, { object:connect("wss://a/") })
    assert.equal("CLOSED", object.state)
  end)
end)

describe("a client of 2.x that is given its socket", function()
  it("serves a connection that another server has accepted", function()
    local listener = assert(socket.bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    local peer = assert(socket.connect("127.0.0.1", port))
    local accepted = assert(listener:accept())
    finally(function() for _, one in ipairs({ listener, peer, accepted }) do one:close() end end)
    for _, one in ipairs({ peer, accepted }) do one:settimeout(10) end
    peer:send(handshake.upgrade_request({ key = codec.key(), host = "a", protocols = {} }))
    local lines = {}
    repeat
      lines[#lines + 1] = assert(accepted:receive("*l"))
    until lines[#lines] == ""
    accepted:send((handshake.accept_upgrade(table.concat(lines, "\r\n"), {})))
    local server = require("websocket.client_sync")()
    server.sock, server.state, server.is_server = accepted, "OPEN", true
    repeat local line = assert(peer:receive("*l")) until line == ""
    peer:send(frame.encode("to the server", 1, true))
    assert.same({ "to the server", 1 }, { server:receive() })
    assert.is_true(server:send("to the client"))
    assert.equal(frame.encode("to the client"), peer:receive(15))
    peer:send(frame.encode(frame.encode_close(1001), 8, true))
    assert.same({ nil, nil, true, 1001, "closed" }, { server:receive() })
    assert.same({ frame.encode("\3\233", 8) }, { peer:receive(4) })
    assert.equal("closed", (select(2, peer:receive(1))))
  end)
end)
