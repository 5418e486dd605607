--- What an outside loop is told: descriptors, interest in writing, pauses.
-- @module spec.behaviour.descriptor_spec
local server = require("spec.support.server")
local client = require("spec.support.client")
local websockets = require("websockets")

local BIG = ("x"):rep(12 * 1024 * 1024)

-- A server that notes what an outside loop is told, in order.
local function start(with_modes, options)
  local events = {}
  local function note(name)
    return function(fd, mask) events[#events + 1] = { name, fd, mask } end
  end
  local handler, log = server.recorder(function(ws)
    ws:on_closed(function(it) events[#events + 1] = { "closed", it:get_socket_fd() } end)
  end)
  local all = { protocols = { a = handler }, on_add_fd = note("add"), on_del_fd = note("del") }
  if with_modes then all.on_set_mode_fd, all.on_clear_mode_fd = note("set"), note("clear") end
  for name, value in pairs(options or {}) do all[name] = value end
  local s = server.start(all)
  -- What the accelerator announces for itself is not of interest here.
  for _ = 1, server.own_fds do table.remove(events) end
  return s, events, log
end

local function names(events)
  local list = {}
  for i = 1, #events do list[i] = events[i][1] end
  return table.concat(list, " ")
end

describe("on_add_fd", function()
  after_each(server.stop_all)

  it("is called for the listener at creation, then for each connection before its handshake", function()
    local context, during
    local fds = {}
    context = websockets.context({ port = "any", interf = "127.0.0.1", on_add_fd = function(fd, mask)
      during = during or { context }
      fds[#fds + 1] = { fd, mask }
    end })
    assert.same({}, during)
    local count = 1 + server.own_fds
    assert.equal(count, #fds)
    for i = 1, count do assert.equal(websockets.POLLIN, fds[i][2]) end
    local s = setmetatable({ context = context, port = context:get_port(), clients = {} }, server)
    client.connect(s)
    s:pump(function() return #fds == count + 1 end)
    assert.is_true(fds[count + 1][1] ~= fds[1][1] and fds[count + 1][1] > 2)
    s:stop()
  end)

  it("gets plain numbers that a program of 2012 can use as table keys", function()
    local s, events = start()
    client.open(s, "a")
    for _, event in ipairs(events) do assert.equal(math.floor(event[2]), event[2]) end
    assert.equal("add add", names(events))
  end)
end)

describe("the end of a connection", function()
  after_each(server.stop_all)

  it("is told in the order on_del_fd, on_closed, then the descriptor is closed", function()
    local s, events, log = start()
    local c = client.open(s, "a")
    local fd = log.ws[1]:get_socket_fd()
    c:close()
    s:pump(function() return log.ws[1]:get_socket_fd() == -1 end)
    assert.equal("add add del closed", names(events))
    assert.same({ { "del", fd }, { "closed", fd } }, { { events[3][1], events[3][2] }, events[4] })
  end)

  it("brings no number back inside a turn", function()
    local s, events = start()
    local first = client.open(s, "a")
    client.open(s, "a")
    local second = client.connect(s)
    first:close()
    -- One turn sees the end of one connection and the beginning of another.
    s:turn(1000)
    s:settle()
    local seen = {}
    for _, event in ipairs(events) do
      if event[1] == "add" then
        assert.is_nil(seen[event[2]], "announced twice")
        seen[event[2]] = true
      elseif event[1] == "del" then
        assert.is_true(seen[event[2]])
      end
      if event[1] == "closed" then seen[event[2]] = nil end
    end
    second:close()
    s:settle()
  end)

  it("on_del_fd comes for connections that never became a WebSocket", function()
    local s, events = start()
    local c = client.connect(s)
    s:settle()
    c:close()
    s:settle()
    assert.equal("add add del", names(events))
  end)
end)

describe("interest in writing", function()
  after_each(server.stop_all)

  it("is told by on_set_mode_fd when a socket is full and by on_clear_mode_fd when it is empty again", function()
    local s, events, log = start(true)
    local c = client.open(s, "a")
    local ws = log.ws[1]
    ws:write("small")
    s:settle()
    assert.equal("add add", names(events))
    ws:write(BIG)
    s:settle()
    assert.same({ "set", ws:get_socket_fd(), websockets.POLLOUT }, events[3])
    assert.equal(3, #events)
    c:message()
    c:message()
    s:settle()
    assert.same({ "clear", ws:get_socket_fd(), websockets.POLLOUT }, events[4])
    assert.equal(4, #events)
  end)

  it("ends before on_del_fd when the connection does", function()
    local s, events, log = start(true)
    client.open(s, "a")
    log.ws[1]:write(BIG)
    log.ws[1]:close(0)
    assert.equal("add add set clear del closed", names(events))
  end)

  it("shows in context:timeout() where no descriptor tells of it: the loop comes back to try", function()
    local s, _, log = start(false)
    client.open(s, "a")
    assert.is_true(s.context:timeout() > 1)
    log.ws[1]:write(BIG)
    assert.equal(not server.is_native, s.context:timeout() <= 0.02)
  end)
end)

describe("rx_flow_control", function()
  after_each(server.stop_all)

  it("takes booleans, 0 and 1, returns 0, and 1 when the connection is not open; else raises", function()
    local s, _, log = start()
    client.open(s, "a")
    local ws = log.ws[1]
    for _, on in ipairs({ true, 1 }) do
      assert.equal(0, ws:rx_flow_control(false))
      assert.equal(0, ws:rx_flow_control(on))
      assert.equal(0, ws:rx_flow_control(0))
      assert.equal(0, ws:rx_flow_control(on))
    end
    for _, bad in ipairs({ 2, "on", {} }) do
      assert.error_matches(function() ws:rx_flow_control(bad) end, "bad argument #1 to 'rx_flow_control'")
    end
    assert.has_error(function() ws:rx_flow_control() end)
    ws:close()
    assert.equal(1, ws:rx_flow_control(false))
    s:settle()
  end)

  it("stops delivery, keeps the order and loses nothing; writing goes on", function()
    local s, _, log = start()
    local c = client.open(s, "a")
    local ws = log.ws[1]
    ws:rx_flow_control(false)
    for i = 1, 3 do c:text(tostring(i)) end
    s:settle()
    assert.equal(0, #log.messages)
    assert.equal(0, ws:write("out"))
    assert.same({ 1, "out" }, { c:message() })
    ws:rx_flow_control(true)
    s:pump(function() return #log.messages == 3 end)
    for i = 1, 3 do assert.equal(tostring(i), log.messages[i][2]) end
  end)

  it("inside on_receive holds the rest of the batch, message by message", function()
    local s, _, log = start()
    local c = client.open(s, "a")
    local got = {}
    log.ws[1]:on_receive(function(ws, data)
      got[#got + 1] = data
      ws:rx_flow_control(false)
    end)
    c:send(c:frame(1, "1") .. c:frame(1, "2") .. c:frame(1, "3") .. c:frame(8, ""))
    for i = 1, 3 do
      s:settle()
      assert.equal(i, #got)
      assert.equal(tostring(i), got[i])
      log.ws[1]:rx_flow_control(true)
    end
    s:pump(function() return log.ws[1]:get_socket_fd() == -1 end)
  end)

  it("takes the descriptor away from a loop that watches READ only, and gives it back", function()
    local s, events, log = start(false)
    client.open(s, "a")
    local ws = log.ws[1]
    local fd = ws:get_socket_fd()
    ws:rx_flow_control(false)
    ws:rx_flow_control(false)
    ws:rx_flow_control(true)
    assert.equal("add add del add", names(events))
    assert.same({ fd, fd }, { events[3][2], events[4][2] })
    ws:rx_flow_control(false)
    ws:close(0)
    assert.equal("add add del add del closed", names(events))
  end)

  it("tells on_clear_mode_fd and on_set_mode_fd instead where they are given", function()
    local s, events, log = start(true)
    client.open(s, "a")
    log.ws[1]:rx_flow_control(false)
    log.ws[1]:rx_flow_control(true)
    assert.equal("add add clear set", names(events))
    assert.same({ websockets.POLLIN, websockets.POLLIN }, { events[3][3], events[4][3] })
    s:settle()
  end)
end)
