--- Requests and messages that have begun and not ended, and requests that wait: what they hold counts.
-- @module spec.behaviour.unfinished_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local rep = string.rep

describe("unfinished requests", function()
  after_each(server.stop_all)

  local LIMIT = 2 ^ 20

  local function start_http(options)
    options.on_http = options.on_http or function(ws, _, _, _, body) ws:respond(200, nil, tostring(#body)) end
    options.max_unfinished_total_bytes = LIMIT
    return server.start(options)
  end

  local function post(run, size, bytes)
    local peer = client.connect(run)
    peer:send(client.request("/", "Content-Length: " .. size .. "\r\n", "POST", bytes))
    run:settle()
    return peer
  end

  local function used(run) return inside.budget(run.context) end

  it("count towards max_unfinished_total_bytes: the oldest body without progress gets 503, the others go on", function()
    local run = start_http({})
    local peers = {}
    for i = 1, 8 do
      peers[i] = post(run, 300000, rep("a", 290000))
      assert.is_true(used(run) <= LIMIT + 300000)
    end
    assert.is_true(used(run) <= LIMIT and used(run) > LIMIT / 2)
    assert.equal(503, (peers[1]:response()))
    assert.equal("closed", peers[1]:await_end())
    peers[8]:send(rep("a", 10000))
    local status, _, body = peers[8]:response()
    assert.same({ 200, "300000" }, { status, body })
    for i = 1, 8 do peers[i]:reset() end
    run:pump(function() return inside.connections(run.context) == 0 end, "the end of all")
    assert.equal(0, used(run))
  end)

  it("count with heads that come in pieces, and with what waits for an answer", function()
    local asked
    local run = start_http({ on_http = function(ws) asked = ws end })
    local peer = client.connect(run)
    peer:send("GET / HTTP/1.1\r\nX: " .. rep("a", 3000))
    run:settle()
    assert.is_true(used(run) >= 3000)
    peer:send("\r\nHost: a\r\n\r\n")
    run:settle()
    assert.equal(0, used(run))
    peer:send(rep("x", 5000) .. "\n")
    run:settle()
    assert.is_true(used(run) >= 5000)
    asked:respond(200, nil, "")
    assert.equal(200, (peer:response()))
    assert.equal(400, (peer:response()))
    assert.equal(0, used(run))
  end)

  it("give back what they held with the answer, a refusal, and the upgrade", function()
    local run = start_http({ max_body_bytes = 1000, protocols = { echo = server.echo } })
    local peer = post(run, 1000, rep("a", 500))
    assert.is_true(used(run) >= 500)
    peer:send(rep("a", 500))
    assert.equal(200, (peer:response()))
    assert.equal(0, used(run))
    peer:send(client.request("/", "Transfer-Encoding: chunked\r\n", "POST", "1f4\r\n" .. rep("a", 500)))
    run:settle()
    assert.is_true(used(run) >= 500)
    peer:send("\r\nfff\r\n")
    assert.equal(413, (peer:response()))
    assert.equal(0, used(run))
    peer = client.connect(run)
    local request = client.upgrade({ protocol = "echo" })
    peer:send(request:sub(1, 40))
    run:settle()
    assert.is_true(used(run) >= 40)
    peer:send(request:sub(41))
    assert.equal(101, (peer:read_head()))
    assert.equal(0, used(run))
  end)

  it("message_timeout: a body that does not end, and does not grow by 64 KiB, gets 408", function()
    local run = start_http({ body_timeout = false })
    run:fake_time()
    local peer = post(run, 300000, "a")
    run:advance(59)
    peer:send("a")
    run:settle()
    run:advance(2)
    assert.equal(408, (peer:response()))
    assert.equal("closed", peer:await_end())
  end)

  it("message_timeout: requests that follow each other without a gap are progress", function()
    local run = start_http({})
    run:fake_time()
    local peer = client.connect(run)
    local head = client.request("/", "Content-Length: 1000\r\n", "POST")
    peer:send(head)
    for _ = 1, 9 do
      -- The end of one body, and all of the next but its end.
      peer:send(rep("a", 1000) .. head .. rep("a", 500))
      run:settle()
      run:advance(10)
      peer:send(rep("a", 500) .. head)
    end
    for _ = 1, 18 do assert.equal(200, (peer:response())) end
  end)

  it("that nobody will handle are answered before their body comes, and the rest of it is thrown away", function()
    for _, options in ipairs({ {}, { routes = { ["/other"] = { on_http = function() end } } } }) do
      options.protocols = not options.routes and { quiet = server.echo } or nil
      local run = server.start(options)
      local peer = post(run, 1000000, "")
      local status, headers = peer:response()
      assert.same({ 404, "close" }, { status, headers.connection })
      peer:send(rep("a", 100000))
      run:settle()
      assert.equal(0, used(run))
      assert.equal("closed", peer:await_end())
    end
  end)

  it("that ask for a WebSocket are refused before their body comes", function()
    local run = start_http({ protocols = { echo = server.echo } })
    local peer = client.connect(run)
    peer:send(client.upgrade({ protocol = "echo", headers = "Content-Length: 100000\r\n" }))
    assert.equal(400, (peer:response()))
  end)
end)

describe("unfinished messages", function()
  after_each(server.stop_all)

  it("of a vanished peer hold nothing of max_unfinished_total_bytes any more", function()
    local handler, log = server.recorder(server.echo)
    local run = server.start({ protocols = { echo = handler }, max_unfinished_total_bytes = 4096 })
    for round = 1, 3 do
      local peer = client.open(run, "echo")
      peer:write(2, rep("a", 3000), false)
      run:settle()
      assert.is_true(inside.budget(run.context) >= 3000)
      peer:reset()
      run:pump(function() return #log.closed == round end, "on_closed")
      assert.equal(1006, log.closed[round][2])
      assert.equal(0, inside.budget(run.context))
    end
  end)
end)
