--- What a server answered to the opening handshake: ws:response(), and the bodies of refusals.
-- @module spec.behaviour.refusal_spec
local client = require("spec.support.client")
local peer = require("spec.support.peer")
local server = require("spec.support.server")

local KIB = 1024
local MAX_BODY_BYTES = 64 * KIB

local function start(options)
  local s = server.start({ protocols = {} })
  local p = peer.listen(s)
  local ws, log = p:connect(options)
  -- What on_closed can read.
  ws:on_closed(function(_, ...)
    log.closed[#log.closed + 1] = { ... }
    log.response = { ws:response() }
  end)
  local _, headers = p:read_request()
  return s, p, ws, log, headers
end

describe("ws:response", function()
  after_each(server.stop_all)

  it("is nil before an answer has come, and without one", function()
    local s, p, ws, log = start()
    assert.is_nil(ws:response())
    p:send("HTTP/1.1 404 Not")
    s:settle()
    assert.is_nil(ws:response())
    p:close()
    assert.equal("closed", peer.await_refusal(s, log)[4])
    assert.is_nil(ws:response())
  end)

  it("is nil on a connection to a server of ours", function()
    local accepted
    local s = server.start({ default = function(ws) accepted = ws end })
    client.open(s)
    assert.is_nil(accepted:response())
  end)

  it("is the 101 of an open connection, in on_open and after its end", function()
    local s, p, ws, log, headers = start()
    local seen
    ws:on_open(function() seen = { ws:response() } end)
    p:send(peer.answer(headers, { ["X-One"] = "1" }) .. "\129\2hi")
    s:pump(function() return log.messages[1] end, "a message")
    for _, response in ipairs({ seen, { ws:response() } }) do
      local status, fields, body = (table.unpack or unpack)(response)
      assert.same({ 101, "1", "websocket", "" }, { status, fields["x-one"], fields.upgrade, body })
    end
    ws:close(0)
    assert.equal(101, (ws:response()))
  end)

  it("is the 101 that breaks RFC 6455, too", function()
    local s, p, ws, log, headers = start()
    p:send(peer.answer(headers, { Upgrade = "h2c" }))
    assert.equal("handshake", peer.await_refusal(s, log)[4])
    local status, fields = ws:response()
    assert.same({ 101, "h2c" }, { status, fields.upgrade })
  end)

  it("is nil for what is not HTTP", function()
    local s, p, ws, log = start()
    p:send("SSH-2.0-x\r\n\r\n")
    assert.equal("handshake", peer.await_refusal(s, log)[4])
    assert.is_nil(ws:response())
  end)

  it("has each header in its order, too", function()
    local s, p, ws, log = start()
    p:send("HTTP/1.1 401 Who\r\nSet-Cookie: a=1; Expires=Thu, 01 Jan\r\nset-cookie: b=2\r\n"
      .. "Content-Length: 0\r\n\r\n")
    peer.await_refusal(s, log)
    local _, headers, body, fields = ws:response()
    assert.equal("a=1; Expires=Thu, 01 Jan, b=2", headers["set-cookie"])
    assert.equal("", body)
    assert.same({ { "set-cookie", "a=1; Expires=Thu, 01 Jan" }, { "set-cookie", "b=2" }, { "content-length", "0" } },
      fields)
  end)
end)

describe("the body of a refusal", function()
  after_each(server.stop_all)

  local HEAD = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n"
  local function with_length(body) return ("Content-Length: %d\r\n\r\n%s"):format(#body, body) end

  local function expect(s, log, body)
    assert.same({ 1006, "the server answered 503 Busy", false, "status" }, peer.await_refusal(s, log))
    local seen = log.response
    assert.same({ 503, "7", #body }, { seen[1], seen[2]["retry-after"], #seen[3] })
    assert.is_true(seen[3] == body)
  end

  for what, rest in pairs({
    ["Content-Length"] = with_length("go away"),
    ["chunks"] = "Transfer-Encoding: chunked\r\n\r\n3\r\ngo \r\n4;x=y\r\naway\r\n0\r\nT: x\r\n\r\n",
  }) do
    it("is read before on_closed is told, however it is cut: " .. what, function()
      for _, step in ipairs({ 1, 3, 1000 }) do
        local s, p, _, log = start()
        local bytes = HEAD .. rest
        for from = 1, #bytes, step do
          assert.same({}, log.closed)
          p:send(bytes:sub(from, from + step - 1))
          s:turns(2)
        end
        expect(s, log, "go away")
        assert.equal("closed", p:await_end())
        server.stop_all()
      end
    end)
  end

  it("goes on to the end of the connection where nothing tells its length", function()
    local s, p, _, log = start()
    p:send(HEAD .. "\r\ngo ")
    s:settle()
    p:send("away")
    s:settle()
    assert.same({}, log.closed)
    p:close()
    expect(s, log, "go away")
  end)

  it("is what has come where the connection ends before", function()
    for _, fields in ipairs({ "Content-Length: 99\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nff\r\n" }) do
      for _, is_reset in ipairs({ false, true }) do
        local s, p, _, log = start()
        p:send(HEAD .. fields .. "go away")
        s:settle()
        if is_reset then p.connection:setoption("linger", { on = true, timeout = 0 }) end
        p:close()
        expect(s, log, "go away")
        server.stop_all()
      end
    end
  end)

  it("is what has come where it is malformed", function()
    local s, p, _, log = start()
    p:send(HEAD .. "Transfer-Encoding: chunked\r\n\r\n7\r\ngo away\r\nx\r\n")
    expect(s, log, "go away")
    assert.equal("closed", p:await_end())
  end)

  it("is none after 204, and with a length of 0", function()
    for _, head in ipairs({ "HTTP/1.1 204 None\r\n\r\n", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" }) do
      local s, p, ws, log = start()
      p:send(head)
      assert.equal("status", peer.await_refusal(s, log)[4])
      assert.equal("", select(3, ws:response()))
      server.stop_all()
    end
  end)

  it("is awaited no longer than timeout, and the end is still the refusal", function()
    local s, p, _, log = start({ timeout = 3 })
    s:fake_time()
    p:send(HEAD .. "\r\ngo away")
    s:settle()
    s:advance(2)
    assert.same({}, log.closed)
    s:advance(1.5)
    expect(s, log, "go away")
  end)

  it("is kept up to 64 KiB", function()
    local long = ("x"):rep(MAX_BODY_BYTES + 1)
    local chunks = "Transfer-Encoding: chunked\r\n\r\n" .. ("1000\r\n" .. ("x"):rep(4 * KIB) .. "\r\n"):rep(17)
    for _, rest in ipairs({ with_length(long), "\r\n" .. long, chunks, with_length(long:sub(2)) }) do
      local s, p, _, log = start()
      local from = 1
      local bytes = HEAD .. rest
      s:pump(function()
        local last, _, partial = p.connection:send(bytes, from)
        from = (last or partial or from - 1) + 1
        return log.closed[1] or from > #bytes
      end, "the end")
      expect(s, log, ("x"):rep(MAX_BODY_BYTES))
      server.stop_all()
    end
  end)

  it("does not hold up a connection that is closed meanwhile", function()
    local s, p, ws, log = start()
    p:send(HEAD .. "\r\ngo away")
    s:settle()
    ws:close()
    expect(s, log, "go away")
    assert.equal("closed", p:await_end())
  end)

  it("of our own server is read, too", function()
    local s = server.start({ default = function() end, on_handshake = function()
      return false, 401, { ["X-Why"] = "no" }, ("no entry "):rep(1000)
    end })
    local ws, log = peer.watch(s.context:connect(("ws://127.0.0.1:%d/"):format(s.port)))
    assert.equal("status", peer.await_refusal(s, log)[4])
    local status, headers, body = ws:response()
    assert.same({ 401, "no", ("no entry "):rep(1000) }, { status, headers["x-why"], body })
  end)
end)
