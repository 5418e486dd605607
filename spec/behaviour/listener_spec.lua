--- Where connections come from: ports, addresses, and what happens when no more can be taken.
-- @module spec.behaviour.listener_spec
local child = require("spec.support.child")
local client = require("spec.support.client")
local fd_flags = require("spec.support.fd_flags")
local inside = require("spec.support.inside")
local needs = require("spec.support.needs")
local server = require("spec.support.server")
local socket = require("socket")
local websockets = require("websockets")

local made = {}

local function make(options)
  local context = websockets.context(options)
  made[#made + 1] = context
  return context
end

local function clean()
  server.stop_all()
  for i = #made, 1, -1 do table.remove(made, i):destroy() end
end

-- The error of websockets.context.
local function failure(options)
  local is_good, err = pcall(make, options)
  assert.is_false(is_good)
  return tostring(err)
end

local function has_ipv6()
  local probe = socket.tcp6()
  local is_there = probe and probe:bind("::1", 0)
  if probe then probe:close() end
  return is_there
end

-- A program that opens a listening socket, writes its port, and becomes a server that inherits the socket.
local LAUNCHER = [[
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0), backlog=16)
listener.setblocking(True)
os.dup2(listener.fileno(), 20)
print(listener.getsockname()[1], flush=True)
os.execv(sys.argv[1], sys.argv[1:])
]]

-- It serves a descriptor that another program has opened.
local HEIR = [[
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
local socket = require("socket")
local listener = socket.tcp4()
listener:close()
listener:setfd(20)
assert(listener:listen(16))
local context = require("websockets").context({
  socket = listener,
  on_http = function(ws) ws:respond(200, nil, "served") end,
})
context:run()
]]

describe("the listener", function()
  after_each(clean)

  it("serves a descriptor that it inherits, though calls on that wait", function()
    local reason = needs.reason("Python")
    if reason then return pending(reason) end
    local heir = child.start(("python3 -c %s %s -e %s"):format(
      child.quote(LAUNCHER), child.quote(child.this_lua()), child.quote(HEIR)), nil, 30)
    local port = heir:expect("^(%d+)$")
    local silent = assert(socket.connect("127.0.0.1", port))
    for _ = 1, 3 do
      local peer = assert(socket.connect("127.0.0.1", port))
      peer:settimeout(10)
      peer:send("GET / HTTP/1.0\r\n\r\n")
      assert.matches("served$", (peer:receive("*a")))
      peer:close()
    end
    silent:close()
    heir:stop()
  end)

  it("keeps its descriptors and those of connections from programs that are started, where that can be", function()
    if not fd_flags.are_shown() then return pending("needs /proc/self/status") end
    local fds = {}
    local s = server.start({ protocols = { a = function() end }, on_add_fd = function(fd) fds[#fds + 1] = fd end })
    local ws = s.context:connect("ws://127.0.0.1:" .. s.port, { protocols = { "a" } })
    local is_open = false
    ws:on_open(function() is_open = true end)
    s:pump(function() return is_open end, "an open connection")
    assert.equal(3 + server.own_fds, #fds)
    for _, fd in ipairs(fds) do
      assert.equal(server.is_native or rawget(_G, "jit") ~= nil, fd_flags.of(fd).closes_on_exec)
    end
  end)

  it("port nil and 0 mean none, get_port is nil then", function()
    assert.is_nil(make({}):get_port())
    assert.is_nil(make({ port = 0 }):get_port())
  end)

  it('port "any" takes one that the system chooses, an integer', function()
    local first, second = make({ port = "any" }):get_port(), make({ port = "any" }):get_port()
    assert.truthy(tostring(first):find("^%d+$"))
    assert.are_not.equal(first, second)
  end)

  it("a number is the port", function()
    local probe = assert(socket.bind("127.0.0.1", 0))
    local _, port = probe:getsockname()
    probe:close()
    local context = make({ port = tonumber(port), interf = "127.0.0.1" })
    assert.equal(tonumber(port), context:get_port())
    assert.is_not_nil(socket.connect("127.0.0.1", port))
  end)

  it("a port that is taken raises the text of 2012 and the reason", function()
    local port = make({ port = "any", interf = "127.0.0.1" }):get_port()
    local text = failure({ port = port, interf = "127.0.0.1" })
    assert.truthy(text:find("websocket could not create context: cannot listen on 127.0.0.1:" .. port, 1, true))
    assert.truthy(text:find("in use", 1, true))
    assert.truthy(failure({ port = port }):find("websocket could not create context: ", 1, true))
  end)

  it("interf that cannot be resolved raises, for no interface is better than all", function()
    assert.truthy(failure({ port = "any", interf = "nowhere0" }):find("websocket could not create context: ", 1, true))
    assert.truthy(failure({ port = "any", interf = "192.0.2.1" }):find("websocket could not create context: ", 1, true))
  end)

  it("interf lo listens on the loopback address only", function()
    local context = make({ port = "any", interf = "lo" })
    local peer = assert(socket.connect("127.0.0.1", context:get_port()))
    peer:close()
    -- All of 127/8 is this host: a listener on every address would take it.
    assert.is_nil((socket.connect("127.0.0.2", context:get_port())))
  end)

  it("without interf IPv4 and IPv6 both connect, and no address begins with ::ffff:", function()
    local addresses = {}
    local context = make({ port = "any", default = function(ws)
      addresses[#addresses + 1] = { ws:get_peer_addresses() }
    end })
    local ways = { { socket.tcp4, "127.0.0.1" } }
    if has_ipv6() then ways[2] = { socket.tcp6, "::1" } end
    for i, way in ipairs(ways) do
      local connection = way[1]()
      connection:settimeout(20)
      assert(connection:connect(way[2], context:get_port()))
      connection:send(client.upgrade())
      for _ = 1, 100 do
        if not addresses[i] then context:service(50) end
      end
      assert.same({ way[2], way[2] }, addresses[i])
      connection:close()
    end
  end)

  it("a burst of connections is all accepted", function()
    local handler, log = server.recorder()
    local run = server.start({ protocols = { echo = handler } })
    local peers = {}
    for i = 1, 150 do
      peers[i] = client.connect(run)
      peers[i].connection:send(client.upgrade({ protocol = "echo" }))
    end
    run:pump(function() return #log.ws == 150 end)
  end)

  it("nothing is held back (Nagle) on what was accepted, adopted or connected", function()
    local met = {}
    local function meet(ws) met[#met + 1] = ws end
    local run = server.start({ default = meet })
    client.connect(run):send(client.upgrade())
    local listening = socket.bind("127.0.0.1", 0)
    local ip, port = listening:getsockname()
    local peer = assert(socket.connect(ip, port))
    run.context:adopt(assert(listening:accept()), client.upgrade())
    run.context:connect(("ws://127.0.0.1:%d/"):format(run.port)):on_open(meet)
    run:pump(function() return #met == 4 end)
    -- A connection made before the listening socket was ours has the options that the socket had then.
    local early = assert(socket.connect(ip, port))
    early:send(client.upgrade())
    local other = server.start({ default = meet, socket = listening })
    other:pump(function() return #met == 5 end)
    listening:close()
    early:close()
    peer:close()
    for _, ws in ipairs(met) do
      local probe = socket.tcp4()
      local own = probe:getfd()
      probe:setfd(ws:get_socket_fd())
      assert.is_true(probe:getoption("tcp-nodelay"))
      probe:setfd(own)
      probe:close()
    end
  end)

  it("destroy closes it: connecting fails from then on", function()
    local context = make({ port = "any", interf = "127.0.0.1" })
    local port = context:get_port()
    context:destroy()
    assert.is_nil((socket.connect("127.0.0.1", port)))
  end)
end)

describe("max_connections", function()
  after_each(clean)

  it("at the limit all are served, one more gets 503 and the end, a freed place is used again", function()
    local run = server.start({ protocols = { echo = server.echo }, max_connections = 2 })
    local first, second = client.open(run, "echo"), client.open(run, "echo")
    local third = client.connect(run)
    third:send(client.upgrade({ protocol = "echo" }))
    local status, headers = third:response()
    assert.same({ 503, "close", "1" }, { status, headers.connection, headers["retry-after"] })
    assert.equal("closed", third:await_end())
    for _, peer in ipairs({ first, second }) do
      peer:text("on")
      assert.equal("on", select(2, peer:message()))
    end
    first:close()
    run:settle()
    local fourth = client.open(run, "echo")
    fourth:text("in")
    assert.equal("in", select(2, fourth:message()))
  end)

  it("what a client has sent already does not turn its 503 into a reset", function()
    local run = server.start({ protocols = { echo = server.echo }, max_connections = 1 })
    client.open(run, "echo")
    local second = client.connect(run)
    local known = pcall(second.connection.getoption, second.connection, "error")
    if not known then return pending("needs LuaSocket with the option 'error'") end
    second:send(client.upgrade({ protocol = "echo" }))
    run:settle()
    assert.is_nil(second.connection:getoption("error"))
    assert.equal(503, (second:response()))
  end)

  it("a context at its limit adopts no socket: nil, a message, limit", function()
    local run = server.start({ protocols = { echo = server.echo }, max_connections = 1 })
    client.open(run, "echo")
    local outside = assert(socket.bind("127.0.0.1", 0))
    local _, port = outside:getsockname()
    local peer = assert(socket.connect("127.0.0.1", port))
    local ws, message, code = run.context:adopt(outside:accept())
    assert.is_nil(ws)
    assert.is_string(message)
    assert.equal("limit", code)
    peer:settimeout(20)
    assert.truthy(peer:receive("*l"):find("503", 1, true))
    peer:close()
    outside:close()
  end)

  it("is off by default", function()
    assert.equal(math.huge, inside.settings(server.start({}).context).max_connections)
  end)
end)

describe("out of descriptors", function()
  local facts

  setup(function()
    local text = child.run("ulimit -n 50; timeout 30 " .. child.quote(child.this_lua())
      .. " spec/support/few_descriptors.lua")
    facts = { text = text }
    for name, value in text:gmatch("([%w_]+)=([^\n]*)") do facts[name] = value end
  end)

  it("the first in the row gets 503 by the spare descriptor, then the listener rests, once logged", function()
    assert.equal("true", facts.refused, facts.text)
    assert.equal("1", facts.turned_away, facts.text)
    assert.equal("1", facts.warnings, facts.text)
    assert.equal("false", facts.unwatched, facts.text)
  end)

  it("no busy loop: a resting listener is not asked again", function()
    assert.equal("0", facts.accepts_while_resting, facts.text)
  end)

  it("a file that cannot be opened meanwhile is 503", function()
    assert.same({ "200", "503" }, { facts.file_before, facts.file_meanwhile }, facts.text)
  end)

  it("open connections go on meanwhile", function()
    assert.equal("still here", facts.echo, facts.text)
  end)

  it("after a second, when descriptors are free again, accepting goes on", function()
    assert.equal("true", facts.freed, facts.text)
    assert.equal("true", facts.watched_again, facts.text)
    assert.equal("true", facts.took_more, facts.text)
    assert.equal("new", facts.new, facts.text)
  end)
end)
