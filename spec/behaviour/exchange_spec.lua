--- HTTP as a hostile reader sees it: requests cut and pipelined, the status of each that is wrong.
-- @module spec.behaviour.exchange_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local request = client.request

-- A server that answers with method, target and body.
local function start(options)
  options = options or {}
  options.protocols = options.protocols or { echo = server.echo }
  options.on_http = options.on_http or function(ws, uri, method, _, body)
    ws:respond(200, nil, method .. " " .. uri .. " " .. body)
  end
  local run = server.start(options)
  return run, client.connect(run)
end

local function status_of(bytes, options)
  local run, peer = start(options)
  peer:send(bytes)
  local status, headers = peer:response()
  run:stop()
  return status, headers
end

describe("HTTP requests", function()
  after_each(server.stop_all)

  it("on_http gets ws, the target with query, method, headers and body", function()
    local got = {}
    local run, peer = start({ on_http = function(...) got = { ... } end })
    peer:send(request("/a/b?x=1&y=%20", "X-Thing: one\r\nx-thing: two\r\nContent-Length: 3\r\n", "PUT", "abc"))
    run:pump(function() return got[1] end)
    assert.equal(5, #got)
    assert.same({ "/a/b?x=1&y=%20", "PUT" }, { got[2], got[3] })
    assert.equal("one, two", got[4]["x-thing"])
    assert.equal("abc", got[5])
    assert.truthy(tostring(got[1]):find("^websocket 0x"))
  end)

  it("without on_http every request is 404", function()
    local run = server.start({})
    local peer = client.connect(run)
    peer:send(request("/") .. request("/", "Content-Length: 1\r\n", "POST", "a"))
    assert.equal(404, (peer:response()))
    assert.equal(404, (peer:response()))
  end)

  it("keep-alive: one connection serves many requests", function()
    local _, peer = start()
    for i = 1, 5 do
      peer:send(request("/" .. i))
      local status, headers, body = peer:response()
      assert.same({ 200, "GET /" .. i .. " " }, { status, body })
      assert.is_nil(headers.connection)
    end
  end)

  it("Connection: close ends the connection after the answer", function()
    local _, peer = start()
    peer:send(request("/", "Connection: close\r\n"))
    local _, headers = peer:response()
    assert.equal("close", headers.connection)
    assert.equal("closed", peer:await_end())
  end)

  it("HTTP/1.0 ends after the answer, unless it asks for keep-alive", function()
    local _, peer = start()
    peer:send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    local _, headers = peer:response()
    assert.equal("keep-alive", headers.connection)
    peer:send("GET / HTTP/1.0\r\n\r\n")
    _, headers = peer:response()
    assert.equal("close", headers.connection)
    assert.equal("closed", peer:await_end())
  end)

  it("pipelined requests are answered in their order, also those of a whole long row", function()
    local _, peer = start()
    local all = {}
    for i = 1, 300 do all[i] = request("/" .. i, "Content-Length: 1\r\n", "POST", "b") end
    peer:send(table.concat(all))
    for i = 1, 300 do assert.equal("POST /" .. i .. " b", select(3, peer:response())) end
  end)

  it("answers that the peer does not take stop its pipelined requests, memory stays small", function()
    local piece = ("x"):rep(256 * 1024)
    local calls = 0
    local run, peer = start({ on_http = function(ws, uri)
      calls = calls + 1
      ws:respond(200, nil, uri .. piece)
    end })
    local all = {}
    for i = 1, 100 do all[i] = request(("/%03d"):format(i)) end
    peer:send(table.concat(all))
    run:settle()
    assert.is_true(calls < 100)
    assert.is_true(inside.buffered(run.context) < 2 * #piece)
    for i = 1, 100 do
      local _, _, body = peer:response()
      assert.equal(("/%03d"):format(i), body:sub(1, 4))
      assert.equal(4 + #piece, #body)
    end
  end)

  it("no connection eats a turn: a long row of requests goes on in the next", function()
    local calls, turn, in_turn, most = 0, 0, 0, 0
    local run, peer
    run, peer = start({ on_http = function(ws)
      if run.turn_count ~= turn then turn, in_turn = run.turn_count, 0 end
      calls, in_turn = calls + 1, in_turn + 1
      most = math.max(most, in_turn)
      ws:respond(204)
    end })
    peer:send(request("/"):rep(1000))
    run:pump(function() return calls == 1000 end)
    assert.is_true(most <= 256)
  end)

  it("a later answer keeps the pipelined requests after it waiting", function()
    local waiting = {}
    local run, peer = start({ on_http = function(ws, uri) waiting[#waiting + 1] = { ws, uri } end })
    peer:send(request("/1") .. request("/2"))
    run:settle()
    assert.equal(1, #waiting)
    assert.equal(0, waiting[1][1]:respond(200, nil, "first"))
    assert.equal("first", select(3, peer:response()))
    run:pump(function() return #waiting == 2 end)
    assert.equal("/2", waiting[2][2])
    assert.equal(0, waiting[2][1]:respond(200, nil, "second"))
    assert.equal("second", select(3, peer:response()))
  end)

  it("a request cut at each byte is the same request", function()
    local run, peer = start()
    local bytes = request("/cut", "Transfer-Encoding: chunked\r\n", "POST",
      "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n")
    for at = 1, #bytes - 1 do
      peer:send(bytes:sub(1, at))
      run:turns(2)
      peer:send(bytes:sub(at + 1))
      assert.equal("POST /cut abcde", select(3, peer:response()))
    end
  end)

  it("Expect: 100-continue is answered before the body comes, anything else expected is 417", function()
    local _, peer = start()
    peer:send(request("/", "Expect: 100-continue\r\nContent-Length: 2\r\n", "POST"))
    assert.equal(100, (peer:read_head()))
    peer:send("ab")
    assert.equal("POST / ab", select(3, peer:response()))
    assert.equal(417, (status_of(request("/", "Expect: magic\r\nContent-Length: 2\r\n", "POST"))))
  end)
end)

describe("HTTP refusals", function()
  after_each(server.stop_all)

  local cases = {
    { 400, "GET / HTTP/1.1\r\n\r\n", "no Host" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "two Hosts" },
    { 400, "GET / HTTP/1.1\nHost: a\n\n", "bare line feeds" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", "a space before the colon" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "a folded line" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "a zero byte" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "two lengths" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", "a signed length" },
    { 400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", "a list of lengths" },
    { 400, "GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", "a target without slash" },
    { 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "two spaces" },
    { 400, "\22\3\1\2\0\1\0\1\252\3\3", "a TLS greeting" },
    { 501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "an unknown transfer coding" },
    { 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/2" },
    { 413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "a length past all numbers" },
  }

  for _, case in ipairs(cases) do
    it(("%d for %s, and the connection ends"):format(case[1], case[3]), function()
      local _, peer = start()
      peer:send(case[2])
      local status, headers = peer:response()
      assert.equal(case[1], status)
      assert.equal("close", headers.connection)
      assert.equal("closed", peer:await_end())
    end)
  end

  it("bad chunk sizes are 400", function()
    for _, body in ipairs({ "x\r\n", "-1\r\n", "1\n", "1 1\r\n", "1\r\nabc\r\n", ("1;" .. ("e"):rep(2000)) }) do
      assert.equal(400, (status_of(request("/", "Transfer-Encoding: chunked\r\n", "POST", body))))
    end
  end)

  it("upgrades: 405 for another method, 426 without the headers or with another version, 400 for a bad key", function()
    local function changed(from, to) return (client.upgrade({ protocol = "echo" }):gsub(from, to)) end
    local status, headers = status_of(changed("^GET", "POST"))
    assert.same({ 405, "GET" }, { status, headers.allow })
    status, headers = status_of(changed("Connection: Upgrade\r\n", ""))
    assert.same({ 426, "websocket", "13" }, { status, headers.upgrade, headers["sec-websocket-version"] })
    for _, version in ipairs({ "0", "8", "12", "99", "13, 8" }) do
      status, headers = status_of(changed("Version: 13", "Version: " .. version))
      assert.same({ 426, "13" }, { status, headers["sec-websocket-version"] })
    end
    assert.equal(400, (status_of(changed("Key: [^\r]*", "Key: short"))))
    assert.equal(400, (status_of(changed("echo", "nobody"))))
    assert.equal(400, (status_of(changed("Protocol: echo", "Protocol: http-only"))))
    assert.equal(400, (status_of(changed("Protocol: echo", "Protocol: echo, echo"))))
  end)

  it("what a refused peer still sends is no request any more", function()
    local calls = 0
    local run, peer = start({ on_http = function(ws)
      calls = calls + 1
      ws:respond(200)
    end })
    peer:send("BAD\r\n\r\n" .. request("/"))
    assert.equal(400, (peer:response()))
    peer:send(request("/"))
    run:settle()
    assert.equal(0, calls)
    assert.equal("", peer:drain())
  end)
end)

describe("an error in on_http", function()
  after_each(server.stop_all)

  it("is 500 without a word of it, leaves service unchanged, and others go on", function()
    local run, peer = start({ on_http = function() error({ "secret" }) end })
    local witness = client.open(run, "echo")
    peer:send(request("/bad"))
    local err = run:pump_failure()
    assert.same({ "secret" }, err)
    local status, headers, body = peer:response()
    assert.same({ 500, "close" }, { status, headers.connection })
    assert.is_nil(body:find("secret"))
    witness:text("on")
    assert.equal("on", select(2, witness:message()))
  end)

  it("after the answer was given leaves the answer and the connection", function()
    local heard
    local _, peer = start({ on_http = function(ws, uri)
      ws:respond(200, nil, uri)
      error("late")
    end, on_error = function(err) heard = err end })
    peer:send(request("/1") .. request("/2"))
    assert.equal("/1", select(3, peer:response()))
    assert.equal("/2", select(3, peer:response()))
    assert.truthy(heard:find("late"))
  end)
end)
