--- The methods of `ws`: writing, callbacks, facts.
-- @module spec.behaviour.websocket_spec
local server = require("spec.support.server")
local client = require("spec.support.client")
local websockets = require("websockets")
local unpack = table.unpack or unpack -- luacheck: ignore

local function pair(options)
  local handler, log = server.recorder()
  options = options or {}
  options.protocols = options.protocols or { a = handler }
  local s = server.start(options)
  local c = client.open(s, "a")
  return s, c, log.ws[1], log
end

describe("ws:write", function()
  after_each(server.stop_all)

  it("sends text by default and returns 0", function()
    local _, c, ws = pair()
    assert.same({ 0 }, { ws:write("abc") })
    assert.same({ 1, "abc" }, { c:message() })
  end)

  it("sends binary, ping and pong by their numbers of 2012", function()
    local _, c, ws = pair()
    for kind, opcode in pairs({ [websockets.WRITE_TEXT] = 1, [websockets.WRITE_BINARY] = 2,
      [websockets.WRITE_PING] = 9, [websockets.WRITE_PONG] = 10 }) do
      assert.equal(0, ws:write("abc", kind))
      assert.same({ opcode, "abc" }, { c:message() })
    end
  end)

  it("sends an empty message", function()
    local _, c, ws = pair()
    assert.equal(0, ws:write(""))
    assert.same({ 1, "" }, { c:message() })
    assert.equal(0, ws:write("", websockets.WRITE_BINARY))
    assert.same({ 2, "" }, { c:message() })
  end)

  it("makes strings of numbers and raises for other Lua types", function()
    local _, c, ws = pair()
    assert.equal(0, ws:write(42))
    assert.same({ 1, "42" }, { c:message() })
    for _, bad in ipairs({ {}, true, print }) do
      assert.error_matches(function() ws:write(bad) end, "bad argument #1 to 'write' %(string or number expected")
    end
    assert.error_matches(function() ws:write(nil) end, "got no value")
    assert.error_matches(function() ws:write("x", "text") end, "bad argument #2 to 'write'")
  end)

  it("names the caller's line in its errors", function()
    local _, _, ws = pair()
    for _, call in ipairs({
      function() ws:write({}) end, function() ws:write("", "") end, function() ws:close(999) end,
      function() ws:close(1000, {}) end, function() ws:close(1000, "\255") end, function() ws:on_receive(1) end,
      function() ws:broadcast({}) end, function() ws:on_broadcast("x") end, function() ws:respond(99) end,
      function() ws:serve_http_file() end, function() ws:rx_flow_control(2) end,
      function() ws:write(("x"):rep(126), websockets.WRITE_PING) end, function() ws:ping({}) end,
      function() ws:ping(("x"):rep(126)) end, function() ws:write("x", websockets.WRITE_CLOSE) end,
      function() ws:write("\3\232\255", websockets.WRITE_CLOSE) end,
      function() ws:respond(200, { A = "\r\n" }) end,
    }) do
      assert.matches("websocket_spec.lua:%d+: ", select(2, pcall(call)))
    end
  end)

  it("gives -1 and 'type' for a kind that is none", function()
    local _, _, ws = pair()
    for _, kind in ipairs({ 7, 9, 2.5, -1, 1000, websockets.WRITE_PING + websockets.WRITE_NO_FIN, 0 / 0 }) do
      assert.same({ -1, "type" }, { ws:write("x", kind) })
    end
    assert.same({ -1, "type" }, { ws:write("x", websockets.WRITE_HTTP) })
  end)

  it("ignores WRITE_CLIENT_IGNORE_XOR_MASK", function()
    local _, c, ws = pair()
    assert.equal(0, ws:write("x", websockets.WRITE_CLIENT_IGNORE_XOR_MASK + websockets.WRITE_BINARY))
    assert.same({ 2, "x" }, { c:message() })
  end)

  it("gives -1 and 'utf8' for text that is not UTF-8, and sends nothing", function()
    local _, c, ws = pair()
    for _, bad in ipairs({ "\255", "\192\128", "\237\160\128", "a\226\130", "\244\144\128\128" }) do
      assert.same({ -1, "utf8" }, { ws:write(bad) })
      assert.equal(0, ws:write(bad, websockets.WRITE_BINARY))
      assert.same({ 2, bad }, { c:message() })
    end
  end)

  it("raises for a control frame of more than 125 bytes", function()
    local _, c, ws = pair()
    assert.equal(0, ws:ping(("x"):rep(125)))
    assert.same({ 9, ("x"):rep(125) }, { c:message() })
    assert.error_matches(function() ws:ping(("x"):rep(126)) end, "125 bytes")
  end)

  it("with WRITE_CLOSE begins the closing handshake with that code and reason", function()
    local _, c, ws = pair()
    assert.equal(0, ws:write("\3\232done", websockets.WRITE_CLOSE))
    assert.same({ 1000, "done" }, { c:close_code() })
    assert.same({ -1, "closing" }, { ws:write("\3\232", websockets.WRITE_CLOSE) })
    assert.same({ -1, "closing" }, { ws:write("x") })
  end)

  it("with WRITE_CLOSE and an impossible payload raises", function()
    local _, _, ws = pair()
    assert.has_error(function() ws:write("\3", websockets.WRITE_CLOSE) end)
    assert.has_error(function() ws:write("\3\236", websockets.WRITE_CLOSE) end)
  end)

  it("on a dead connection gives -1 and 'closed'; nothing else does harm", function()
    local s, c, ws, log = pair()
    c:close()
    s:pump(function() return log.closed[1] end)
    assert.same({ -1, "closed" }, { ws:write("x") })
    assert.same({ -1, "closed" }, { ws:write("x", websockets.WRITE_BINARY + websockets.WRITE_NO_FIN) })
    assert.same({ -1, "closed" }, { ws:write("", websockets.WRITE_CLOSE) })
    assert.same({ -1, "closed" }, { ws:ping("x") })
    assert.equal(-1, ws:get_socket_fd())
    ws:close()
    ws:close(0)
    ws:close(1000, "x")
    for _, name in ipairs({ "on_receive", "on_closed", "on_broadcast", "on_drain", "on_pong" }) do
      ws[name](ws, function() end)
    end
    ws:on_broadcast(websockets.WRITE_TEXT)
    assert.equal(1, ws:rx_flow_control(true))
    assert.equal(0, ws:buffered())
    assert.same({ "127.0.0.1" }, { (ws:get_peer_addresses() ~= "" and ws:get_peer_addresses()) or "127.0.0.1" })
    s.context:broadcast("a", "x")
    s:settle()
    assert.equal(1, #log.closed)
  end)
end)

describe("ws", function()
  after_each(server.stop_all)

  it("on_receive gets ws, data and the type; text and binary are told apart", function()
    local s, c, ws, log = pair()
    c:write(1, "t")
    c:write(2, "b")
    s:pump(function() return #log.messages == 2 end)
    assert.same({ { ws, "t", websockets.WRITE_TEXT }, { ws, "b", websockets.WRITE_BINARY } }, log.messages)
  end)

  it("on_receive gets whole messages, also empty ones, whatever their size", function()
    local s, c, _, log = pair()
    for _, size in ipairs({ 0, 1, 125, 126, 5000, 65535, 65536, 300000 }) do c:write(2, ("x"):rep(size)) end
    s:pump(function() return #log.messages == 8 end)
    assert.equal(0, #log.messages[1][2])
    assert.equal(5000, #log.messages[5][2])
    assert.equal(300000, #log.messages[8][2])
  end)

  it("callbacks must be functions and a later one replaces the earlier", function()
    local s, c, ws, log = pair()
    for _, name in ipairs({ "on_receive", "on_closed", "on_drain", "on_pong", "on_server_writeable" }) do
      assert.error_matches(function() ws[name](ws, 1) end, "bad argument #1 to 'on_%w+.*function expected, got 1")
      assert.error_matches(function() ws[name](ws) end, "function expected, got no value")
    end
    local got = {}
    ws:on_receive(function(_, data) got[#got + 1] = data end)
    c:text("x")
    s:pump(function() return #got == 1 end)
    assert.equal(0, #log.messages)
  end)

  it("on_pong hears the answer to a ping", function()
    local s, c, ws = pair()
    local got
    ws:on_pong(function(from, data) got = { from, data } end)
    assert.equal(0, ws:ping("now"))
    assert.same({ 9, "now" }, { c:message() })
    c:write(10, "now")
    s:pump(function() return got end)
    assert.same({ ws, "now" }, got)
  end)

  it("on_drain and on_server_writeable hear that a full queue is empty again", function()
    for _, name in ipairs({ "on_drain", "on_server_writeable" }) do
      local s, c, ws = pair()
      local drained = 0
      ws[name](ws, function(from)
        assert.equal(ws, from)
        drained = drained + 1
      end)
      ws:write("small")
      s:settle()
      assert.equal(0, drained)
      assert.equal(0, ws:write(("x"):rep(12 * 1024 * 1024), websockets.WRITE_BINARY))
      s:settle()
      assert.is_true(ws:buffered() > 0)
      assert.equal(0, drained)
      assert.equal("small", select(2, c:message()))
      assert.equal(12 * 1024 * 1024, #select(2, c:message()))
      s:settle()
      assert.same({ 1, 0 }, { drained, ws:buffered() })
    end
  end)

  it("get_peer_addresses gives name and address without DNS, remaining_packet_payload 0, get_socket_fd a number",
    function()
      local _, _, ws = pair()
      assert.same({ "127.0.0.1", "127.0.0.1" }, { ws:get_peer_addresses() })
      assert.equal(0, ws:remaining_packet_payload())
      assert.is_true(ws:get_socket_fd() > 2 and ws:get_socket_fd() % 1 == 0)
      assert.equal("a", ws:get_protocol())
      assert.is_nil(ws.service)
      assert.is_nil(ws.set_timeout)
    end)

  it("is the same object in every callback and can be a table key", function()
    local s, c, ws, log = pair()
    c:text("x")
    c:send_close()
    s:pump(function() return log.closed[1] end)
    assert.is_true(rawequal(ws, log.messages[1][1]) and rawequal(ws, log.closed[1][1]))
  end)

  it("the connect callback gets exactly one argument and may write", function()
    local count
    local s = server.start({ protocols = { a = function(...)
      count = select("#", ...)
      assert.equal(0, (...):write("welcome"))
    end } })
    local c = client.open(s, "a")
    assert.equal(1, count)
    assert.same({ 1, "welcome" }, { c:message() })
  end)

  it("in the HTTP phase takes neither messages nor pings", function()
    local results
    local s = server.start({ on_http = function(ws)
      results = { { ws:write("x") }, { ws:ping() }, { ws:write("", websockets.WRITE_CLOSE) }, { ws:broadcast("x") } }
      ws:respond(200)
    end })
    local c = client.connect(s)
    c:send(client.request("/"))
    assert.equal(200, (c:response()))
    for _, result in ipairs(results) do assert.same({ -1, "type" }, { unpack(result) }) end
  end)
end)
