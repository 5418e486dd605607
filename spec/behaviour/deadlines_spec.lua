--- Deadlines of the HTTP phase and of the close, and how many connections may be half open.
-- @module spec.behaviour.deadlines_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local BIG = ("x"):rep(1024 * 1024)

local function start(options)
  local handler, log = server.recorder(server.echo)
  options.protocols = { echo = handler }
  local run = server.start(options)
  run:fake_time()
  return run, log
end

local function is_ended(run, peer)
  run:settle()
  while peer:poll() do peer.seen = true end
  return peer.ended and true or false
end

local function later(found) return function(ws) found.ws = ws end end

-- Reads until the server could send more.
local function take_some(run, peer, ws)
  local before = ws:buffered()
  run:pump(function()
    peer:poll()
    peer:take()
    return ws:buffered() < before
  end, "progress")
end

describe("handshake_timeout", function()
  after_each(server.stop_all)

  it("ends a peer that says nothing after 10 s", function()
    local run = start({})
    local peer = client.connect(run)
    run:settle()
    run:advance(9.9)
    assert.is_false(is_ended(run, peer))
    run:advance(0.1)
    assert.is_true(is_ended(run, peer))
  end)

  it("is absolute: a byte a second does not extend it", function()
    local run = start({})
    local peer, bytes = client.connect(run), client.upgrade({ protocol = "echo" })
    run:settle()
    for i = 1, 10 do
      assert.is_false(is_ended(run, peer))
      peer:send(bytes:sub(i, i))
      run:settle()
      run:advance(1)
    end
    assert.is_true(is_ended(run, peer))
  end)

  it("is over once the WebSocket is open", function()
    local run, log = start({ ping_interval = false })
    client.open(run, "echo")
    run:advance(1000)
    run:settle()
    assert.equal(0, #log.closed)
  end)

  it("false switches it off", function()
    local run = start({ handshake_timeout = false })
    local peer = client.connect(run)
    run:settle()
    run:advance(1000)
    assert.is_false(is_ended(run, peer))
  end)
end)

describe("max_half_open", function()
  after_each(server.stop_all)

  it("at the limit all stay, one past it the oldest is closed and accepting goes on", function()
    local run = start({ max_half_open = 3 })
    local peers = {}
    for i = 1, 3 do
      peers[i] = client.connect(run)
      run:settle()
    end
    for i = 1, 3 do assert.is_false(is_ended(run, peers[i])) end
    peers[4] = client.connect(run)
    run:settle()
    assert.is_true(is_ended(run, peers[1]))
    for i = 2, 4 do assert.is_false(is_ended(run, peers[i])) end
    peers[4]:send(client.upgrade({ protocol = "echo" }))
    assert.equal(101, (peers[4]:read_head()))
  end)

  it("open WebSockets do not count", function()
    local run, log = start({ max_half_open = 1 })
    for _ = 1, 4 do client.open(run, "echo") end
    run:settle()
    assert.equal(0, #log.closed)
    assert.equal(4, #log.ws)
  end)

  it("other clients are served during a flood of silent peers", function()
    local run = start({ max_half_open = 8 })
    for _ = 1, 60 do client.connect(run) end
    local peer = client.open(run, "echo")
    peer:text("hello")
    assert.equal("hello", select(2, peer:message()))
    run:settle()
    assert.is_true(inside.connections(run.context) <= 9)
  end)
end)

describe("deadlines of HTTP", function()
  after_each(server.stop_all)

  it("keepalive_timeout: an idle connection ends 15 s after its answer, a byte a second or not", function()
    local run = start({ on_http = function(ws) ws:respond(200, nil, "ok") end })
    local peer = client.connect(run)
    peer:send(client.request("/"))
    assert.equal(200, (peer:response()))
    for i = 1, 15 do
      assert.is_false(is_ended(run, peer))
      peer:send(("GET / HTTP/1.1\r\n"):sub(i, i))
      run:settle()
      run:advance(1)
    end
    assert.is_true(is_ended(run, peer))
  end)

  it("body_timeout: a body that does not come in 30 s ends the connection, on_http is not called", function()
    local calls = 0
    local run = start({ on_http = function() calls = calls + 1 end })
    local peer = client.connect(run)
    peer:send(client.request("/", "Content-Length: 100\r\n", "POST", "a"))
    run:settle()
    for _ = 1, 30 do
      assert.is_false(is_ended(run, peer))
      peer:send("a")
      run:settle()
      run:advance(1)
    end
    assert.is_true(is_ended(run, peer))
    assert.equal(0, calls)
  end)

  it("response_timeout: an answer that does not come in 30 s is 504", function()
    local found = {}
    local run = start({ on_http = later(found) })
    local peer = client.connect(run)
    peer:send(client.request("/"))
    run:settle()
    run:advance(29.9)
    assert.is_false(is_ended(run, peer))
    run:advance(0.1)
    local status, headers = peer:response()
    assert.same({ 504, "close" }, { status, headers.connection })
    peer:close()
    run:settle()
    assert.same({ -1, "closed" }, { found.ws:respond(200, nil, "late") })
  end)

  it("response_timeout: a peer that takes nothing of a long answer is gone after 30 s", function()
    for _, line in ipairs({ "", "Connection: close\r\n" }) do
      local found = {}
      local run = start({ on_http = later(found) })
      local peer = client.connect(run)
      peer:send(client.request("/", line))
      run:pump(function() return found.ws end)
      found.ws:respond(200, nil, BIG:rep(8))
      run:settle()
      run:expire(found.ws, 30, function()
        run:settle()
        return inside.connections(run.context) == 0
      end)
      run:stop()
    end
  end)

  it("response_timeout: each byte taken is progress, with Connection: close too", function()
    for _, line in ipairs({ "", "Connection: close\r\n" }) do
      local found = {}
      local run = start({ on_http = later(found) })
      local peer = client.connect(run)
      peer:send(client.request("/", line))
      run:pump(function() return found.ws end)
      found.ws:respond(200, nil, BIG:rep(24))
      for _ = 1, 5 do
        run:advance(20)
        take_some(run, peer, found.ws)
        run:settle()
        assert.equal(1, inside.connections(run.context))
      end
      local done, last = false, ""
      run:pump(function()
        while peer:poll() do last = (last .. peer:take()):sub(-3) end
        done = last == "xxx"
        run:settle()
        return done and (peer.ended or line == "")
      end, "the rest of the answer")
      run:stop()
    end
  end)
end)

describe("close_timeout", function()
  after_each(server.stop_all)

  it("a peer that does not answer our close frame is gone after 5 s", function()
    local run, log = start({})
    local peer = client.open(run, "echo")
    log.ws[1]:close(1000)
    assert.equal(1000, peer:close_code())
    run:advance(4.9)
    assert.equal(0, #log.closed)
    run:advance(0.1)
    assert.equal(1006, log.closed[1][2])
    assert.equal("timeout", log.closed[1][5])
    assert.equal(-1, log.ws[1]:get_socket_fd())
    assert.is_true(is_ended(run, peer))
  end)

  it("data and pings do not extend it", function()
    local run, log = start({})
    local peer = client.open(run, "echo")
    log.ws[1]:close(1000)
    for _ = 1, 5 do
      peer:write(9, "p")
      peer:text("more")
      run:settle()
      run:advance(1)
    end
    assert.equal("timeout", log.closed[1][5])
    assert.equal(0, #log.messages)
  end)

  it("a breach that the peer ignores frees the descriptor after 5 s, on_closed with the breach's code", function()
    local run, log = start({})
    local peer = client.open(run, "echo")
    peer:send("\255\255")
    assert.equal(1002, peer:close_code())
    run:advance(5)
    run:settle()
    assert.equal(1002, log.closed[1][2])
    assert.equal(0, inside.connections(run.context))
  end)
end)
