--- Mistakes of a program that uses the library: each error says in a sentence what to change, at the caller's line.
-- @module spec.behaviour.mistakes_spec
local child = require("spec.support.child")
local client = require("spec.support.client")
local server = require("spec.support.server")

describe("a dot in place of the colon", function()
  after_each(server.stop_all)

  -- The error of a call, which names the line of its caller.
  local function error_of(call)
    local is_good, message = pcall(call)
    assert.is_false(is_good)
    assert.matches("mistakes_spec.lua:%d+: ", message)
    return message
  end

  it("is named by the methods of a context", function()
    local context = server.start({ protocols = { a = server.echo } }).context
    for name, call in pairs({
      service = function() context.service() end, service_fd = function() context.service_fd(5) end,
      run = function() context.run() end, stop = function() context.stop() end,
      timeout = function() context.timeout() end, get_fd = function() context.get_fd() end,
      get_port = function() context.get_port() end, destroy = function() context.destroy() end,
      canonical_hostname = function() context.canonical_hostname() end, adopt = function() context.adopt({}) end,
      connect = function() context.connect("ws://127.0.0.1/") end,
      broadcast = function() context.broadcast("a", "data") end,
      publish = function() context.publish("a", "data") end, subscribers = function() context.subscribers("a") end,
    }) do
      assert.matches(("context:%s must be called with a colon, on a context (got "):format(name), error_of(call), 1,
        true)
    end
    assert.matches("(got 100)", error_of(function() context.service(100) end), 1, true)
    assert.matches('(got "ws://127.0.0.1/")', error_of(function() context.connect("ws://127.0.0.1/") end), 1, true)
  end)

  it("is named by the methods of a connection", function()
    local handler, log = server.recorder()
    client.open(server.start({ protocols = { a = handler } }), "a")
    local ws = log.ws[1]
    for name, call in pairs({
      write = function() ws.write("x") end, ping = function() ws.ping() end,
      broadcast = function() ws.broadcast("x") end,
      subscribe = function() ws.subscribe("x") end, unsubscribe = function() ws.unsubscribe("x") end,
      publish = function() ws.publish("x", "y") end, topics = function() ws.topics() end,
      close = function() ws.close() end, on_receive = function() ws.on_receive(print) end,
      on_closed = function() ws.on_closed(print) end, on_open = function() ws.on_open(print) end,
      on_drain = function() ws.on_drain(print) end, on_pong = function() ws.on_pong(print) end,
      response = function() ws.response() end,
      on_broadcast = function() ws.on_broadcast(print) end,
    }) do
      assert.matches(("websocket:%s must be called with a colon, on a websocket (got "):format(name), error_of(call), 1,
        true)
    end
  end)

  it("is named by the methods of a request", function()
    local request
    local s = server.start({ on_http = function(ws) request = ws:request() end })
    client.connect(s):send(client.request("/"))
    s:pump(function() return request end, "a request")
    for name, call in pairs({
      accept = function() request.accept() end, refuse = function() request.refuse(403) end,
      basic_credentials = function() request.basic_credentials() end,
      bearer_token = function() request.bearer_token() end,
    }) do
      assert.matches(("request:%s must be called with a colon"):format(name), error_of(call), 1, true)
    end
  end)
end)

describe("a missing LuaSocket", function()
  -- Where only this library and its accelerator can be found.
  local ENVIRONMENT = ("env LUA_PATH='lua/?.lua' LUA_CPATH=%s %s -e "):format(
    child.quote(package.cpath:match("[^;]*native[^;]*") or "nowhere/?.so"), child.quote(child.this_lua()))
  local CODE = [[io.write(select(2, pcall(require("websockets").context, { port = "any", interf = "127.0.0.1" })))]]

  it("is told in one sentence, without a list of paths", function()
    assert.equal("websockets needs LuaSocket, which is not installed (luarocks install luasocket), "
      .. "or luv (luarocks install luv)",
      child.run(ENVIRONMENT .. child.quote(CODE)))
  end)

  it("that cannot be loaded is told by the first line of its error", function()
    local broken = [[package.preload.socket = function() error("broken\nmore", 0) end ]]
    assert.equal("websockets needs LuaSocket, which cannot be loaded: broken",
      child.run(ENVIRONMENT .. child.quote(broken .. CODE)))
  end)
end)
