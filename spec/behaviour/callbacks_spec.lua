--- Everything that an application can do inside a callback, and what that does to the messages that follow.
-- @module spec.behaviour.callbacks_spec
local server = require("spec.support.server")
local client = require("spec.support.client")
local inside = require("spec.support.inside")

local KINDS = {
  "connect", "on_receive", "on_closed", "on_broadcast", "on_http", "on_drain", "on_pong", "on_add_fd", "on_del_fd",
  "on_error", "on_set_mode_fd", "on_clear_mode_fd",
}

-- More than the system takes for a peer that does not read.
local FULL = ("x"):rep(12 * 1024 * 1024)
local NEEDS_FULL = { on_drain = true, on_set_mode_fd = true, on_clear_mode_fd = true }

-- What is done inside a callback: `s` the server, `ws` a connection of which the callback speaks or the first one.
local ACTIONS = {
  ["close()"] = function(_, ws) ws:close() end,
  ["close(1000)"] = function(_, ws) ws:close(1000, "done") end,
  ["close(0)"] = function(_, ws) ws:close(0) end,
  ["write"] = function(_, ws) ws:write("inside") end,
  ["write, then close(0)"] = function(_, ws)
    ws:write("inside")
    ws:close(0)
  end,
  ["pause"] = function(_, ws) ws:rx_flow_control(false) end,
  ["broadcast"] = function(s) s.context:broadcast("bystanders", "inside") end,
  ["new callbacks"] = function(_, ws)
    for _, name in ipairs({ "on_receive", "on_broadcast", "on_pong", "on_drain", "on_closed" }) do
      ws[name](ws, function() end)
    end
  end,
  ["destroy"] = function(s) s.context:destroy() end,
}

-- A server in which each kind of callback runs `act` once for the connections of protocol "a".
local function start(kind, action)
  local s, first, done, in_error
  local closed = {}
  local function act(name, ws)
    if name ~= kind or done or not s then return end
    ws = ws or first
    if not ws then return end
    done = true
    action(s, ws)
  end
  local bystanders, log = server.recorder()
  s = server.start({
    protocols = {
      bystanders = bystanders,
      a = function(ws)
        first = first or ws
        ws:on_receive(function()
          act("on_receive", ws)
          if kind == "on_error" then error("wanted") end
        end)
        ws:on_closed(function()
          closed[ws] = (closed[ws] or 0) + 1
          act("on_closed", ws)
        end)
        ws:on_broadcast(function() act("on_broadcast", ws) end)
        ws:on_drain(function() act("on_drain", ws) end)
        ws:on_pong(function() act("on_pong", ws) end)
        act("connect", ws)
      end,
    },
    on_http = function(ws)
      act("on_http", ws)
      if not inside.is_destroyed(s.context) then ws:respond(200) end
    end,
    on_add_fd = function() act("on_add_fd") end,
    on_del_fd = function() act("on_del_fd") end,
    on_set_mode_fd = function() act("on_set_mode_fd") end,
    on_clear_mode_fd = function() act("on_clear_mode_fd") end,
    on_error = function(err, ws)
      in_error = err
      act("on_error", ws)
    end,
  })
  return s, log, closed, function() return done, in_error, first end
end

-- Everything that makes each kind of callback run, several messages and connections in one turn.
local function provoke(s, state, is_full)
  local peers = {}
  local function turns()
    for _ = 1, 6 do if not inside.is_destroyed(s.context) then s:turn(0) end end
  end
  for i = 1, 3 do
    local c = client.connect(s)
    c.connection:send(client.upgrade({ protocol = "a" }))
    peers[i] = c
    if i == 1 then turns() end
    if inside.is_destroyed(s.context) then return end
  end
  local h = client.connect(s)
  h.connection:send(client.request("/"))
  turns()
  for _, c in ipairs(peers) do
    c.connection:send(c:frame(1, "1") .. c:frame(10, "2") .. c:frame(1, "3"))
  end
  turns()
  if not inside.is_destroyed(s.context) then s.context:broadcast("a", "x") end
  local _, _, first = state()
  if is_full then
    first:write(FULL, 1)
    turns()
    repeat
      local came = peers[1]:poll()
      peers[1]:take()
      turns()
    until not came
  end
  for _, c in ipairs(peers) do c:close() end
  turns()
end

describe("inside a callback", function()
  after_each(server.stop_all)

  for _, kind in ipairs(KINDS) do
    it(kind .. ": close, close(0), write, broadcast, pause, registering and destroy lose and double nothing", function()
      for what, action in pairs(ACTIONS) do
        local s, log, closed, state = start(kind, action)
        local witness = client.open(s, "bystanders")
        witness.connection:send(witness:frame(1, "before"))
        provoke(s, state, NEEDS_FULL[kind])
        local done, err = state()
        local label = kind .. ", " .. what
        assert.is_true(done, label .. " ran")
        if kind ~= "on_error" then assert.is_nil(err, label) end
        for _, times in pairs(closed) do assert.equal(1, times, label) end
        assert.equal("before", log.messages[1][2], label)
        if what == "destroy" then
          assert.is_true(inside.is_destroyed(s.context), label)
          assert.equal(0, inside.connections(s.context), label)
          assert.equal(1, #log.closed, label)
        else
          witness:text("after")
          s:pump(function() return #log.messages == 2 end, label)
          assert.equal(0, #log.closed, label)
          log.ws[1]:write("hello")
          if what == "broadcast" then assert.same({ 1, "inside" }, { witness:message() }, label) end
          assert.same({ 1, "hello" }, { witness:message() }, label)
        end
        s:stop()
      end
    end)
  end
end)

describe("a message after one whose callback", function()
  after_each(server.stop_all)

  local function run(act, bytes)
    local got, closed = {}, {}
    local s = server.start({ protocols = { a = function(ws)
      ws:on_receive(function(_, data)
        got[#got + 1] = data
        if #got == 1 then act(ws) end
      end)
      ws:on_closed(function(_, ...) closed[#closed + 1] = { ... } end)
    end } })
    local c = client.open(s, "a")
    c.connection:send(c:frame(1, "1") .. bytes(c))
    return s, c, got, closed
  end

  it("closed is not delivered; the peer's close frame completes the handshake", function()
    local s, c, got, closed = run(function(ws) ws:close(4000, "bye") end,
      function(c) return c:frame(1, "2") .. c:frame(9, "p") .. c:frame(8, "\15\161ok") end)
    s:pump(function() return closed[1] end)
    assert.same({ { 4001, "ok", true, "closed" } }, closed)
    assert.same({ "1" }, got)
    assert.same({ 8, "\15\160bye" }, { c:message() })
    assert.equal("closed", c:await_end())
  end)

  it("ended it at once is not delivered, and a close frame that follows does not end it twice", function()
    local s, _, got, closed = run(function(ws) ws:close(0) end,
      function(c) return c:frame(1, "2") .. c:frame(8, "\3\232") end)
    s:pump(function() return closed[1] end)
    s:settle()
    assert.same({ { 1006, "", false, "closed" } }, closed)
    assert.same({ "1" }, got)
    assert.equal(0, inside.connections(s.context))
  end)

  it("ended it at once is not delivered, and a breach that follows does not end it twice", function()
    local s, _, got, closed = run(function(ws) ws:close(0) end, function() return "\255\255\255\255" end)
    s:pump(function() return closed[1] end)
    s:settle()
    assert.same({ { 1006, "", false, "closed" } }, closed)
    assert.same({ "1" }, got)
  end)

  it("raised after pausing waits, in order, until reading goes on", function()
    local paused
    local s, c, got = run(function(ws)
      paused = ws
      ws:rx_flow_control(false)
      error("x", 0)
    end, function(c) return c:frame(1, "2") .. c:frame(1, "3") end)
    assert.equal("x", s:pump_failure())
    s:settle()
    assert.same({ "1" }, got)
    c:text("4")
    s:settle()
    assert.same({ "1" }, got)
    paused:rx_flow_control(true)
    s:pump(function() return #got == 4 end)
    assert.same({ "1", "2", "3", "4" }, got)
  end)

  it("adopted another connection, whose first messages are here already, is delivered once", function()
    local socket = require("socket")
    local listening = socket.bind("127.0.0.1", 0)
    local peer = socket.tcp4()
    peer:connect("127.0.0.1", (tonumber((select(2, listening:getsockname())))))
    local accepted = listening:accept()
    listening:close()
    local s, c, got
    s, c, got = run(function()
      local upgrade = client.upgrade({ protocol = "a" })
      s.context:adopt(accepted, upgrade .. c:frame(1, "a") .. c:frame(1, "b"))
    end, function(it) return it:frame(1, "2") .. it:frame(1, "3") end)
    s:pump(function() return #got == 5 end)
    s:settle()
    table.sort(got)
    assert.same({ "1", "2", "3", "a", "b" }, got)
    peer:close()
  end)
end)
