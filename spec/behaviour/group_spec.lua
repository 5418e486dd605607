--- Broadcasts: which connections get them, how, and which do not.
-- @module spec.behaviour.group_spec
local server = require("spec.support.server")
local client = require("spec.support.client")
local websockets = require("websockets")

-- A server with recorder "a" and so many open clients.
local function start(count, options)
  local handler, log = server.recorder()
  options = options or {}
  options.protocols = options.protocols or { a = handler, b = handler }
  local s, clients = server.start(options), {}
  for i = 1, count do clients[i] = client.open(s, "a") end
  return s, clients, log
end

describe("broadcast", function()
  after_each(server.stop_all)

  it("reaches every open connection of the protocol, the sender included, as text, and returns 0", function()
    local s, clients, log = start(3)
    local other = client.open(s, "b")
    assert.equal(0, s.context:broadcast("a", "one"))
    assert.equal(0, log.ws[2]:broadcast("two"))
    for i = 1, 3 do
      assert.same({ 1, "one" }, { clients[i]:message() })
      assert.same({ 1, "two" }, { clients[i]:message() })
    end
    s:settle()
    assert.is_nil(other:try_message())
  end)

  it("to no connection returns 0", function()
    local s = start(0)
    assert.equal(0, s.context:broadcast("a", "x"))
  end)

  it("sends empty messages and numbers", function()
    local s, clients = start(1)
    assert.equal(0, s.context:broadcast("a", ""))
    assert.equal(0, s.context:broadcast("a", 7))
    assert.same({ 1, "" }, { clients[1]:message() })
    assert.same({ 1, "7" }, { clients[1]:message() })
  end)

  it("goes by on_broadcast: text, binary or a function, and back", function()
    local s, clients, log = start(1)
    local ws, calls = log.ws[1], {}
    ws:on_broadcast(websockets.WRITE_BINARY)
    s.context:broadcast("a", "\255")
    assert.same({ 2, "\255" }, { clients[1]:message() })
    ws:on_broadcast(function(...)
      calls[#calls + 1] = { ... }
      return "ignored"
    end)
    s.context:broadcast("a", "\254")
    assert.same({ { ws, "\254" } }, calls)
    ws:on_broadcast(websockets.WRITE_TEXT)
    s.context:broadcast("a", "t")
    assert.same({ 1, "t" }, { clients[1]:message() })
    assert.equal(1, #calls)
  end)

  it("on_broadcast raises 'websocket on_broadcast value not supported' for anything else", function()
    local _, _, log = start(1)
    for shown, bad in pairs({ ["2"] = 2, ["0.5"] = 0.5, ['"text"'] = "text", table = {}, ["true"] = true,
      [tostring(websockets.WRITE_NO_FIN)] = websockets.WRITE_NO_FIN }) do
      assert.error_matches(function() log.ws[1]:on_broadcast(bad) end,
        "websocket on_broadcast value not supported: " .. shown .. "$")
    end
    assert.error_matches(function() log.ws[1]:on_broadcast(nil) end, "value not supported: no value$")
  end)

  it("of text that is not UTF-8 gives -1 and 'utf8' and reaches no connection, also not as binary", function()
    local s, clients, log = start(2)
    log.ws[2]:on_broadcast(websockets.WRITE_BINARY)
    assert.same({ -1, "utf8" }, { s.context:broadcast("a", "\255") })
    assert.same({ -1, "utf8" }, { log.ws[2]:broadcast("\255") })
    s:settle()
    assert.is_nil(clients[1]:try_message())
    assert.is_nil(clients[2]:try_message())
  end)

  it("leaves out those that are closing", function()
    local s, clients, log = start(2)
    log.ws[1]:close()
    s.context:broadcast("a", "x")
    assert.same({ 8, "" }, { clients[1]:message() })
    assert.same({ 1, "x" }, { clients[2]:message() })
    s:settle()
    assert.is_nil(clients[1]:try_message())
  end)

  it("in the turn that closes a slow peer puts nothing after its close frame", function()
    local s, clients, log = start(2, { max_buffered_bytes = 1024 * 1024 })
    local big = ("x"):rep(8 * 1024 * 1024)
    log.ws[1]:write(big, websockets.WRITE_BINARY)
    s:settle()
    log.ws[2]:on_receive(function()
      for _ = 1, 3 do s.context:broadcast("a", "more") end
    end)
    clients[2]:text("go")
    for _ = 1, 3 do assert.same({ 1, "more" }, { clients[2]:message() }) end
    assert.same({ 2, big }, { clients[1]:message() })
    assert.same({ 1013, "" }, { clients[1]:close_code() })
    assert.equal("", clients[1]:drain())
  end)

  it("in the connect callback that then raises puts nothing after the close frame", function()
    local s
    s = server.start({ protocols = { a = function() error("broken", 0) end }, on_error = function()
      s.context:broadcast("a", "x")
    end })
    local c = client.open(s, "a")
    assert.same({ 1011, "" }, { c:close_code() })
    assert.equal("", c:drain())
  end)

  it("closing one inside a callback skips and doubles none", function()
    for _, how in ipairs({ 0, 1000 }) do
      local s, _, log = start(5)
      local got = {}
      for i = 1, 5 do
        log.ws[i]:on_broadcast(function()
          got[#got + 1] = i
          if i == 2 then
            log.ws[1]:close(how)
            log.ws[2]:close(how)
            log.ws[4]:close(how)
          end
        end)
      end
      s.context:broadcast("a", "x")
      table.sort(got)
      assert.same({ 1, 2, 3, 5 }, got)
      got = {}
      s.context:broadcast("a", "x")
      table.sort(got)
      assert.same({ 3, 5 }, got)
    end
  end)

  it("inside an on_broadcast function reaches all once more", function()
    local s, clients, log = start(2)
    local depth = 0
    log.ws[1]:on_broadcast(function(ws)
      depth = depth + 1
      if depth == 1 then ws:broadcast("inner") end
    end)
    s.context:broadcast("a", "outer")
    assert.equal(2, depth)
    assert.same({ 1, "outer" }, { clients[2]:message() })
    assert.same({ 1, "inner" }, { clients[2]:message() })
  end)

  it("inside on_receive leaves in the order of the messages", function()
    local s = server.start({ protocols = { a = function(ws)
      ws:on_receive(function(_, data) ws:broadcast(data) end)
    end } })
    local c, d = client.open(s, "a"), client.open(s, "a")
    c:send(c:frame(1, "1") .. c:frame(1, "2") .. c:frame(1, "3"))
    for i = 1, 3 do
      assert.same({ 1, tostring(i) }, { c:message() })
      assert.same({ 1, tostring(i) }, { d:message() })
    end
  end)

  it("of connections without a subprotocol stays among them", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler }, default = handler })
    local a, b = client.open(s, "a"), client.open(s)
    log.ws[2]:broadcast("x")
    assert.same({ 1, "x" }, { b:message() })
    s:settle()
    assert.is_nil(a:try_message())
    assert.is_nil(log.ws[2]:get_protocol())
  end)
end)
