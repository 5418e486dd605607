--- A connection with the option `reconnect` while it is away: what may be written, what ends it, what it leaves behind.
-- @module spec.behaviour.away_spec
local inside = require("spec.support.inside")
local peer = require("spec.support.peer")
local reconnecting = require("spec.support.reconnecting")
local server = require("spec.support.server")
local socket = require("socket")
local websockets = require("websockets")

local await, connect, messages_of = reconnecting.await, reconnecting.connect, reconnecting.messages_of
local NEVER = reconnecting.NEVER

local function start(options)
  options = options or {}
  options.port = options.port or 0
  local s = server.start(options)
  return s, peer.listen(s)
end

describe("while a connection is away", function()
  after_each(server.stop_all)

  it("messages wait, and leave in their order after those of on_open", function()
    local s, p = start()
    local ws, log = connect(s, p.port)
    assert.equal(0, ws:write("before the first"))
    p:accept()
    assert.same({ "before the first" }, messages_of(p, 1))
    p:drop()
    await(s, log.waits)
    for i = 1, 100 do assert.equal(0, ws:write("message " .. i, i % 2)) end
    assert.equal(0, ws:write(101))
    assert.equal(100 * 8 + 92 + 100 + 3, ws:buffered())
    ws:on_open(function(_, again) ws:write("login " .. tostring(again)) end)
    p:accept()
    local list = messages_of(p, 102)
    assert.equal("login true", list[1])
    for i = 1, 100 do assert.equal("message " .. i, list[i + 1]) end
    assert.equal("101", list[102])
    assert.equal(0, ws:buffered())
    ws:write("later")
    assert.same({ "later" }, messages_of(p, 1))
  end)

  it("no more wait than queue_bytes, and none with 0", function()
    local s, p = start()
    local ws, log = connect(s, p.port, { min = 0.05, max = 0.05, queue_bytes = 10 })
    assert.equal(0, ws:write("12345"))
    assert.same({ -1, "away" }, { ws:write("123456") })
    assert.equal(0, ws:write("67890"))
    assert.same({ -1, "away" }, { ws:write("x") })
    p:accept()
    assert.same({ "12345", "67890" }, messages_of(p, 2))
    p:drop()
    await(s, log.waits)
    assert.equal(0, ws:write("1234567890"))
    ws:close()
    local none = connect(s, p.port, { queue_bytes = 0 })
    assert.same({ -1, "away" }, { none:write("") })
    -- Many that hold nothing take memory all the same.
    local tiny, count = connect(s, p.port, { queue_bytes = 2 ^ 21 }), 0
    while tiny:write("") == 0 do count = count + 1 end
    assert.equal(2 ^ 21 / 128, count)
  end)

  it("what is no whole message is refused, and text that is not UTF-8", function()
    local s, p = start()
    local ws = connect(s, p.port)
    local W = websockets
    assert.same({ -1, "away" }, { ws:write("part", W.WRITE_TEXT + W.WRITE_NO_FIN) })
    assert.same({ -1, "away" }, { ws:write("part", W.WRITE_CONTINUATION) })
    assert.same({ -1, "away" }, { ws:ping() })
    assert.same({ -1, "utf8" }, { ws:write("\255") })
    assert.equal(0, ws:write("\255", W.WRITE_BINARY))
    assert.same({ -1, "type" }, { ws:broadcast("x") })
  end)

  it("close ends it: while it waits, in on_reconnect, while it connects, by a close frame that is written", function()
    local s, p = start()
    local ways = {
      function(ws, log)
        await(s, log.waits)
        ws:close()
      end,
      function(ws)
        ws:on_reconnect(function() ws:close(4000, "enough") end)
      end,
      function(ws, log)
        await(s, log.waits)
        assert.equal(0, ws:write("", websockets.WRITE_CLOSE))
      end,
      function(ws, log)
        await(s, log.waits)
        ws:close(0)
      end,
    }
    for number, way in ipairs(ways) do
      local ws, log = connect(s, p.port, NEVER)
      p:accept()
      await(s, log.opened, 1)
      p:drop()
      way(ws, log)
      await(s, log.closed)
      assert.same({ 1006, "", false, "closed" }, log.closed[1], number)
      ws:close()
      assert.same({ -1, "closed" }, { ws:write("x") })
    end
    local ws, log = connect(s, p.port)
    ws:write("kept")
    p:read_request()
    ws:close()
    await(s, log.closed)
    assert.equal(0, ws:buffered())
    s:settle()
    assert.equal(0, inside.connections(s.context))
    assert.is_nil(s.context:timeout())
    s.context:run()
    assert.equal(1, #log.closed)
  end)

  it("close ends it also where the server has begun to, or it has just broken", function()
    local s, p = start()
    local ws, log = connect(s, p.port)
    p:accept()
    await(s, log.opened, 1)
    ws:on_receive(function() ws:close() end)
    p:write(1, "go")
    p:write(8, "\3\233")
    p:drop()
    await(s, log.closed)
    s:settle()
    assert.same({ 1, 0 }, { #log.closed, #log.waits })
  end)

  it("destroy ends it, with the word destroyed", function()
    local s, p = start()
    local _, log = connect(s, p.port, NEVER)
    local _, other = connect(s, p.port, NEVER)
    p:accept()
    p:drop()
    p:accept()
    p:drop()
    await(s, log.waits)
    await(s, other.waits)
    s.context:destroy()
    for _, one in ipairs({ log, other }) do assert.same({ { 1006, "", false, "destroyed" } }, one.closed) end
  end)

  it("callbacks may end it, or the context: on_open of the second, on_reconnect, and any other callback", function()
    for _, name in ipairs({ "on_open", "on_reconnect", "a timer" }) do
      for _, what in ipairs({ "close", "destroy" }) do
        local s, p = start()
        local ws, log = connect(s, p.port, { min = 0.01, max = 0.01 })
        local function finish()
          if what == "close" then ws:close(0) else s.context:destroy() end
        end
        p:accept()
        await(s, log.opened)
        if name == "a timer" then
          s.context:every(0.001, function(timer)
            if log.waits[1] then
              timer:cancel()
              finish()
            end
          end)
        else
          ws[name](ws, finish)
        end
        p:drop()
        s:pump(function()
          p:poll()
          if p.buffer:find("\r\n\r\n", 1, true) then p:accept() end
          if log.closed[1] then return true end
        end, name .. " " .. what)
        -- A context that is destroyed says so in its own close frame.
        local why = what == "destroy" and "destroyed" or "closed"
        assert.same({ 1, why }, { #log.closed, log.closed[1][4] })
        s:stop()
      end
    end
  end)

  it("nothing of the old connection goes on: pause, a fragment, messages that waited, pings", function()
    local s, p = start()
    s:fake_time()
    local ws, log = connect(s, p.port, { min = 1, max = 1, jitter = 0 }, { ping_interval = 20, idle_timeout = 100 })
    p:accept()
    await(s, log.opened, 1)
    ws:write("begun", websockets.WRITE_TEXT + websockets.WRITE_NO_FIN)
    assert.equal(0, ws:write("later", websockets.WRITE_BINARY))
    ws:rx_flow_control(false)
    p:write(1, "not read")
    s:advance(19)
    -- Nobody reads: only a write shows that the other side is gone.
    p:drop()
    s:pump(function()
      ws:ping()
      return log.waits[1]
    end, "on_reconnect")
    assert.is_true(s.context:timeout() <= 1)
    s:advance(1)
    p:accept()
    await(s, log.opened, 2)
    p:write(1, "read")
    await(s, log.messages)
    assert.same({ "read" }, log.messages)
    -- A continuation of what was begun would break the next connection.
    assert.same({ -1, "fragment" }, { ws:write("end", websockets.WRITE_CONTINUATION) })
    assert.equal(0, ws:write("whole"))
    assert.same({ "whole" }, messages_of(p, 1))
    -- What was heard is a sign of life: the first ping comes after the second interval of this connection.
    s:advance(20)
    s:advance(19.5)
    p:poll()
    assert.equal("", p.buffer)
    s:advance(0.5)
    assert.equal(9, (p:message()))
  end)

  it("an outside loop is told of each descriptor and of its end", function()
    local watched, count = {}, 0
    local s, p = start({
      on_add_fd = function(fd)
        assert(not watched[fd])
        watched[fd] = { getfd = function() return fd end }
        count = count + 1
      end,
      on_del_fd = function(fd)
        assert(watched[fd])
        watched[fd] = nil
        count = count - 1
      end,
    })
    function s:turn(ms)
      local list = {}
      for _, one in pairs(watched) do list[#list + 1] = one end
      local ready = socket.select(list, nil, math.min(ms / 1000, self.context:timeout() or 1))
      for _, one in ipairs(ready) do self.context:service_fd(one.getfd()) end
      if #ready == 0 then self.context:service_fd(-1) end
    end
    local own = count
    local ws, log = connect(s, p.port)
    for round = 1, 5 do
      p:accept()
      await(s, log.opened, round)
      assert.equal(own + 1, count)
      ws:write("round " .. round)
      assert.same({ "round " .. round }, messages_of(p, 1))
      p:drop()
      await(s, log.waits, round)
    end
    ws:close()
    assert.equal(own, count)
  end)
end)
