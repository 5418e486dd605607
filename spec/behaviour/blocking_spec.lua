--- A client for scripts, `websockets.connect`: each method waits until it is done.
-- @module spec.behaviour.blocking_spec
local scripted = require("spec.support.scripted")
local socket = require("socket")
local websockets = require("websockets")

local ECHO = "ws:on_receive(function(_, data, kind) ws:write(data, kind) end)"

local function connect(peer, options)
  return assert(websockets.connect(peer.url, options))
end

-- Runs a function; its results, after how many seconds it took.
local function timed(fn, ...)
  local begin = socket.gettime()
  local results = { fn(...) }
  return socket.gettime() - begin, results
end

describe("websockets.connect", function()
  after_each(scripted.stop_all)

  it("connects, sends, receives and closes, each when it returns", function()
    local peer = scripted.serve(ECHO .. "ws:on_closed(function(_, ...) say(...) end)")
    local ws = connect(peer)
    assert.equal(0, ws:write("text"))
    assert.same({ "text", websockets.WRITE_TEXT }, { ws:receive(10) })
    assert.equal(0, ws:write("\0\255", websockets.WRITE_BINARY))
    assert.same({ "\0\255", websockets.WRITE_BINARY }, { ws:receive() })
    assert.same({ true, 4001, "" }, { ws:close(4001, "done") })
    assert.equal("4001 done true closed", peer:said())
    assert.equal(-1, ws:get_socket_fd())
  end)

  it("takes the options of context:connect", function()
    local peer = scripted.start([[
      server:open(nil, { ["Sec-WebSocket-Protocol"] = "chat" })
      server.say(server.head:match("X%-Colour: (%a+)"))]])
    local ws = connect(peer, { protocols = { "chat" }, headers = { ["X-Colour"] = "red" }, log = function() end })
    assert.equal("chat", ws:get_protocol())
    assert.equal("red", peer:said())
  end)

  it("gives status, headers and body of a refusal after the code", function()
    local peer = scripted.start([[server:request()
      server:send("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nwait")]])
    local ws, message, code, status, headers, body = websockets.connect(peer.url)
    assert.same({ "the server answered 503 Busy", "status", 503, "7", "wait" },
      { message, code, status, headers["retry-after"], body })
    assert.is_nil(ws)
    assert.is_nil((select(4, websockets.connect("ws://nothing.invalid/", { proxy = false }))))
  end)

  it("takes messages that come with the answer", function()
    local ws = connect(scripted.start([[server:open(server.frame(1, "a") .. server.frame(2, "b"))
      server:close()]]))
    assert.same({ "a", 0 }, { ws:receive(10) })
    assert.same({ "b", 1 }, { ws:receive(10) })
    assert.same({ nil, "closed", 1006, "" }, { ws:receive(10) })
  end)

  it("serves two connections in turn", function()
    local peer = scripted.serve(ECHO)
    local one, other = connect(peer), connect(peer)
    for i = 1, 20 do
      one:write("one" .. i)
      other:write("other" .. i)
      assert.equal("other" .. i, (other:receive(10)))
      assert.equal("one" .. i, (one:receive(10)))
    end
    one:close()
    other:write("still here")
    assert.equal("still here", (other:receive(10)))
  end)
end)

describe("a blocking client's receive", function()
  after_each(scripted.stop_all)

  it("returns nil and \"timeout\" in time, and the message that comes later", function()
    local peer = scripted.start([[server:open() server:await_signal() server:write(1, "late") server:message()]])
    local ws = connect(peer)
    local seconds, results = timed(ws.receive, ws, 0.2)
    assert.same({ nil, "timeout" }, results)
    assert.is_true(seconds >= 0.19 and seconds < 5, seconds .. " s")
    assert.same({ nil, "timeout" }, { ws:receive(0) })
    peer:go_on()
    assert.same({ "late", 0 }, { ws:receive(10) })
  end)

  it("loses no byte by a timeout amid a message", function()
    local peer = scripted.start([[
      server:open()
      local bytes = server.frame(1, "in pieces")
      for i = 1, #bytes do
        server:send(bytes:sub(i, i))
        server:await_signal()
      end]])
    local ws = connect(peer)
    for _ = 1, 10 do
      assert.same({ nil, "timeout" }, { ws:receive(0.02) })
      peer:go_on()
    end
    assert.same({ "in pieces", 0 }, { ws:receive(10) })
  end)

  it("does not use the processor while it waits", function()
    local ws = connect(scripted.start("server:open() server:message()"))
    local before = os.clock()
    ws:receive(1)
    assert.is_true(os.clock() - before < 0.2)
  end)

  it("answers pings and sends pings meanwhile", function()
    local peer = scripted.start([[
      server:open()
      server:write(9, "are you there")
      -- A ping may come before the pong where this process is slow.
      local came = {}
      while not (came[9] and came[10]) do
        local opcode, payload = server:message()
        came[opcode] = payload
        if opcode == 10 then server:write(1, opcode .. payload) end
      end
      server:write(1, "9" .. came[9])
      server:message()]])
    local ws = connect(peer, { ping_interval = 0.2 })
    assert.equal("10are you there", (ws:receive(10)))
    assert.equal("9", (ws:receive(10)))
  end)

  it("tells code and reason when the peer has closed, each time", function()
    local ws = connect(scripted.start([[server:open() server:write(1, "last") server:write(8, "\3\233bye")
      server:message() server:close()]]))
    assert.same({ "last", 0 }, { ws:receive(10) })
    for _ = 1, 2 do assert.same({ nil, "closed", 1001, "bye" }, { ws:receive(10) }) end
    assert.same({ true, 1001, "bye" }, { ws:close() })
    assert.same({ -1, "closed" }, { ws:write("x") })
    assert.same({ -1, "closed" }, { ws:ping() })
    assert.equal(0, ws:buffered())
  end)

  it("tells of a peer that answers no ping", function()
    local ws = connect(scripted.start("server:open() server:drain()"), { ping_interval = 0.1, ping_timeout = 0.1 })
    assert.same({ nil, "closed", 1006, "" }, { ws:receive(10) })
    assert.same({ nil, "timeout", 1006, "" }, { ws:close() })
  end)

  it("tells of a peer that breaks the protocol", function()
    local ws = connect(scripted.start([[server:open() server:send("\129\129\1\2\3\4A") server:message()
      server:close()]]))
    local message, why, code = ws:receive(10)
    assert.same({ nil, "closed", 1002 }, { message, why, code })
    assert.same({ nil, "protocol", 1002 }, { (function(...) return (select(1, ...)), (select(2, ...)), (select(3, ...))
    end)(ws:close()) })
  end)

  it("gives 10,000 messages in order", function()
    local ws = connect(scripted.serve("for i = 1, 10000 do ws:write(tostring(i)) end ws:close(1000)"))
    local count = 0
    for message, kind in ws:messages() do
      count = count + 1
      if message ~= tostring(count) or kind ~= 0 then error("message " .. count .. " is " .. message) end
    end
    assert.equal(10000, count)
  end)
end)

describe("a blocking client's messages", function()
  after_each(scripted.stop_all)

  it("end when the connection has ended", function()
    local ws = connect(scripted.serve([[ws:write("a") ws:write("b", 1) ws:close(4000, "all")]]))
    local seen = {}
    for message, kind in ws:messages() do seen[#seen + 1] = message .. kind end
    assert.same({ "a0", "b1" }, seen)
    assert.same({ nil, "closed", 4000, "all" }, { ws:receive() })
    for _ in ws:messages() do error("a message after the end") end
  end)

  it("stay in order and bounded while nobody takes them", function()
    -- The server writes all, which the client does not take before it has written all, which the server does not take.
    local peer = scripted.start([[
      server:open()
      local frames = {}
      for i = 1, 400 do frames[i] = server.frame(2, tostring(i) .. (" "):rep(65536)) end
      server.connection:settimeout(0.5)
      local bytes = table.concat(frames)
      local sent, _, part = server.connection:send(bytes)
      server.say(sent or part)
      server.connection:settimeout(20)
      server:drain(1024 * 1024)
      server:send(bytes:sub((sent or part) + 1))
      server:drain()]])
    local ws = connect(peer)
    assert.equal(0, ws:write(("x"):rep(16 * 1024 * 1024), 1))
    assert.is_true(ws:buffered() > 0)
    -- The systems on both sides hold some, too.
    assert.is_true(tonumber(peer:said()) < 20 * 1024 * 1024)
    for i = 1, 400 do
      local message, why, code = ws:receive(10)
      assert.same({ i, 0 }, { tonumber(message), message and 0 or why .. (code or "") })
      assert.equal(65536, #message - #tostring(i))
    end
  end)
end)

describe("a blocking client's write", function()
  after_each(scripted.stop_all)

  it("waits until the system has all", function()
    local peer = scripted.start([[server:open() server:await_signal() server.say(#select(2, server:message()))]])
    local ws = connect(peer)
    peer:go_on()
    assert.equal(0, ws:write(("x"):rep(300000), 1))
    assert.equal(0, ws:buffered())
    assert.equal("300000", peer:said())
  end)

  it("gives up waiting for a peer that takes nothing, and loses nothing", function()
    local peer = scripted.start([[
      server:open()
      server:await_signal()
      local total = 0
      repeat
        local bytes, _, part = server.connection:receive(65536)
        total = total + #(bytes or part or "")
      until not bytes
      server.say(total)]])
    local ws = connect(peer, { ping_interval = false, ping_timeout = 0.2 })
    local message = ("x"):rep(16 * 1024 * 1024)
    local seconds, results = timed(ws.write, ws, message, 1)
    assert.equal(0, results[1])
    assert.is_true(seconds >= 0.19 and seconds < 15, seconds .. " s")
    assert.is_true(ws:buffered() > 0)
    assert.same({ -1, "full" }, { ws:write("more") })
    peer:go_on()
    -- A call that waits sends what is left.
    while ws:buffered() > 0 do ws:receive(0.05) end
    assert.equal(0, ws:write("more"))
    ws:close(0)
    assert.equal(16 * 1024 * 1024 + 14 + 4 + 6, tonumber(peer:said()))
  end)

  it("tells that the connection has ended before all was sent", function()
    local ws = connect(scripted.start([[server:open() server:drain(1000) server:reset()]]))
    local result, why = ws:write(("x"):rep(16 * 1024 * 1024), 1)
    assert.same({ -1, "closed" }, { result, why })
    assert.equal("closed", (select(2, ws:receive())))
  end)
end)
