--- Contexts without sockets, their peers and their clock.
-- @module spec.unit.testing_spec

local testing = require "websockets.testing"
local websockets = require "websockets"

local function echo(ws)
  ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
end

local function error_of(fn, ...)
  local is_good, err = pcall(fn, ...)
  assert.is_false(is_good)
  return (tostring(err):gsub("^[^:]*spec/unit/testing_spec%.lua:%d+: ", "HERE: "))
end

describe("websockets.testing, a context", function()
  it("has peers with subprotocol, headers, target and address, as the handler sees them", function()
    local seen
    local context = testing.context({ protocols = { chat = function(ws)
      local request = ws:request()
      seen = { request.method, request.uri, request.headers.cookie, request.headers.origin, (ws:get_peer_addresses()) }
      echo(ws)
    end }, origins = { "https://example.com" } })
    local peer = assert(context:peer({
      protocols = { "other", "chat" }, target = "/room?name=ann", headers = { Cookie = "a=1" },
      origin = "https://example.com", address = "192.0.2.7",
    }))
    assert.same({ "GET", "/room?name=ann", "a=1", "https://example.com", "192.0.2.7" }, seen)
    assert.same({ "chat", 101, true }, { peer.subprotocol, peer.status, peer:is_open() })
    assert.equal("websocket", peer.headers.upgrade)
    peer:send("hello")
    assert.same({ "hello", websockets.WRITE_TEXT }, { peer:receive() })
    peer:send("\0\255", websockets.WRITE_BINARY)
    assert.same({ "\0\255", websockets.WRITE_BINARY }, { peer:receive() })
    assert.same({ nil, "timeout" }, { peer:receive() })
  end)

  it("refuses peers as a server does", function()
    local context = testing.context({ on_handshake = function(request)
      if request.uri == "/mute" then return false, 429, { ["Retry-After"] = "7" }, "later" end
      return true
    end, default = echo, max_connections = 1 })
    local peer, message, code, status, headers, body = context:peer({ target = "/mute" })
    assert.same({ "nil", "the context answered 429 Too Many Requests", "status", 429, "7", "later" },
      { type(peer), message, code, status, headers["retry-after"], body })
    assert.equal("table", type(context:peer()))
    assert.equal(503, (select(4, context:peer())))
  end)

  it("answers a peer later, where the handler does", function()
    local request
    local context = testing.context({ on_handshake = function(one)
      request = one
      return "later"
    end, default = echo, handshake_timeout = 10 })
    local peer = context:peer()
    assert.is_false(peer:is_open())
    assert.matches("needs an open WebSocket", error_of(peer.send, peer, "x"))
    context:advance(5)
    assert(request:accept())
    context:settle()
    assert.is_true(peer:is_open())
    peer:send("x")
    assert.equal("x", peer:receive())
    context:peer()
    assert.is_true(request:refuse(403))
  end)

  it("logs a request that a handler leaves without an answer, once a minute", function()
    local log = {}
    local context = testing.context({ on_http = function() end, response_timeout = 5,
      log = function(level, text) log[#log + 1] = level .. ": " .. text end })
    for _ = 1, 2 do assert.equal(504, (context:request("GET", "/never?token=1", { timeout = 6 }))) end
    local line = 'warning: on_http has not answered GET "/never" within response_timeout (5 s): the client gets 504'
    assert.same({ line }, log)
    context:advance(60)
    assert.equal(504, (context:request("GET", "/never", { timeout = 6 })))
    assert.same({ line, line }, log)
  end)

  it("answers requests, with bodies and without", function()
    local context = testing.context({ on_http = function(ws, uri, method, headers, body)
      if method == "PUT" then
        ws:respond(201, { ["X-Body"] = body, ["X-Tea"] = headers["x-tea"] })
      elseif uri ~= "/never" then
        ws:respond(200, nil, "hello")
      end
    end, response_timeout = 5 })
    assert.same({ 200, "hello" }, { context:request("GET", "/"), (select(3, context:request("GET", "/"))) })
    assert.same({ 200, "" }, { context:request("HEAD", "/"), (select(3, context:request("HEAD", "/"))) })
    local status, headers = context:request("PUT", "/", { body = "abc", headers = { ["X-Tea"] = "green" } })
    assert.same({ 201, "abc", "green" }, { status, headers["x-body"], headers["x-tea"] })
    assert.same({ nil, "timeout" }, { context:request("GET", "/never", { timeout = 4 }) })
    assert.equal(504, context:request("GET", "/never", { timeout = 6 }))
  end)

  it("calls timers when the test lets time pass, in their order", function()
    local context, calls = testing.context({ default = echo }), {}
    local function noting(name) return function() calls[#calls + 1] = name end end
    context:after(3, noting("late"))
    context:after(1, function()
      noting("early")()
      context:after(1, noting("between"))
    end)
    context:every(2, noting("tick"))
    context:advance(0.5)
    assert.same({}, calls)
    context:advance(2.5)
    assert.same({ "early", "tick", "between", "late" }, calls)
    context:advance(2)
    assert.equal(6 - 1, #calls)
  end)

  it("keeps its deadlines by that clock", function()
    local whys = {}
    local context = testing.context({ default = function(ws)
      ws:on_closed(function(_, code, _, _, why) whys[#whys + 1] = code .. " " .. tostring(why) end)
    end, ping_interval = 20, ping_timeout = 20 })
    local steady, mute, gone = context:peer(), context:peer({ answers_pings = false }), context:peer()
    gone:vanish()
    context:advance(60)
    assert.same({ "1006 timeout", "1006 timeout" }, whys)
    assert.is_true(steady:is_open() and #steady.pings > 1)
    assert.same({ nil, "closed", 1006, "" }, { mute:receive() })
    assert.same({ nil, "timeout" }, { gone:receive() })
    steady:pause()
    context:advance(60)
    assert.equal(3, #whys)
  end)

  it("raises the error of a callback where it came about, or gives it to on_error", function()
    local function fail() error("my mistake", 0) end
    local context = testing.context({ default = function(ws) ws:on_receive(fail) end })
    local peer = context:peer()
    assert.equal("my mistake", error_of(peer.send, peer, "x"))
    assert.equal("my mistake", error_of(context.after(context, 1, fail) and context.advance, context, 1))
    local heard
    local other = testing.context({ default = function(ws) ws:on_receive(fail) end,
      on_error = function(err) heard = err end })
    other:peer():send("x")
    assert.matches("my mistake", heard)
  end)

  it("ends its peers when it is destroyed", function()
    local context = testing.context({ default = echo })
    local peer = context:peer()
    context:destroy()
    assert.same({ nil, "closed", 1001, "" }, { peer:receive() })
    assert.equal("HERE: websocket context destroyed", error_of(function() context:peer() end))
    assert.equal("HERE: websocket context destroyed", error_of(function() context:advance(1) end))
  end)

  it("takes the options of the program, and leaves the system alone", function()
    local function is_no_descriptor(fd) error("told of descriptor " .. fd) end
    local context = testing.context({
      on_add_fd = is_no_descriptor, on_del_fd = is_no_descriptor, on_set_mode_fd = is_no_descriptor,
      on_clear_mode_fd = is_no_descriptor,
      port = 80, interf = "eth7", uid = 4242, gid = 4242, default = echo,
      ssl_cert_filepath = "/nowhere/cert.pem", ssl_private_key_filepath = "/nowhere/key.pem",
    })
    assert.equal(80, context:get_port())
    assert.is_true(context:peer():is_open())
    local by_path = testing.context({ unix = "/nowhere/socket", unix_mode = "600", default = echo })
    local ws, opened = by_path:connect("ws+unix:/nowhere/socket:/x"), 0
    ws:on_open(function() opened = opened + 1 end)
    by_path:settle()
    assert.equal(1, opened)
    assert.equal("localhost", context:canonical_hostname())
    assert.matches("^context ", tostring(context))
  end)

  it("names what is wrong at the line of the caller", function()
    local context = testing.context()
    for expected, call in pairs({
      ["unknown option 'prot'"] = function() testing.context({ prot = 1 }) end,
      ["bad option 'port' (port number 0 to 65535 or \"any\" expected, got -1)"] =
        function() testing.context({ port = -1 }) end,
      ["option 'socket' has no place in a context without sockets"] =
        function() testing.context({ socket = { accept = print, settimeout = print } }) end,
      ["bad argument #2 to 'context' (context of websockets.testing expected, got table)"] =
        function() testing.context({}, {}) end,
      ["bad argument #1 to 'context' (table expected, got 5)"] = function() testing.context(5) end,
      ["unknown option 'path'"] = function() context:peer({ path = "/" }) end,
      ["bad option 'target' (path and query, without blanks expected, got \"/ x\")"] =
        function() context:peer({ target = "/ x" }) end,
      ["bad argument #1 to 'peer' (table expected, got \"/\")"] = function() context:peer("/") end,
      ["bad option 'address' (IP address or \"unix\" expected, got \"10.0.0.256\")"] =
        function() context:peer({ address = "10.0.0.256" }) end,
      ["bad option 'address' (IP address or \"unix\" expected, got \"[::1]\")"] =
        function() context:request("GET", "/", { address = "[::1]" }) end,
      ["bad option 'headers' (table of header name -> value or list of values expected, got [\"A\"] = true)"] =
        function() context:peer({ headers = { A = true } }) end,
      ["bad option 'protocols' (list of subprotocol names expected, got [1] = table)"] =
        function() context:peer({ protocols = { {} } }) end,
      ["bad argument #1 to 'advance' (number of seconds from 0 expected, got -1)"] =
        function() context:advance(-1) end,
      ["bad argument #2 to 'request' (path and query, without blanks expected, got \"\")"] =
        function() context:request("GET", "") end,
      ["bad argument #1 to 'connect' (ws:// URL expected, got 5)"] = function() context:connect(5) end,
      ["unknown option 'wrong'"] = function() context:connect("ws://localhost/", { wrong = 1 }) end,
    }) do
      assert.equal("HERE: " .. expected, error_of(call))
    end
    assert.matches("context:peer must be called with a colon", error_of(context.peer, {}), 1, true)
    assert.matches("context:advance must be called with a colon", error_of(testing.advance), 1, true)
  end)

  it("passes time where run and service wait, and ends run where nothing can happen", function()
    local context, ticks = testing.context({ default = echo }), 0
    local timer
    timer = context:every(10, function()
      ticks = ticks + 1
      if ticks == 3 then timer:cancel() end
    end)
    context:service(15000)
    assert.equal(1, ticks)
    context:run()
    assert.equal(3, ticks)
    local inside
    context:after(1, function() inside = error_of(function() context:advance(1) end) end)
    context:advance(1)
    assert.equal("HERE: advance may not be called inside a callback", inside)
  end)

  it("says so where two of them never come to rest", function()
    local context = testing.context({ default = echo })
    local ws = context:connect("ws://localhost:" .. context:get_port())
    ws:on_open(function() ws:write("ping") end)
    ws:on_receive(function(_, data) ws:write(data) end)
    assert.matches("without end", error_of(function() context:settle() end))
  end)
end)

describe("websockets.testing, alone", function()
  it("needs no LuaSocket, and no proxy", function()
    local child = require "spec.support.child"
    local code = [[
      local testing = require("websockets.testing")
      local context = testing.context{ default = function(ws)
        ws:on_receive(function(_, data) ws:write(data) end)
      end }
      local peer = context:peer()
      peer:send("hello")
      io.write(peer:receive(), " ", context:request("GET", "/"), " ", tostring((pcall(require, "socket"))))
      local server = context:server("ws://example.com/")
      context:connect("ws://example.com/"):on_open(function() io.write(" open") end)
      server:accept()]]
    -- Where only this library and its accelerator can be found.
    local command = "env all_proxy=http://127.0.0.1:1 LUA_PATH='lua/?.lua' LUA_CPATH=%s %s -e %s"
    assert.equal("hello 404 false open", child.run(command:format(
      child.quote(package.cpath:match("[^;]*native[^;]*") or "nowhere/?.so"), child.quote(child.this_lua()),
      child.quote(code))))
  end)
end)

describe("websockets.testing, two contexts", function()
  it("share a network and a clock", function()
    local server = testing.context({ port = 8002, default = echo })
    local client = testing.context({}, server)
    local heard = {}
    local ws = client:connect("ws://127.0.0.1:8002/")
    ws:on_open(function() ws:write("one") end)
    ws:on_receive(function(_, data) heard[#heard + 1] = data end)
    server:after(5, function() server:broadcast_all() end)
    server.broadcast_all = function() heard[#heard + 1] = "timer" end
    client:advance(10)
    assert.same({ "one", "timer" }, heard)
    ws:on_receive(function(_, data)
      heard[#heard + 1] = data
      client:stop()
    end)
    client:after(3, function() ws:write("two") end)
    client:run()
    assert.equal("two", heard[3])
    server:destroy()
    client:settle()
    assert.equal(1001, (select(3, pcall(function() return true, ws.outcome.code end))))
    assert.matches("address already in use", error_of(function()
      local again = testing.context({ port = 9 }, client)
      testing.context({ port = 9 }, again)
    end))
  end)
end)
