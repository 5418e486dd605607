--- Server and client of the API of 2.x under lua-ev.
-- @module spec.behaviour.two_x_ev_spec
local client = require("spec.support.client")
local peer = require("spec.support.peer")
local ports = require("spec.support.ports")
local socket = require("socket")
local two_x = require("spec.support.two_x")
local websocket = require("websocket")

local host

local function test(title, fn)
  it(title, function()
    local why
    host, why = two_x.ev()
    if not host then return pending(why) end
    fn()
  end)
end

local function listen(options)
  options.port, options.interface, options.loop = options.port or 0, "127.0.0.1", host.loop
  local server = websocket.server.ev.listen(options)
  host:keep(server)
  host.port = math.floor(tonumber((select(2, server:sock():getsockname()))))
  return server
end

local function echo(ws)
  ws:on_message(function(from, message, opcode) from:send(message, opcode) end)
end

-- A client whose events are noted.
local function dial(url, protocols, options)
  options = options or {}
  options.loop = host.loop
  local ws, log = websocket.client.ev(options), { open = {}, message = {}, close = {}, error = {} }
  for name, list in pairs(log) do
    ws["on_" .. name](ws, function(...) list[#list + 1] = { ... } end)
  end
  ws:connect(url or "ws://127.0.0.1:" .. host.port, protocols)
  return ws, log
end

local function is_open(ws)
  return function() return ws.state == "OPEN" end
end

local function await(list, count)
  host:pump(function() return #list >= (count or 1) end)
  return list[count or 1]
end

describe("websocket.server.ev", function()
  after_each(two_x.stop_all)

  test("echoes messages of each size, text and binary, by protocol and by default", function()
    listen({ protocols = { echo = echo }, default = echo })
    two_x.assert_echoes(host)
  end)

  test("gives each connection the fields and results of 2.x", function()
    local ws, sent
    listen({ protocols = { a = function(made)
      ws = made
      sent = { made:send("now"), made:send("x", 5) }
      made:start()
    end } })
    local c = client.open(host, "a")
    assert.same({ 1, "now" }, { c:message() })
    assert.is_number(sent[1])
    assert.equal("OPEN", ws.state)
    assert.same({ "127.0.0.1", "number" }, { ws.sock:getpeername(), type(select(2, ws.sock:getpeername())) })
    assert.matches("tcp{client}", tostring(ws.sock), 1, true)
    assert.same({ nil, "type" }, { ws:send("x", 5) })
    assert.same({ nil, "utf8" }, { ws:send("\255") })
    assert.is_number((ws:send("\255", websocket.BINARY)))
    assert.same({ 2, "\255" }, { c:message() })
    local names = { [ws] = "a key" }
    assert.equal("a key", names[ws])
  end)

  test("broadcasts to all of a protocol, the sender too", function()
    local first
    local function handler(ws)
      first = first or ws
    end
    listen({ protocols = { a = handler, b = handler }, default = handler })
    local peers = {}
    for i = 1, 10 do peers[i] = client.open(host, "a") end
    local other, plain = client.open(host, "b"), client.open(host)
    first:broadcast("text")
    first:broadcast("\255", websocket.BINARY)
    for _, one in ipairs(peers) do
      assert.same({ 1, "text" }, { one:message() })
      assert.same({ 2, "\255" }, { one:message() })
    end
    peers[1]:close()
    peers[2]:text("x")
    for _, one in ipairs({ other, plain }) do assert.is_nil((one:try_message())) end
  end)

  test("tells the end once, in both directions", function()
    local ends, made = {}, nil
    listen({ default = function(ws)
      made = ws
      ws:on_close(function(from, ...)
        ends[#ends + 1] = { ... }
        assert(from == ws and ws.state == "CLOSED")
        ws:close()
      end)
    end })
    local c = client.open(host)
    c:send_close(4001, "bye")
    assert.equal(4001, (c:close_code()))
    assert.same({ true, 4001, "bye" }, await(ends))
    c = client.open(host)
    made:close(4002, "going")
    assert.equal("CLOSING", made.state)
    assert.same({ 4002, "going" }, { c:close_code() })
    c:send_close(4002)
    assert.same({ true, 4002, "" }, await(ends, 2))
    c = client.open(host)
    c:reset()
    assert.same({ false, 1006 }, { await(ends, 3)[1], ends[3][2] })
    assert.is_nil((made:send("late")))
    assert.equal(3, #ends)
  end)

  test("gives a peer that does not answer a close frame so many seconds", function()
    local ends, made = {}, nil
    listen({ default = function(ws)
      made = ws
      ws:on_close(function(_, ...) ends[#ends + 1] = { ... } end)
    end })
    local least = math.huge
    -- Without the number it would be three each time.
    for try = 1, 5 do
      local c = client.open(host)
      local begin = socket.gettime()
      made:close(1000, nil, 0.05)
      assert.same({ false, 1006, "timeout" }, await(ends, try))
      least = math.min(least, socket.gettime() - begin)
      c:await_end()
      if least < 2.5 then break end
    end
    assert.is_true(least < 2.5, least)
  end)

  test("takes connections of any origin", function()
    listen({ default = echo })
    client.open(host, { headers = "Origin: https://elsewhere.example\r\n" })
  end)

  test("tells on_error of an opening handshake that failed", function()
    local errors = {}
    local server = listen({ protocols = { a = echo } })
    server:on_error(function(from, err)
      assert(from == server)
      errors[#errors + 1] = err
    end)
    local c = client.connect(host)
    c:send("GET / HT")
    c:close()
    assert.matches("^Websocket Handshake failed: ", (await(errors)))
    server:on_error(nil)
    local lines = two_x.printed(function()
      client.connect(host):close()
      -- Accepted after that one, which has been seen to end by then.
      client.open(host, "a")
    end)
    assert.matches("^Websocket Handshake failed: ", lines[1])
  end)

  test("closes its connections with itself, unless they are to be kept", function()
    for _, call in ipairs({ "server:close()", "server.close()", "server:close(true)", "server.close(true)" }) do
      local server = listen({ default = echo })
      local c = client.open(host)
      local keeps = call:find("true") ~= nil
      if call:find(":") then server:close(keeps or nil) else server.close(keeps or nil) end
      assert.is_nil((socket.connect("127.0.0.1", host.port)))
      if keeps then
        c:text("still here")
        assert.same({ 1, "still here" }, { c:message() })
        c:send_close(1000)
      end
      assert.equal(1000, (c:close_code()))
      if not keeps then c:send_close(1000) end
      assert.equal("closed", c:await_end())
      server:close()
    end
    -- Nothing is watched any more.
    host.loop:loop()
  end)

  test("raises where it cannot listen", function()
    assert.error_matches(function() websocket.server.ev.listen({ port = 0 }) end, "'protocols' or 'default'", 1, true)
    assert.error_matches(function() websocket.server.ev.listen() end, "'protocols' or 'default'", 1, true)
    listen({ default = echo })
    assert.error_matches(function() listen({ default = echo, port = host.port }) end, "address already in use")
  end)

  test("goes on after an error of a function, and closes what has no handler", function()
    local reported, eventful = {}, require("websocket.eventful")
    local real = eventful.report
    eventful.report = function(err) reported[#reported + 1] = err end
    finally(function() eventful.report = real end)
    listen({
      protocols = { raising = function() error("on purpose", 0) end },
      default = function(ws) ws:on_message(function(_, message) error(message, 0) end) end,
    })
    local c, d = client.open(host, "raising"), client.open(host)
    assert.equal(1011, (c:close_code()))
    d:text("one")
    d:text("two")
    await(reported, 3)
    assert.same({ "on purpose", "one", "two" }, reported)
  end)
end)

describe("websocket.client.ev", function()
  after_each(two_x.stop_all)

  test("opens, sends, receives and closes, and calls nothing inside connect", function()
    listen({ protocols = { echo = echo } })
    local ws, log = dial(nil, { "none", "echo" })
    assert.same({ "CONNECTING", 0 }, { ws.state, #log.open + #log.error })
    local opened = await(log.open)
    assert.same({ ws, "echo", "websocket", "OPEN" }, { opened[1], opened[2], opened[3].upgrade, ws.state })
    assert.same({}, { ws:send("text") })
    ws:send("\0\255", websocket.BINARY)
    assert.same({ ws, "\0\255", 2 }, await(log.message, 2))
    assert.same({ ws, "text", 1 }, log.message[1])
    ws:close(4001, "bye")
    assert.equal("CLOSING", ws.state)
    assert.same({ ws, true, 4001, "" }, await(log.close))
    assert.equal("CLOSED", ws.state)
    assert.equal(0, #log.error)
  end)

  test("connects again from on_close, on the same object", function()
    listen({ default = echo })
    local ws, log = dial()
    local count = 0
    ws:on_close(function()
      count = count + 1
      if count < 3 then ws:connect("ws://127.0.0.1:" .. host.port) end
    end)
    for i = 1, 3 do
      await(log.open, i)
      ws:close()
    end
    host:pump(function() return count == 3 end)
  end)

  test("sends an Origin, and no subprotocol where none is given", function()
    local p = peer.listen(host)
    for _, protocols in ipairs({ false, "" }) do
      dial("ws://127.0.0.1:" .. p.port .. "/a?b", protocols or nil, { origin = "http://here" })
      local head, headers = p:read_request()
      assert.matches("^GET /a%?b HTTP/1.1\r\n", head)
      assert.same({ "http://here" }, { headers.origin, headers["sec-websocket-protocol"] })
      p:drop()
    end
  end)

  test("tells on_error what is wrong, later", function()
    listen({ default = echo })
    local ws, log = dial()
    await(log.open)
    ws:connect("ws://127.0.0.1:" .. host.port)
    assert.equal(0, #log.error)
    assert.same({ ws, "wrong state" }, await(log.error))
    assert.equal("OPEN", ws.state)
    for _, case in ipairs({
      { "ws2://127.0.0.1", "bad protocol" }, { "ws://127.0.0.1:" .. ports.refusing(), "connection refused" },
      { "ws://nothing.invalid", "host or service not provided, or not known" },
    }) do
      local failing, heard = dial(case[1])
      assert.equal(0, #heard.error)
      assert.same({ failing, case[2] }, { await(heard.error)[1], heard.error[1][2] })
      assert.same({ "CLOSED", 0 }, { failing.state, #heard.close })
    end
    assert.error_matches(function() dial("nothing") end, "Invalid URL:nothing", 1, true)
    ws:send("\255")
    assert.same({ ws, "utf8" }, await(log.error, 2))
  end)

  test("tells on_error of a failed opening handshake, with what was wrong", function()
    for answer, more in pairs({
      ["HTTP/1.1 503 Busy\r\n\r\n"] = "the server answered 503 Busy",
      ["nonsense\r\n\r\n"] = "the server's answer is not HTTP",
    }) do
      local p = peer.listen(host)
      local ws, log = dial("ws://127.0.0.1:" .. p.port)
      p:read_request()
      for i = 1, #answer do p:send(answer:sub(i, i)) end
      p:drop()
      assert.same({ "accept failed", more }, { await(log.error)[2], log.error[1][3] })
      assert.equal("CLOSED", ws.state)
    end
  end)

  test("prints errors that nobody hears", function()
    local lines = two_x.printed(function()
      local ws = websocket.client.ev({ loop = host.loop })
      ws:connect("wsx://a")
      local done
      host.ev.Timer.new(function() done = true end, 0.02):start(host.loop)
      host:pump(function() return done end)
    end)
    assert.same({ "Error\tbad protocol" }, lines)
  end)

  test("can be closed before it is open", function()
    local p = peer.listen(host)
    local ws, log = dial("ws://127.0.0.1:" .. p.port)
    ws:close()
    assert.same({ ws, false, 1006, "" }, await(log.close))
    assert.same({ "CLOSED", 0 }, { ws.state, #log.error })
    ws:close()
  end)

  test("tells the end that the server makes, and the one that nobody answers", function()
    local p = peer.listen(host)
    local ws, log = dial("ws://127.0.0.1:" .. p.port)
    p:accept()
    host:pump(is_open(ws))
    p:write(8, "\15\161bye")
    assert.same({ 8, "\15\161" }, { p:message() })
    p:drop()
    assert.same({ ws, true, 4001, "bye" }, await(log.close))
    ws, log = dial("ws://127.0.0.1:" .. p.port)
    p:accept()
    host:pump(is_open(ws))
    p:drop()
    assert.same({ ws, false, 1006, "closed" }, await(log.close))
    ws, log = dial("ws://127.0.0.1:" .. p.port)
    p:accept()
    host:pump(is_open(ws))
    ws:close(1000, "", 0.05)
    assert.same({ ws, false, 1006, "timeout" }, await(log.close))
  end)

  test("answers pings, and leaves nothing in the loop", function()
    local p = peer.listen(host)
    local ws, log = dial("ws://127.0.0.1:" .. p.port)
    p:accept()
    host:pump(is_open(ws))
    p:write(9, "p")
    assert.same({ 10, "p" }, { p:message() })
    p:write(8, "")
    p:message()
    p:drop()
    assert.same({ ws, true, 1005, "" }, await(log.close))
    assert.equal(0, #log.message)
    host.loop:loop()
  end)
end)
