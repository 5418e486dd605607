--- Interim answers, in both roles: a client passes over them, a server gives 100 (Continue) to whoever awaits it.
-- @module spec.behaviour.interim_spec
local client = require("spec.support.client")
local peer = require("spec.support.peer")
local server = require("spec.support.server")

local CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n"
local HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nLink: </x.js>\r\n\r\n"

describe("a client, answered with interim answers", function()
  after_each(server.stop_all)

  -- What becomes of a client that is answered with some bytes, then in the way that `more` says.
  local function answered(interim, more)
    more = more or {}
    local s = server.start({ protocols = {} })
    local p = peer.listen(s)
    local ws, log = p:connect(more.options)
    local _, headers = p:read_request()
    local bytes = interim .. peer.answer(headers, nil, more.status_line) .. (more.leftover or "")
    for from = 1, #bytes, more.step or #bytes do
      p:send(bytes:sub(from, from + (more.step or #bytes) - 1))
      if more.step then s:turns(2) end
    end
    -- The body of a refusal goes on to the end.
    if more.status_line then p:close() end
    s:pump(function() return log.closed[1] or log.open > 0 end, "on_open or on_closed")
    return log, s, ws
  end

  for name, interim in pairs({
    ["100"] = CONTINUE, ["102"] = "HTTP/1.1 102 Processing\r\n\r\n", ["103 with headers"] = HINTS,
    ["199 without a phrase"] = "HTTP/1.1 199\r\n\r\n", ["several"] = CONTINUE .. HINTS .. HINTS .. CONTINUE,
    ["16 of them"] = CONTINUE:rep(16),
  }) do
    it("before the 101 opens: " .. name, function() assert.equal(1, answered(interim).open) end)
  end

  it("cut anywhere, and messages right after the 101", function()
    for _, step in ipairs({ false, 1, 7 }) do
      local log, s = answered(CONTINUE .. HINTS, { step = step or nil, leftover = "\129\2hi" })
      s:pump(function() return log.messages[1] end, "a message")
      assert.same({ { "hi", 0 } }, log.messages)
    end
  end)

  it("before another final answer hears of that one", function()
    local log = answered(CONTINUE .. HINTS, { status_line = "HTTP/1.1 403 Forbidden" })
    assert.same({ 1006, "the server answered 403 Forbidden", false, "status" }, log.closed[1])
  end)

  it("takes no more than 16 of them", function()
    local log = answered(CONTINUE:rep(17))
    assert.same({ 1006, "the server's answer came after too many interim ones", false, "handshake" }, log.closed[1])
  end)

  it("takes no more than max_header_bytes of them together", function()
    local options = { max_header_bytes = 1000 }
    local hints = "HTTP/1.1 103 Early Hints\r\nX: " .. ("x"):rep(400) .. "\r\n\r\n"
    assert.equal(1, answered(hints:rep(2), { options = options }).open)
    local log = answered(hints:rep(3), { options = options })
    assert.same({ 1006, "the server's answer came after too many interim ones", false, "handshake" }, log.closed[1])
  end)

  it("waits for the final one no longer than its timeout", function()
    local s = server.start({ protocols = {} })
    s:fake_time()
    local p = peer.listen(s)
    local _, log = p:connect({ timeout = 3 })
    p:read_request()
    for _ = 1, 3 do
      p:send(CONTINUE)
      s:settle()
      assert.same({}, log.closed)
      s:advance(1.1)
    end
    assert.equal("timeout", log.closed[1][4])
  end)
end)

describe("an upgrade that expects 100-continue", function()
  after_each(server.stop_all)

  local function ask(options, expect, more)
    options.default = server.echo
    local s = server.start(options)
    local c = client.connect(s)
    c:send(client.upgrade({ headers = ("Expect: %s\r\n%s"):format(expect, more or "") }))
    return c, s
  end

  it("gets the 100 before the 101, and is open", function()
    for _, expect in ipairs({ "100-continue", "100-Continue", ", 100-continue,", "100-continue, 100-continue" }) do
      local c = ask({}, expect)
      assert.equal(CONTINUE, c:read(#CONTINUE))
      assert.equal(101, (c:read_head()))
      c:text("on")
      assert.same({ 1, "on" }, { c:message() })
    end
  end)

  it("gets the 100 with the 101, where the decision comes later", function()
    local waiting
    local c, s = ask({ on_handshake = function(request)
      waiting = request
      return "later"
    end }, "100-continue")
    s:pump(function() return waiting end, "on_handshake")
    s:settle()
    assert.is_false(c:poll())
    waiting:accept()
    assert.equal(CONTINUE, c:read(#CONTINUE))
    assert.equal(101, (c:read_head()))
  end)

  it("gets no 100 where it is refused", function()
    assert.equal(403, (ask({ on_handshake = function() return false end }, "100-continue"):read_head()))
    assert.equal(403, (ask({}, "100-continue", "Origin: http://evil.example\r\n"):read_head()))
  end)

  it("for anything else gets 417, and so does a plain request", function()
    for _, expect in ipairs({ "magic", "100-continue, magic", "100-continue=1" }) do
      assert.equal(417, (ask({}, expect):read_head()))
      local c = client.connect(server.start({ on_http = function(ws) ws:respond(200) end }))
      c:send(client.request("/", "Expect: " .. expect .. "\r\n"))
      assert.equal(417, (c:response()))
    end
  end)

  it("of HTTP/1.0 expects nothing", function()
    local c = client.connect(server.start({ on_http = function(ws) ws:respond(200) end }))
    c:send("GET / HTTP/1.0\r\nExpect: magic\r\n\r\n")
    assert.equal(200, (c:response()))
  end)
end)
