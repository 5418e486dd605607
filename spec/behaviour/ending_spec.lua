--- The closing handshake from both sides, and the end after a breach.
-- @module spec.behaviour.ending_spec
local server = require("spec.support.server")
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local lifecycle = require("websockets.connection.lifecycle")

local function pair(options)
  local handler, log = server.recorder()
  options = options or {}
  options.protocols = { a = handler }
  local s = server.start(options)
  return s, client.open(s, "a"), log
end

describe("the closing handshake by the peer", function()
  after_each(server.stop_all)

  it("is answered with its code; on_closed hears code, reason and clean; the server ends the connection", function()
    local s, c, log = pair()
    for _, code in ipairs({ 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999 }) do
      local one = client.open(s, "a")
      one:send_close(code, "r\195\164son")
      assert.same({ code, "" }, { one:close_code() })
      assert.equal("closed", one:await_end())
      local last = log.closed[#log.closed]
      assert.same({ log.ws[#log.ws], code, "r\195\164son", true, "closed" }, last)
    end
    assert.is_nil(c:try_message())
  end)

  it("without a code is answered without one: 1005, clean", function()
    local s, c, log = pair()
    c:send_close()
    assert.same({ 1005, "" }, { c:close_code() })
    c:await_end()
    s:settle()
    assert.same({ { log.ws[1], 1005, "", true, "closed" } }, log.closed)
  end)

  it("data after its close frame is not delivered", function()
    local _, c, log = pair()
    c.connection:send(c:frame(1, "before") .. c:frame(8, "\3\232") .. c:frame(1, "after"))
    assert.equal(1000, (c:close_code()))
    c:await_end()
    assert.equal(1, #log.messages)
    assert.equal("before", log.messages[1][2])
  end)

  it("comes after what was queued before", function()
    local s, c, log = pair()
    local big = ("x"):rep(10 * 1024 * 1024)
    log.ws[1]:write(big, 1)
    s:settle()
    c:send_close(1000)
    s:settle()
    assert.same({ 2, big }, { c:message() })
    assert.equal(1000, (c:close_code()))
  end)

  it("at the same time as ours: clean, with the peer's code", function()
    local s, c, log = pair()
    log.ws[1]:close(4000)
    c:send_close(4001, "me too")
    assert.equal(4000, (c:close_code()))
    s:pump(function() return log.closed[1] end)
    assert.same({ 4001, "me too", true, "closed" }, { (table.unpack or unpack)(log.closed[1], 2) }) -- luacheck: ignore
    assert.is_nil(c:close_code())
  end)
end)

describe("ws:close", function()
  after_each(server.stop_all)

  it("without arguments sends a close frame without code and waits for the answer", function()
    local s, c, log = pair()
    assert.is_nil(log.ws[1]:close())
    assert.same({ 8, "" }, { c:message() })
    s:settle()
    assert.equal(0, #log.closed)
    c:send_close()
    s:pump(function() return log.closed[1] end)
    assert.same({ log.ws[1], 1005, "", true, "closed" }, log.closed[1])
    assert.equal("closed", c:await_end())
  end)

  it("with code and reason sends them", function()
    local _, c, log = pair()
    log.ws[1]:close(3999, ("r"):rep(123))
    assert.same({ 3999, ("r"):rep(123) }, { c:close_code() })
  end)

  it("takes 1000-1003, 1007-1014 and 3000-4999; raises for any other code", function()
    local s, _, log = pair()
    for _, code in ipairs({ 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1, 1000.5, "1000", true, 0 / 0 }) do
      assert.error_matches(function() log.ws[1]:close(code) end, "bad argument #1 to 'close'")
    end
    for _, code in ipairs({ 1000, 1003, 1007, 1014, 3000, 4999 }) do
      local c = client.open(s, "a")
      log.ws[#log.ws]:close(code)
      assert.equal(code, (c:close_code()))
    end
  end)

  it("raises for a reason of 124 bytes, not UTF-8, no string, or without a code", function()
    local s, c, log = pair()
    local ws = log.ws[1]
    for reason, got in pairs({
      [("r"):rep(124)] = "124 bytes", ["\255"] = "bytes that are not UTF%-8", [7] = "7", [{}] = "table",
    }) do
      assert.error_matches(function() ws:close(1000, reason) end,
        "bad argument #2 to 'close' %(close reason of at most 123 bytes of UTF%-8 expected, got " .. got .. "%)")
    end
    assert.error_matches(function() ws:close(nil, "r") end, "bad argument #1 to 'close'")
    s:settle()
    assert.is_nil(c:try_message())
  end)

  it("a second time does nothing", function()
    local s, c, log = pair()
    log.ws[1]:close(1000)
    log.ws[1]:close(1001)
    assert.equal(1000, (c:close_code()))
    s:settle()
    assert.is_nil(c:try_message())
  end)

  it("of 0 ends at once, without a frame; on_closed is called inside the call; what was written leaves", function()
    local _, c, log = pair()
    log.ws[1]:write("last words")
    log.ws[1]:close(0)
    assert.same({ { log.ws[1], 1006, "", false, "closed" } }, log.closed)
    assert.equal(-1, log.ws[1]:get_socket_fd())
    assert.same({ 1, "last words" }, { c:message() })
    assert.equal("", c:drain())
  end)

  it("of 0 inside a callback ends at the end of the turn, and what was written in it leaves", function()
    local s, c, log = pair()
    local found
    log.ws[1]:on_receive(function(ws)
      ws:write("last words")
      ws:close(0)
      found = { #log.closed, ws:get_socket_fd() > 0, ws:write("x") }
    end)
    c:text("go")
    assert.same({ 1, "last words" }, { c:message() })
    s:settle()
    assert.same({ 0, true, -1, "closed" }, found)
    assert.equal(1, #log.closed)
  end)

  it("of 0 ends what a close without answer left", function()
    local _, c, log = pair()
    log.ws[1]:close()
    log.ws[1]:close(0)
    assert.equal(1, #log.closed)
    c:await_end()
  end)

  it("then nothing is delivered and write gives -1 and 'closing'; a ping is not answered", function()
    local s, c, log = pair()
    local ws = log.ws[1]
    ws:close(1000)
    assert.same({ -1, "closing" }, { ws:write("x") })
    assert.same({ -1, "closing" }, { ws:ping() })
    assert.same({ -1, "closing" }, { ws:write("x", 2) })
    c:send(c:frame(1, "late") .. c:frame(9, "p"))
    assert.equal(1000, (c:close_code()))
    s:settle()
    assert.equal(0, #log.messages)
    assert.is_nil(c:try_message())
  end)

  it("without an answer ends by itself after close_timeout: five seconds by default", function()
    local s, c, log = pair()
    s:fake_time()
    log.ws[1]:close(1000)
    s:advance(4.9)
    assert.equal(0, #log.closed)
    s:advance(0.2)
    assert.same({ { log.ws[1], 1006, "", false, "timeout" } }, log.closed)
    assert.equal(1000, (c:close_code()))
    c:await_end()
  end)

  it("without an answer ends even where reading was paused and the queue is full", function()
    local s, _, log = pair()
    s:fake_time()
    local ws = log.ws[1]
    ws:rx_flow_control(false)
    ws:write(("x"):rep(12 * 1024 * 1024))
    ws:close()
    s:expire(ws, 5, function() return log.closed[1] end)
    assert.equal("timeout", log.closed[1][5])
    assert.equal(0, inside.buffered(s.context))
  end)
end)

describe("an end", function()
  after_each(server.stop_all)

  it("is told, once, also where an error came before", function()
    local s, c, log = pair()
    local complete = lifecycle.complete
    finally(function() lifecycle.complete = complete end)
    function lifecycle.complete()
      lifecycle.complete = complete
      error("not enough memory", 0)
    end
    c:close()
    local errors = {}
    for _ = 1, 100 do
      local is_good, err = pcall(s.turn, s)
      if not is_good then errors[#errors + 1] = err end
      if log.closed[1] then break end
    end
    s:settle()
    assert.same({ "not enough memory" }, errors)
    assert.equal(1, #log.closed)
    assert.equal(0, inside.connections(s.context))
  end)
end)

describe("after a breach", function()
  after_each(server.stop_all)

  it("a peer that does not end is let go after close_timeout, with the code of the breach", function()
    local s, c, log = pair({ close_timeout = 2 })
    s:fake_time()
    c:send("\193\128\0\0\0\0")
    s:settle()
    assert.equal(1002, (c:close_code()))
    assert.equal(0, #log.closed)
    for _ = 1, 4 do
      c.connection:send("flood")
      s:advance(0.6)
    end
    assert.equal(1002, log.closed[1][2])
    assert.equal("protocol", log.closed[1][5])
  end)
end)
