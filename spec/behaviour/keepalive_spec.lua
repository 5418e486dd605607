--- Signs of life: pings to silent peers, their time to answer, and connections that are not used.
-- @module spec.behaviour.keepalive_spec
local server = require("spec.support.server")
local still = require("spec.support.still")

local PING, PONG, BINARY = 9, 10, 2

local start, pass, assert_timed_out = still.start, still.pass, still.assert_timed_out

describe("ping_interval and ping_timeout", function()
  after_each(server.stop_all)

  it("by default a silent peer hears a ping after 20 s and is gone after 20 s more", function()
    local run, log, peer = start({})
    pass(run, 19)
    assert.is_nil(peer:try_message())
    pass(run, 1)
    assert.same({ PING, "" }, { peer:message() })
    pass(run, 19)
    assert.equal(0, #log.closed)
    pass(run, 1)
    assert_timed_out(run, log)
    assert.is_true(peer:await_end() ~= nil)
  end)

  it("a pong keeps the connection, for ever", function()
    local run, log, peer = start({})
    for _ = 1, 5 do
      pass(run, 20)
      assert.equal(PING, (peer:message()))
      peer:write(PONG)
      run:settle()
    end
    assert.equal(0, #log.closed)
  end)

  it("a peer that only answers is pinged every ping_interval, whatever ping_timeout is", function()
    for _, timeout in ipairs({ 1, 5, 19, 20, 21, 30, 100, false }) do
      local run, log, peer = start({ ping_timeout = timeout })
      for _ = 1, 5 do
        pass(run, 19)
        assert.is_nil(peer:try_message(), timeout)
        pass(run, 1)
        assert.same({ PING, "" }, { peer:message() })
        peer:write(PONG)
        run:settle()
      end
      assert.equal(0, #log.closed)
    end
  end)

  it("a peer that answers nothing has the whole of a longer ping_timeout", function()
    local run, log, peer = start({ ping_timeout = 50 })
    pass(run, 20)
    assert.equal(PING, (peer:message()))
    pass(run, 49)
    assert.equal(0, #log.closed)
    pass(run, 1)
    assert_timed_out(run, log)
  end)

  it("an answer after the next ping was due brings that ping at once", function()
    local run, log, peer = start({ ping_timeout = 50 })
    pass(run, 20)
    assert.equal(PING, (peer:message()))
    pass(run, 30)
    peer:write(PONG)
    run:settle()
    pass(run, 20)
    assert.equal(PING, (peer:message()))
    assert.equal(0, #log.closed)
  end)

  it("any byte is a sign of life, be it a part of a frame", function()
    local run, log, peer = start({})
    local bytes, at = peer:frame(BINARY, ("a"):rep(100)), 0
    for _ = 1, 10 do
      pass(run, 10)
      at = at + 1
      peer:send(bytes:sub(at, at))
      run:settle()
    end
    assert.equal(0, #log.closed)
    assert.is_nil(peer:try_message())
  end)

  it("reading that the application paused suspends the timeout", function()
    local run, log, peer = start({})
    log.ws[1]:rx_flow_control(false)
    pass(run, 200)
    assert.equal(0, #log.closed)
    -- Its answer would not be read: it is not even asked.
    assert.is_nil(peer:try_message())
    log.ws[1]:rx_flow_control(true)
    pass(run, 60)
    assert_timed_out(run, log)
  end)

  it("what came before a pause is no sign of life after it", function()
    local run, log, peer = start({})
    pass(run, 5)
    peer:text("early")
    run:settle()
    log.ws[1]:rx_flow_control(false)
    pass(run, 16)
    log.ws[1]:rx_flow_control(true)
    pass(run, 18)
    assert.is_nil(peer:try_message())
    pass(run, 1)
    assert.same({ PING, "" }, { peer:message() })
  end)

  it("ping_interval = false sends none and ends nothing", function()
    local run, log, peer = start({ ping_interval = false })
    pass(run, 200)
    assert.is_nil(peer:try_message())
    assert.equal(0, #log.closed)
  end)

  it("ping_timeout = false goes on pinging and ends nothing", function()
    local run, log, peer = start({ ping_timeout = false })
    pass(run, 100)
    for _ = 1, 4 do assert.equal(PING, (peer:message())) end
    assert.equal(0, #log.closed)
  end)

  it("other durations are kept", function()
    local run, log, peer = start({ ping_interval = 3, ping_timeout = 2 })
    pass(run, 3)
    assert.equal(PING, (peer:message()))
    pass(run, 2)
    assert_timed_out(run, log)
  end)

  it("a peer that vanished is told of at once when the system knows", function()
    local run, log, peer = start({})
    peer:reset()
    run:pump(function() return log.closed[1] end, "on_closed")
    assert.equal(1006, log.closed[1][2])
    assert.is_false(log.closed[1][4])
  end)
end)

describe("idle_timeout", function()
  after_each(server.stop_all)

  it("is off by default", function()
    local run, log, peer = start({})
    for _ = 1, 30 do
      pass(run, 20)
      peer:write(PONG)
      run:settle()
    end
    assert.equal(0, #log.closed)
  end)

  it("closes 1001 when no message came or went; pings and pongs do not count", function()
    local run, log, peer = start({ idle_timeout = 50 })
    for _ = 1, 49 do
      pass(run, 1)
      peer:write(PING, "p")
      peer:write(PONG)
      run:settle()
    end
    assert.equal(0, #log.closed)
    pass(run, 1)
    assert.equal(1001, peer:close_code())
    peer:close()
    run:pump(function() return log.closed[1] end, "on_closed")
    assert.same({ 1001, "idle" }, { log.closed[1][2], log.closed[1][5] })
  end)

  it("a received message, a write, a fragment and a broadcast each start it again", function()
    local run, log, peer
    local uses = {
      function() peer:text("a") end, function() log.ws[1]:write("a") end,
      function() run.context:broadcast("echo", "a") end,
      function() log.ws[1]:write("a", 0x41) end, function() log.ws[1]:write("a", 2) end,
      function()
        log.ws[1]:on_broadcast(1)
        log.ws[1]:broadcast("a")
      end,
    }
    for i = 1, #uses do
      run, log, peer = start({ idle_timeout = 50, ping_interval = false })
      pass(run, 49)
      uses[i]()
      run:settle()
      pass(run, 49)
      assert.equal(0, log.ws[1]:ping(), i)
      pass(run, 51)
      assert.equal(1001, peer:close_code())
    end
  end)
end)
