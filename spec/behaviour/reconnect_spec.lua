--- The option `reconnect`: one connection over the life of many servers, until something ends it for good.
-- @module spec.behaviour.reconnect_spec
local inside = require("spec.support.inside")
local peer = require("spec.support.peer")
local ports = require("spec.support.ports")
local reconnecting = require("spec.support.reconnecting")
local server = require("spec.support.server")
local testing = require("websockets.testing")

local await, connect = reconnecting.await, reconnecting.connect

local function assert_nothing_left(s)
  s:settle()
  assert.equal(0, inside.connections(s.context))
  assert.equal(0, inside.buffered(s.context))
  assert.is_nil(s.context:timeout())
end

describe("reconnect", function()
  after_each(server.stop_all)

  it("opens the same connection again, fifty times, at a server that is ended and started again", function()
    local s, accepted = server.start({ port = 0 }), nil
    local function start(port)
      return server.start({ port = port, default = function(ws)
        accepted = ws
        ws:on_receive(function(from, data) from:write("echo " .. data) end)
      end })
    end
    local other = start(ports.closed())
    local port = other.port
    local ws, log = connect(s, port)
    function s:turn(ms)
      self.context:service(ms)
      if not inside.is_destroyed(other.context) then other.context:service(0) end
    end
    for round = 1, 50 do
      await(s, log.opened, round)
      ws:write(round)
      await(s, log.messages, round)
      assert.equal("echo " .. round, log.messages[round])
      -- With a closing handshake, or cut.
      if round % 2 == 0 then accepted:close(0) end
      log.waits = {}
      other.context:destroy()
      -- Now and then a server is not there again at once.
      await(s, log.waits, round % 5 == 0 and 2 or 1)
      if round % 5 == 0 then assert.equal("refused", log.waits[2][2]) end
      other = start(port)
    end
    await(s, log.opened, 51)
    assert.equal(51, #log.opened)
    assert.is_false(log.opened[1])
    for i = 2, 51 do assert.is_true(log.opened[i]) end
    assert.same({}, log.closed)
    assert.equal(1, inside.connections(s.context))
    ws:close(1000)
    await(s, log.closed, 1)
    assert.same({ 1000, "", true, "closed" }, log.closed[1])
    assert_nothing_left(s)
  end)

  it("tries from the first time on, and tells each wait and why", function()
    local s = server.start({})
    local port = ports.refusing()
    local ws, log = connect(s, port, { min = 0.004, max = 0.004, jitter = 0.5 })
    await(s, log.waits, 3)
    for _, wait in ipairs(log.waits) do
      assert.is_true(wait[1] > 0.0019 and wait[1] <= 0.004, wait[1])
      assert.same({ "refused", 1006, ("cannot connect to 127.0.0.1:%d: connection refused"):format(port) },
        { wait[2], wait[3], wait[4] })
    end
    assert.equal(-1, ws:get_socket_fd())
    assert.equal("", (ws:get_peer_addresses()))
    assert.equal(1, ws:rx_flow_control(false))
    assert.same({ {}, {} }, { log.opened, log.closed })
  end)

  it("ends after so many tries in a row, with the last failure, once", function()
    local s = server.start({ port = 0 })
    local p = peer.listen(s)
    local _, log = connect(s, p.port, { min = 0.001, max = 0.002, attempts = 3 })
    p:accept()
    await(s, log.opened, 1)
    p:close()
    s.context:run()
    assert.equal(3, #log.waits)
    assert.same({ { 1006, ("cannot connect to 127.0.0.1:%d: connection refused"):format(p.port), false, "refused" } },
      log.closed)
    assert_nothing_left(s)
  end)
end)

describe("reconnect, by the clock", function()
  local URL = "ws://feed.example/"
  local context, feed, log, ws

  before_each(function()
    context = testing.context()
    feed = context:server(URL)
  end)

  local function connect_by(reconnect, options)
    ws, log = connect({ context = context }, URL, reconnect, options)
  end

  -- Lets a connection last so long; gives how long is waited for the next one.
  local function cut_after(seconds)
    local accepted = feed:accept()
    context:advance(seconds)
    accepted:disconnect()
    local wait = log.waits[#log.waits][1]
    context:advance(wait - 0.01)
    assert.same({ nil, "timeout" }, { feed:accept({ handshake = false }) })
    context:advance(0.02)
    return wait
  end

  it("waits longer each time, and begins anew after a connection that lasted", function()
    connect_by({ min = 1, max = 8, jitter = 0 }, { ping_interval = false })
    local waits = {}
    for i, seconds in ipairs({ 0, 0, 7.9, 0, 0, 8.1, 0 }) do waits[i] = cut_after(seconds) end
    assert.same({ 1, 2, 4, 8, 8, 1, 2 }, waits)
  end)

  it("ends at a refusal that would come again, and goes on after others", function()
    for status, text in pairs({ [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found", [410] = "Gone" }) do
      connect_by({ min = 1, max = 1 })
      for _, passing in ipairs({ 500, 502, status }) do
        assert(feed:accept({ handshake = false, timeout = 2 }), passing)
          :send_bytes(("HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n"):format(passing, text))
      end
      local message = ("the server answered %d %s"):format(status, text)
      assert.same({ { 1006, message, false, "status" } }, log.closed)
      assert.equal(2, #log.waits)
      assert.same({ "status", 1006, "the server answered 502 " .. text },
        { log.waits[2][2], log.waits[2][3], log.waits[2][4] })
    end
    connect_by()
    feed:accept({ handshake = false }):send_bytes("HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert.equal("handshake", log.closed[1][4])
    assert.is_nil(context:timeout())
  end)

  it("waits as long as a 503 or a 429 asks in Retry-After", function()
    connect_by({ min = 1, max = 2, jitter = 0 })
    for i, case in ipairs({
      { 503, { ["Retry-After"] = 120 }, 120 }, { 429, { ["Retry-After"] = 0 }, 2 },
      { 503, { ["Retry-After"] = "Sun, 06 Nov 1994 08:51:37 GMT", Date = "Sun, 06 Nov 1994 08:49:37 GMT" }, 120 },
      { 503, { ["Retry-After"] = "99999999999999999999" }, 3600 }, { 503, { ["Retry-After"] = "soon" }, 2 },
    }) do
      assert(feed:refuse(case[1], case[2]))
      assert.equal(case[3], log.waits[i][1])
      context:advance(case[3] - 0.1)
      assert.same({ nil, "timeout" }, { feed:refuse() })
      context:advance(0.2)
    end
    assert(feed:accept())
    assert.equal(1, #log.opened)
  end)

  it("comes back after a close by the server, but for the codes by which it judges us", function()
    for _, code in ipairs({ 1000, 1001, 1012, 1008 }) do
      connect_by({ min = 1, max = 1 })
      assert.is_true(feed:accept():close(code))
      if code == 1008 then
        assert.same({ { { 1008, "", true, "closed" } }, {} }, { log.closed, log.waits })
      else
        assert(feed:accept({ timeout = 2 }))
        assert.same({ "closed", code, "" }, { log.waits[1][2], log.waits[1][3], log.waits[1][4] })
        ws:close(0)
        context:settle()
        assert.equal(1, #log.closed)
      end
    end
    assert.is_nil(context:timeout())
  end)

  it("goes on after an error in on_reconnect, which on_error hears", function()
    local heard = {}
    context = testing.context({ on_error = function(...) heard[#heard + 1] = { ... } end })
    feed = context:server(URL)
    connect_by({ min = 1, max = 1 })
    ws:on_reconnect(function() error("oops", 0) end)
    feed:accept():disconnect()
    assert(feed:accept({ timeout = 2 }))
    assert.equal(2, #log.opened)
    assert.same({ { "oops", ws } }, heard)
  end)

  it("has one attempt take timeout seconds", function()
    connect_by({ min = 1, max = 1, jitter = 0 }, { timeout = 3 })
    for round = 1, 2 do
      -- Connected, or not even that.
      feed:set_silent(round == 1)
      context:advance(2.9)
      assert.equal(round - 1, #log.waits)
      context:advance(0.2)
      assert.equal("timeout", log.waits[round][2])
      context:advance(0.9)
    end
  end)
end)
