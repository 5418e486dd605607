--- The slow end of a context: what is refused, what still comes through, when it is over.
-- @module spec.behaviour.drain_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local peer = require("spec.support.peer")
local ports = require("spec.support.ports")
local server = require("spec.support.server")
local socket = require("socket")
local websockets = require("websockets")

describe("context:drain", function()
  after_each(server.stop_all)

  -- Serves until the drain is over, and tells what `on_drained` heard.
  local function drain(s, seconds, options)
    local heard = {}
    options = options or {}
    options.on_drained = function(left) heard[#heard + 1] = left end
    assert.is_nil(s.context:drain(seconds, options))
    return heard
  end

  local function finish(s, heard, each)
    s:pump(function()
      if each then each() end
      if heard[1] then
        -- The turn that ends it has destroyed the context.
        function s.turn() end
        return true
      end
    end, "the end of the drain")
    assert.equal(1, #heard)
    return heard[1]
  end

  -- Answers the close frame of each that has got one.
  local function answer_closes(clients)
    return function()
      for _, c in ipairs(clients) do
        local opcode, payload = c:try_message()
        if opcode == 8 and not c.code then
          c.code = payload:byte(1) * 256 + payload:byte(2)
          c.connection:send(c:frame(8, payload))
        end
      end
    end
  end

  it("returns before anything has ended, also where nothing is left: run follows it", function()
    local s = server.start({ protocols = {} })
    local heard = drain(s, 20)
    assert.equal(0, #heard)
    s.context:run()
    assert.same({ 0 }, heard)
    assert.error_matches(function() s.context:run() end, "websocket context destroyed$")
    function s.turn() end
  end)

  it("sends 1001, waits for the answers, and destroys the context", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    local clients = {}
    for i = 1, 5 do clients[i] = client.open(s, "a") end
    local heard = drain(s, 20)
    assert.equal(0, finish(s, heard, answer_closes(clients)))
    for i = 1, 5 do
      assert.equal(1001, clients[i].code)
      assert.same({ 1001, "", true, "closed" }, { select(2, (table.unpack or unpack)(log.closed[i])) })
    end
    assert.error_matches(function() s.context:service(0) end, "websocket context destroyed$")
  end)

  it("has run return, though timers go on", function()
    local s = server.start({ protocols = { a = server.echo } })
    local ticks, c = 0, client.open(s, "a")
    s.context:every(0.001, function()
      ticks = ticks + 1
      if ticks == 3 then s.context:drain(20) end
      local opcode, payload = c:try_message()
      if opcode == 8 then c.connection:send(c:frame(8, payload)) end
    end)
    s.context:run()
    assert.error_matches(function() s.context:get_port() end, "websocket context destroyed$")
  end)

  it("ends at once where there is no connection", function()
    local s = server.start({})
    assert.equal(0, finish(s, drain(s, 1000)))
  end)

  it("after its time ends what is left, as destroy does", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler }, close_timeout = 1000 })
    s:fake_time()
    client.open(s, "a")
    client.open(s, "a")
    local heard = drain(s, 30)
    s:advance(29)
    s:settle()
    assert.same({}, heard)
    s:advance(1)
    s.turn = function() end
    assert.same({ 2 }, heard)
    assert.same({ 1006, "", false, "destroyed" }, { select(2, (table.unpack or unpack)(log.closed[1])) })
  end)

  it("counts for on_drained no connection that has got all there is for it", function()
    local handler = server.recorder()
    local s = server.start({ protocols = { a = handler }, close_timeout = 1000, handshake_timeout = 1000 })
    s:fake_time()
    client.open(s, "a")
    local refused = client.connect(s)
    s:settle()
    local heard = drain(s, 30)
    refused:send(client.request("/"))
    assert.equal(503, (refused:response()))
    s:settle()
    assert.equal(2, s.context:metrics().connections.all)
    s:advance(30)
    s.turn = function() end
    assert.same({ 1 }, heard)
  end)

  it("accepts what waits, then closes its socket", function()
    local s = server.start({ on_http = function(ws) ws:respond(200) end })
    -- What asks for nothing is ended after a second.
    s:fake_time()
    s:settle()
    local waiting = client.connect(s)
    drain(s, 20)
    assert.is_nil((socket.connect("127.0.0.1", s.port)))
    waiting:send(client.request("/"))
    local status, headers = waiting:response()
    assert.same({ 503, "1", "close" }, { status, headers["retry-after"], headers.connection })
    waiting:await_end()
  end)

  it("leaves the socket of the application alone: another process accepts what waits there", function()
    local listening = socket.bind("127.0.0.1", 0)
    local s = server.start({ socket = listening, on_http = function(ws) ws:respond(200) end })
    s:settle()
    finish(s, drain(s, 20))
    local c = client.connect(s)
    local other = server.start({ socket = listening, on_http = function(ws) ws:respond(201) end })
    c.server = other
    c:send(client.request("/"))
    assert.equal(201, (c:response()))
    other.on_stop = function() listening:close() end
  end)

  it("answers requests that begin from then on with 503, and those before in full", function()
    local pending
    local s = server.start({
      on_http = function(ws, uri)
        if uri == "/later" then pending = ws else ws:respond(200, nil, "now") end
      end,
      default = server.echo,
    })
    local kept, later, fresh = client.connect(s), client.connect(s), client.connect(s)
    kept:send(client.request("/"))
    assert.equal(200, (kept:response()))
    later:send(client.request("/later"))
    s:pump(function() return pending end)
    local heard = drain(s, 20)
    kept:send(client.request("/"))
    local status, headers = kept:response()
    assert.same({ 503, "1", "close" }, { status, headers["retry-after"], headers.connection })
    fresh:send(client.upgrade())
    assert.equal(503, (fresh:response()))
    pending:respond(200, nil, "answered")
    local body
    status, headers, body = later:response()
    assert.same({ 200, "close", "answered" }, { status, headers.connection, body })
    for _, c in ipairs({ kept, later, fresh }) do
      c:await_end()
      c:close()
    end
    finish(s, heard)
  end)

  it("with serve_accepted serves the first request of a connection that was accepted", function()
    local handler, log = server.recorder()
    local s = server.start({ on_http = function(ws) ws:respond(200) end, default = handler })
    s:fake_time()
    local plain, upgrade, kept = client.connect(s), client.connect(s), client.connect(s)
    kept:send(client.request("/"))
    assert.equal(200, (kept:response()))
    local heard = drain(s, 20, { serve_accepted = true })
    for c, status in pairs({ [plain] = 200, [kept] = 503 }) do
      c:send(client.request("/"))
      assert.equal(status, (c:response()))
      c:close()
    end
    upgrade:send(client.upgrade())
    assert.equal(101, (upgrade:read_head()))
    local answer = answer_closes({ upgrade })
    finish(s, heard, function()
      answer()
      s:advance(0.01)
    end)
    assert.equal(1001, upgrade.code)
    assert.same({ 1001, "", true, "closed" }, { select(2, (table.unpack or unpack)(log.closed[1])) })
  end)

  it("ends connections that ask for nothing, when nothing else is left", function()
    local s = server.start({ on_http = function(ws) ws:respond(200) end, keepalive_timeout = 1000 })
    s:fake_time()
    local kept, silent = client.connect(s), client.connect(s)
    kept:send(client.request("/"))
    assert.equal(200, (kept:response()))
    local heard = drain(s, 500)
    for _ = 1, 9 do s:advance(0.1) end
    for _, c in ipairs({ kept, silent }) do
      assert.is_false(c:poll())
      assert.is_false(c.ended)
    end
    for _ = 1, 4 do s:advance(0.1) end
    kept:await_end()
    silent:await_end()
    kept:close()
    silent:close()
    finish(s, heard, function() s:advance(0.1) end)
  end)

  it("sends 1001 in batches, all of them within half of the time", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler }, close_timeout = 1000 })
    s:fake_time()
    for _ = 1, 20 do client.open(s, "a") end
    local function closing()
      local open = 0
      for _ in s.context:connections() do open = open + 1 end
      return 20 - open
    end
    drain(s, 2, { batch = 4 })
    assert.equal(4, closing())
    s:advance(0.04)
    assert.equal(4, closing())
    s:advance(0.02)
    assert.equal(8, closing())
    for i = 3, 5 do
      s:advance(0.06)
      assert.equal(4 * i, closing())
    end
    assert.equal(0, #log.closed)
    s:stop()
    s = server.start({ protocols = { a = handler }, close_timeout = 1000 })
    s:fake_time()
    for _ = 1, 20 do client.open(s, "a") end
    drain(s, 1, { batch = 1 })
    for _ = 1, 20 do s:advance(0.025) end
    assert.equal(20, closing())
  end)

  it("delivers what peers have sent before they read the close frame, and what was queued reaches them", function()
    local s
    s = server.start({ protocols = { a = function(ws)
      ws:on_receive(function(from, data)
        s.heard[#s.heard + 1] = data
        s.answers[#s.answers + 1] = from:write(data)
      end)
    end } })
    s.heard, s.answers = {}, {}
    local c = client.open(s, "a")
    local big = ("x"):rep(3 * 1024 * 1024)
    for ws in s.context:connections() do assert.equal(0, ws:write(big)) end
    local heard = drain(s, 20)
    c:text("before")
    c:write(9, "a ping")
    c:text("the answer")
    s:pump(function() return s.heard[2] end, "messages that were on their way")
    assert.same({ "before", "the answer" }, s.heard)
    assert.same({ -1, -1 }, s.answers)
    assert.is_true(select(2, c:message()) == big)
    local opcode, payload = c:message()
    assert.same({ 8, "\3\233" }, { opcode, payload })
    c:write(8, payload)
    assert.equal(0, finish(s, heard))
  end)

  it("waits for the last fragment of a message, for half of the time", function()
    local TEXT, CONTINUATION, NO_FIN = websockets.WRITE_TEXT, websockets.WRITE_CONTINUATION, websockets.WRITE_NO_FIN
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler }, close_timeout = 1000 })
    s:fake_time()
    local whole, half = client.open(s, "a"), client.open(s, "a")
    for i = 1, 2 do
      assert.equal(0, log.ws[i]:write("one ", TEXT + NO_FIN))
      assert.equal(0, log.ws[i]:write("held"))
    end
    drain(s, 10)
    s:advance(4)
    assert.equal(0, log.ws[1]:write("two", CONTINUATION))
    s:advance(0.1)
    assert.same({ 1, "one two" }, { whole:message() })
    assert.same({ 1, "held" }, { whole:message() })
    assert.equal(1001, (whole:close_code()))
    assert.is_nil((half:try_message()))
    assert.equal(0, log.ws[2]:write("more ", CONTINUATION + NO_FIN))
    s:advance(1)
    assert.equal(-1, (log.ws[2]:write("more ", CONTINUATION + NO_FIN)))
    assert.equal(1001, (half:close_code()))
  end)

  it("closes connections of its own last, and does not open them again", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    local c, other = client.open(s, "a"), peer.listen(s)
    local ws, events = other:connect({ reconnect = true })
    other:accept()
    s:pump(function() return events.open == 1 end)
    log.ws[1]:on_receive(function(_, data) ws:write(data) end)
    local nowhere = ("ws://127.0.0.1:%d/"):format(ports.refusing())
    local away = s.context:connect(nowhere, { reconnect = { min = 1000, max = 1000 } })
    local ends = 0
    away:on_closed(function() ends = ends + 1 end)
    local waits = false
    away:on_reconnect(function() waits = true end)
    s:pump(function() return waits end)
    local heard = drain(s, 20)
    c:text("passed on")
    assert.same({ 1, "passed on" }, { other:message() })
    assert.equal(1001, (c:close_code()))
    c:send_close(1001)
    local opcode, payload = other:message()
    assert.same({ 8, "\3\233" }, { opcode, payload })
    other:write(8, payload)
    other:close()
    assert.equal(0, finish(s, heard))
    assert.same({ 1, 1 }, { #events.closed, ends })
  end)

  it("takes a new time by a second call", function()
    local s = server.start({ protocols = { a = server.echo }, close_timeout = 1000 })
    s:fake_time()
    client.open(s, "a")
    local first, second = drain(s, 1000), drain(s, 2)
    s:advance(1.9)
    assert.same({}, second)
    s:advance(0.2)
    s.turn = function() end
    assert.same({ {}, { 1 } }, { first, second })
  end)

  it("works under a loop that watches READ only", function()
    local fds, deleted = {}, 0
    local s = server.start({
      protocols = { a = server.echo },
      on_add_fd = function(fd) fds[fd] = true end,
      on_del_fd = function(fd)
        fds[fd] = nil
        deleted = deleted + 1
      end,
    })
    function s:turn()
      local now = {}
      for fd in pairs(fds) do now[#now + 1] = fd end
      for _, fd in ipairs(now) do
        if fds[fd] then pcall(self.context.service_fd, self.context, fd) end
      end
      local is_there, seconds = pcall(self.context.timeout, self.context)
      if is_there and seconds == 0 then pcall(self.context.service, self.context, 0) end
    end
    local c = client.open(s, "a")
    local heard = drain(s, 20)
    assert.equal(0, finish(s, heard, answer_closes({ c })))
    assert.same({}, fds)
    assert.equal(2 + server.own_fds, deleted)
  end)

  it("raises for wrong arguments, and does nothing in a context that is being destroyed", function()
    local s
    s = server.start({ protocols = { a = function(ws)
      ws:on_closed(function() s.context:drain(1) end)
    end } })
    local function message(...)
      local arguments = { ... }
      local _, text = pcall(function() s.context:drain(arguments[1], arguments[2]) end)
      return text
    end
    local here = "^[^:]*drain_spec.lua:%d+: "
    for _, bad in ipairs({ 0, -1, 0 / 0, math.huge, "1" }) do
      assert.matches(here .. "bad argument #1 to 'drain' %(number of seconds above 0 expected", message(bad))
    end
    assert.matches(here .. "bad argument #2 to 'drain' %(table of options expected, got 1%)", message(1, 1))
    assert.matches(here .. "bad option 'drain.batch' %(number of connections above 0 expected, got 0%)",
      message(1, { batch = 0 }))
    assert.matches(here .. "unknown option 'drain.other'", message(1, { other = 1 }))
    assert.matches(here .. "unknown option '1'", message(1, { 1 }))
    client.open(s, "a")
    s.context:destroy()
    assert.error_matches(function() s.context:drain(1) end, "websocket context destroyed$")
  end)

  -- Peers that send all the time, and count: what `write` accepted has come when the closing handshake is done, and
  -- what a peer sent before it answered 1001 has been delivered.
  it("loses no message under load", function()
    for run = 1, 100 do
      local sent, accepted = {}, {}
      local s = server.start({ protocols = { a = function(ws)
        ws.user = { came = 0, accepted = 0 }
        ws:on_receive(function(from, data)
          from.user.came = from.user.came + 1
          assert(tonumber(data) == from.user.came)
          if from:write(data) == 0 then from.user.accepted = from.user.accepted + 1 end
        end)
        ws:on_closed(function(from, code, _, clean) from.user.code, from.user.clean = code, clean end)
        accepted[#accepted + 1] = ws
      end } })
      local clients = {}
      for i = 1, 12 do
        clients[i] = client.open(s, "a")
        sent[i], clients[i].got = 0, 0
      end
      s:fake_time()
      local function talk()
        for i, c in ipairs(clients) do
          -- Before it reads: a close frame may have come.
          if not c.code then
            local frames = {}
            for at = 1, (run + i) % 5 do
              sent[i] = sent[i] + 1
              frames[at] = c:frame(1, tostring(sent[i]))
            end
            local text = table.concat(frames)
            assert.equal(#text, text == "" and 0 or c.connection:send(text))
          end
          local opcode, payload = c:try_message()
          while opcode do
            if opcode == 8 then
              c.code = payload:byte(1) * 256 + payload:byte(2)
              assert.is_nil(c:send(c:frame(8, payload)))
              break
            end
            c.got = c.got + 1
            opcode, payload = c:try_message()
          end
        end
      end
      for _ = 1, 1 + run % 25 do
        talk()
        s:turn(0)
      end
      local heard = drain(s, 20, { batch = 3 + run % 10 })
      -- Five turns from one batch to the next.
      assert.equal(0, finish(s, heard, function()
        talk()
        s:advance(0.01)
      end))
      for i, ws in ipairs(accepted) do
        assert.same({ 1001, true }, { ws.user.code, ws.user.clean })
        assert.equal(sent[i], ws.user.came)
        assert.equal(ws.user.accepted, clients[i].got)
        clients[i]:close()
      end
    end
  end)

  it("leaves no timer and no connection behind", function()
    local s = server.start({ protocols = { a = server.echo } })
    local c = client.open(s, "a")
    finish(s, drain(s, 20), answer_closes({ c }))
    assert.same({ 0, 0 }, { inside.connections(s.context), inside.timers(s.context) })
  end)
end)
