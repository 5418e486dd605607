--- Sockets that the application brings: listening ones and connected ones.
-- @module spec.behaviour.adopt_spec
local server = require("spec.support.server")
local client = require("spec.support.client")
local socket = require("socket")

describe("socket =", function()
  after_each(server.stop_all)

  it("serves a listening LuaSocket object", function()
    local listening = socket.bind("127.0.0.1", 0)
    local s = server.start({ socket = listening, protocols = { echo = server.echo } })
    local c = client.open(s, "echo")
    c:text("x")
    assert.same({ 1, "x" }, { c:message() })
    s.on_stop = function() listening:close() end
  end)

  it("with port or interf raises", function()
    local listening = socket.bind("127.0.0.1", 0)
    assert.error_matches(function() server.start({ socket = listening, port = 8000 }) end, "option 'socket'")
    listening:close()
  end)

  it("must be a listening socket", function()
    for _, bad in ipairs({ 7, "x", {}, true }) do
      assert.error_matches(function() server.start({ socket = bad }) end, "bad option 'socket'")
    end
  end)

  it("raises for an object that does not listen, and says what it is", function()
    local closed, bound, listening = socket.bind("127.0.0.1", 0), socket.tcp(), socket.bind("127.0.0.1", 0)
    closed:close()
    assert(bound:bind("127.0.0.1", 0))
    local connected = assert(socket.connect("127.0.0.1", (select(2, listening:getsockname()))))
    for why, object in pairs({ ["a closed socket"] = closed, ["one without listen"] = bound,
      ["a connected socket"] = connected }) do
      assert.error_matches(function() server.start({ socket = object }) end, "bad option 'socket' .* got " .. why)
      object:close()
    end
    listening:close()
  end)
end)

describe("context:adopt", function()
  after_each(server.stop_all)

  -- A server that accepts on its own socket, and a context without a listener.
  local function start(options)
    local listening = socket.bind("127.0.0.1", 0)
    options.port = 0
    local s = server.start(options)
    s.port = tonumber((select(2, listening:getsockname())))
    s.on_stop = function() listening:close() end
    return s, listening
  end

  it("serves a connection that another server accepted", function()
    local s, listening = start({ protocols = { echo = server.echo } })
    local c = client.connect(s)
    local ws = assert(s.context:adopt(listening:accept()))
    assert.is_true(ws:get_socket_fd() > 2)
    c:send(client.upgrade({ protocol = "echo" }))
    assert.equal(101, (c:read_head()))
    c:text("x")
    assert.same({ 1, "x" }, { c:message() })
  end)

  it("takes what was read already, though LuaSocket has read ahead", function()
    local s, listening = start({ protocols = { echo = server.echo } })
    local c = client.connect(s)
    local accepted = listening:accept()
    c.connection:send(client.upgrade({ protocol = "echo" }) .. c:frame(1, "one") .. c:frame(1, "two"))
    accepted:settimeout(20)
    local line = accepted:receive("*l")
    assert.equal("GET / HTTP/1.1", line)
    assert.is_true(accepted:dirty())
    assert(s.context:adopt(accepted, line .. "\r\n"))
    assert.equal(101, (c:read_head()))
    assert.same({ 1, "one" }, { c:message() })
    assert.same({ 1, "two" }, { c:message() })
  end)

  it("takes no more than LuaSocket has read ahead, however much the peer has sent", function()
    local s, listening = start({ protocols = { echo = server.echo } })
    local c = client.connect(s)
    local accepted = listening:accept()
    local messages = c:frame(1, ("x"):rep(1000)):rep(100)
    c.connection:send(client.upgrade({ protocol = "echo" }) .. messages)
    accepted:settimeout(20)
    local line, asked = accepted:receive("*l"), 0
    local methods = getmetatable(accepted).__index
    local receive = methods.receive
    methods.receive = function(self, pattern)
      if self == accepted then
        assert.is_number(pattern)
        asked = asked + pattern
      end
      return receive(self, pattern)
    end
    local is_good, ws = pcall(s.context.adopt, s.context, accepted, line .. "\r\n")
    methods.receive = receive
    assert.is_true(is_good, ws)
    -- In pure Lua the object stays, and is read as usual.
    if server.is_native then assert.is_true(asked <= 8192) end
    assert.equal(101, (c:read_head()))
    for _ = 1, 100 do assert.same({ 1, ("x"):rep(1000) }, { c:message() }) end
  end)

  it("takes a whole request with messages after it as bytes", function()
    local s, listening = start({ protocols = { echo = server.echo } })
    local c = client.connect(s)
    s.context:adopt(listening:accept(), client.upgrade({ protocol = "echo" }) .. c:frame(1, "x"))
    assert.equal(101, (c:read_head()))
    assert.same({ 1, "x" }, { c:message() })
  end)

  it("answers plain requests too", function()
    local s, listening = start({ on_http = function(ws, uri) ws:respond(200, nil, uri) end })
    local c = client.connect(s)
    s.context:adopt(listening:accept(), "GET /adopted HTTP/1.1\r\nHost: a\r\n")
    c:send("\r\n")
    assert.equal("/adopted", select(3, c:response()))
  end)

  it("past max_connections gives nil, message and 'limit', and the peer 503", function()
    local s, listening = start({ max_connections = 1 })
    client.connect(s)
    assert(s.context:adopt(listening:accept()))
    local c = client.connect(s)
    local ws, message, code = s.context:adopt(listening:accept())
    assert.same({ nil, "string", "limit" }, { ws, type(message), code })
    assert.equal(503, (c:response()))
  end)

  it("raises for what is no open connected socket, or one that it serves already", function()
    local s, listening = start({})
    client.connect(s)
    local accepted = listening:accept()
    s.context:adopt(accepted)
    local closed = socket.tcp4()
    closed:close()
    local function nothing() end
    local raising = setmetatable({}, { __index = function() error("no such field") end })
    local bare = newproxy and newproxy() or io.stdout
    for _, bad in ipairs({ 7, "x", {}, listening, closed, accepted, bare, raising,
      { receive = nothing, send = nothing, getfd = nothing } }) do
      local is_good, message = pcall(function() s.context:adopt(bad) end)
      assert.is_false(is_good)
      assert.matches("^[^:]*adopt_spec.lua:%d+: bad argument #1 to 'adopt'", message)
    end
    client.connect(s)
    local other = listening:accept()
    assert.error_matches(function() s.context:adopt(other, 7) end, "bad argument #2 to 'adopt'")
    other:close()
  end)
end)
