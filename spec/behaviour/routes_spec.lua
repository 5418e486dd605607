--- Routes of a context: which handler serves what, with which options, and which connections hear a broadcast.
-- @module spec.behaviour.routes_spec

local testing = require "websockets.testing"

local function nothing() end

local function echo(ws)
  ws:on_receive(function(_, data) ws:write(data) end)
end

local function say(text)
  return function(ws) ws:respond(200, nil, text) end
end

local function get(context, target, method)
  local status, _, body = context:request(method or "GET", target)
  return status, body
end

local function upgrade(context, given)
  local peer, _, _, status = context:peer(given)
  return peer and peer.status or status
end

describe("routes", function()
  it("serve HTTP, the most specific first; other paths go to the context", function()
    local context = testing.context({ on_http = say("context"), routes = {
      ["/"] = { on_http = say("root") }, ["/:name"] = { on_http = say("name") },
      ["/about"] = { on_http = say("about") }, ["/files/*"] = { on_http = say("files") },
    } })
    for target, expected in pairs({ ["/"] = "root", ["/about"] = "about", ["/about?x=/files/"] = "about",
      ["/x"] = "name", ["/files/a/b"] = "files", ["/a/b"] = "context", ["/about/"] = "context" }) do
      assert.same({ target, 200, expected }, { target, get(context, target) })
    end
    assert.same({ 200, "context" }, { get(context, "*", "OPTIONS") })
  end)

  it("without a handler in the context, other paths are 404 for pages and WebSockets", function()
    local context = testing.context({ routes = { ["/a"] = { default = nothing }, ["/b"] = { on_http = say("b") } } })
    assert.equal(404, (get(context, "/x")))
    assert.equal(404, (get(context, "/a")))
    assert.equal(404, upgrade(context, { target = "/x" }))
    assert.equal(404, upgrade(context, { target = "/b" }))
    assert.equal(101, upgrade(context, { target = "/a" }))
  end)

  it("what a route leaves out is as the context says; protocols and default go together", function()
    local context = testing.context({ protocols = { chat = nothing }, on_http = say("context"), routes = {
      ["/page"] = { on_http = say("page") }, ["/live"] = { protocols = { live = nothing } },
      ["/any"] = { default = nothing },
    } })
    assert.equal(101, upgrade(context, { target = "/page", protocols = { "chat" } }))
    assert.equal(400, upgrade(context, { target = "/live", protocols = { "chat" } }))
    assert.equal(101, upgrade(context, { target = "/live", protocols = { "chat", "live" } }))
    assert.is_nil(context:peer({ target = "/any", protocols = { "chat" } }).subprotocol)
    assert.same({ 200, "context" }, { get(context, "/live") })
  end)

  it("have a hook and origins of their own, or those of the context", function()
    local context = testing.context({ default = nothing, on_handshake = function() return false, 401 end, routes = {
      ["/open"] = { on_handshake = function() return true end, origins = "*" },
      ["/closed"] = { default = nothing },
    } })
    assert.equal(401, upgrade(context, { target = "/" }))
    assert.equal(401, upgrade(context, { target = "/closed" }))
    assert.equal(403, upgrade(context, { target = "/closed", origin = "http://evil.example" }))
    assert.equal(101, upgrade(context, { target = "/open", origin = "http://evil.example" }))
  end)

  it("have limits of their own, for WebSockets and for bodies", function()
    local context = testing.context({ default = echo, on_http = say("ok"), max_body_bytes = 5, routes = {
      ["/small"] = { max_message_bytes = 4 }, ["/large"] = { max_body_bytes = 100 },
    } })
    local small, other = context:peer({ target = "/small" }), context:peer({ target = "/other" })
    small:send("12345")
    assert.equal(1009, (select(3, small:receive())))
    other:send("12345")
    assert.equal("12345", other:receive())
    -- One connection, so that what one route says must end with its request.
    local c = context:peer({ handshake = false })
    for _, case in ipairs({ { "/large", 200 }, { "/large", 200 }, { "/other", 413 } }) do
      c:send_bytes(("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789"):format(case[1]))
      assert.matches("^HTTP/1.1 " .. case[2] .. " ", c:receive_bytes())
    end
  end)

  it("have a queue limit and a policy of their own", function()
    local opened
    local context = testing.context({ default = nothing, routes = { ["/q"] = {
      default = function(ws) opened = ws end, max_buffered_bytes = 1000, high_water_bytes = 100,
      slow_consumer = "drop_new",
    } } })
    context:peer({ target = "/q", capacity = 100 }):pause()
    assert.equal(0, opened:write(("x"):rep(1000)))
    assert.equal(0, opened:write(("x"):rep(1000)))
    assert.same({ -1, "full" }, { opened:write(("x"):rep(1000)) })
  end)

  it("a broadcast reaches all with that subprotocol, on any route", function()
    local context = testing.context({ protocols = { chat = nothing }, routes = {
      ["/a"] = { protocols = { chat = nothing, news = nothing } }, ["/b/:x"] = { protocols = { chat = nothing } },
    } })
    local clients = {}
    for _, target in ipairs({ "/", "/a", "/b/1" }) do
      clients[#clients + 1] = context:peer({ target = target, protocols = { "chat" } })
    end
    local news = context:peer({ target = "/a", protocols = { "news" } })
    context:broadcast("chat", "to all")
    context:broadcast("news", "news only")
    for _, c in ipairs(clients) do assert.same({ "to all" }, c:receive_all()) end
    assert.same({ "news only" }, news:receive_all())
    assert.has_error(function() context:broadcast("none", "x") end,
      'websocket unknown protocol: "none"')
  end)

  it("answer 400 to a path that is badly encoded or has a way up, before any handler is called", function()
    local context = testing.context({
      on_http = say("context"), default = nothing, routes = { ["/a"] = { on_http = say("a") } },
    })
    for _, target in ipairs({ "/%", "/%zz", "/a%00", "/../a", "/x/%2e%2e/a", "/./a" }) do
      assert.equal(400, (get(context, target)))
      assert.equal(400, upgrade(context, { target = target }))
    end
  end)
end)
