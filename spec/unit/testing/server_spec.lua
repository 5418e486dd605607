--- Fake servers for handlers of `context:connect`.
-- @module spec.unit.testing.server_spec

local testing = require "websockets.testing"

describe("websockets.testing.server", function()
  local context, heard

  before_each(function() context, heard = testing.context(), {} end)

  local function note(...) heard[#heard + 1] = table.concat({ ... }, " ") end

  local function connect(url, given)
    local ws = assert(context:connect(url, given))
    ws:on_open(function(_, is_again) note("open", tostring(is_again or false)) end)
    ws:on_receive(function(_, data)
      note("got", data)
      ws:write("re: " .. data)
    end)
    ws:on_closed(function(_, code, reason, _, why) note("closed", code, reason, why) end)
    return ws
  end

  it("accepts a client, with its request, subprotocol and headers", function()
    local server = context:server("wss://example.com/")
    local ws = connect("wss://example.com/feed?x=1", { protocols = { "v2", "v1" }, headers = { Token = "t" } })
    assert.same({}, heard)
    local peer = server:accept({ protocol = "v1", headers = { ["X-Server"] = "fake" } })
    assert.same({ "open false" }, heard)
    assert.same({ "GET", "/feed?x=1", "t", "example.com" },
      { peer.request.method, peer.request.uri, peer.request.headers.token, peer.request.headers.host })
    assert.equal("v1", peer.subprotocol)
    assert.equal("fake", (select(2, ws:response()))["x-server"])
    peer:send("hi")
    assert.same({ "re: hi", 0 }, { peer:receive() })
    assert.same({ true, 1000, "" }, { peer:close(1000, "bye") })
    assert.same({ "open false", "got hi", "closed 1000 bye closed" }, heard)
    assert.same({ nil, "timeout" }, { server:accept() })
  end)

  it("takes the first subprotocol that is offered, or none", function()
    local server = context:server("ws://10.0.0.1:8080/")
    connect("ws://10.0.0.1:8080/", { protocols = { "a", "b" } })
    assert.equal("a", server:accept().subprotocol)
    connect("ws://10.0.0.1:8080/", { protocols = { "a", "b" } })
    assert.is_nil(server:accept({ protocol = false }).subprotocol)
    for _, url in ipairs({ "ws://localhost:9/", "ws://feed.localhost:10/", "ws://[::1]:11/", "ws+unix:/run/feed:/" }) do
      server = context:server(url)
      connect(url)
      assert.is_true(server:accept():is_open(), url)
    end
  end)

  it("refuses, redirects, and answers what is no handshake", function()
    local server = context:server("ws://example.com/")
    local ws = connect("ws://example.com/")
    assert.equal("/", server:refuse(401, { ["X-Why"] = "token" }, "no").uri)
    assert.same({ 401, "no" }, { ws:response(), (select(3, ws:response())) })
    assert.matches("closed 1006 .*401.* status", heard[1])
    connect("ws://example.com/old")
    server:refuse(302, { Location = "/new" })
    assert.equal("/new", server:accept().request.uri)
    connect("ws://example.com/")
    server:accept({ handshake = false }):send_bytes("nonsense\r\n\r\n")
    assert.matches("closed 1006 .* handshake", heard[#heard])
    assert.same({ nil, "timeout" }, { server:refuse() })
  end)

  it("can refuse connections, be silent, or not be there", function()
    local server = context:server("ws://example.com/")
    server:close()
    connect("ws://example.com/")
    connect("ws://other.example/")
    context:settle()
    assert.matches("connection refused refused$", heard[1])
    assert.matches("cannot resolve other.example: .* host$", heard[2])
    server = context:server("ws://example.com/")
    server:set_silent(true)
    connect("ws://example.com/", { timeout = 8 })
    assert.same({ nil, "timeout" }, { server:accept({ timeout = 7.9 }) })
    assert.equal(2, #heard)
    context:advance(0.2)
    assert.matches("timeout$", heard[3])
    server:set_silent(false)
    connect("ws://example.com/")
    assert.is_true(server:accept():is_open())
    connect("ws://example.com/", { timeout = 8 })
    context:advance(10)
    assert.matches("timeout$", heard[5])
    assert.same({ nil, "timeout" }, { server:accept() })
    connect("ws://example.com/")
    server:close()
    assert.matches("reset$", heard[6])
  end)

  it("lets a client come back", function()
    local server = context:server("ws://example.com/")
    local ws = connect("ws://example.com/", { reconnect = { min = 1, max = 60, jitter = 0 } })
    server:accept():reset()
    server:close()
    ws:write("kept")
    context:advance(600)
    assert.same({ "open false" }, heard)
    server = context:server("ws://example.com/")
    assert.same({ nil, "timeout" }, { server:accept() })
    local peer = server:accept({ timeout = 60 })
    assert.equal("kept", peer:receive())
    assert.same({ "open false", "open true" }, heard)
  end)

  it("breaks the protocol for a client", function()
    local server = context:server("ws://example.com/")
    connect("ws://example.com/")
    local peer = server:accept()
    peer:send_frame({ payload = "x", masked = true })
    assert.matches("^closed 1002 ", heard[2])
    assert.equal(1002, (select(3, peer:receive())))
  end)

  it("names what is wrong at the line of the caller", function()
    local server = context:server("ws://example.com/")
    for expected, call in pairs({
      ["bad argument #1 to 'server' (ws:// URL expected, got 5)"] = function() context:server(5) end,
      ["bad argument #1 to 'server' (URL that begins with"] = function() context:server("http://x/") end,
      ["no fake server for ws://example.com/: address already in use"] =
        function() context:server("ws://example.com/") end,
      ["unknown option 'protocols'"] = function() server:accept({ protocols = {} }) end,
      ["bad option 'protocol' (name of a subprotocol, or false expected, got 5)"] =
        function() server:accept({ protocol = 5 }) end,
      ["bad option 'headers' (table of header name -> value or list of values expected, got [\"A\"] = true)"] =
        function() server:accept({ headers = { A = true } }) end,
      ["bad argument #1 to 'refuse' (status 100 to 999 expected, got \"busy\")"] =
        function() server:refuse("busy") end,
      ["bad argument #1 to 'refuse' (status 100 to 999 expected, got 1000)"] = function() server:refuse(1000) end,
      ["bad argument #1 to 'refuse' (status 100 to 999 expected, got 400.5)"] = function() server:refuse(400.5) end,
      ["bad argument #2 to 'refuse' (table of header name -> value or list of values expected, got \"A: b\")"] =
        function() server:refuse(401, "A: b") end,
      ["bad argument #2 to 'refuse' (table of header name -> value or list of values expected, got [1] = \"A: b\")"] =
        function() server:refuse(401, { "A: b" }) end,
      ["bad argument #3 to 'refuse' (string expected, got table)"] = function() server:refuse(401, nil, {}) end,
    }) do
      local is_good, err = pcall(call)
      assert.is_false(is_good)
      assert.matches("server_spec.lua:%d+: ", err)
      assert.matches(expected, err, 1, true)
    end
    -- Nothing that is wrong takes a client.
    connect("ws://example.com/")
    assert.is_false((pcall(server.refuse, server, "busy")))
    assert.equal("/", server:refuse(401, { A = { "b", 1 } }, "no").uri)
    assert.matches("server:accept must be called with a colon", (select(2, pcall(server.accept))), 1, true)
  end)
end)
