--- Routes of a context: which handler serves what, with which options, and which connections hear a broadcast.
-- @module spec.behaviour.routes_spec

local client = require "spec.support.client"
local server = require "spec.support.server"

local function nothing() end

local function say(text)
  return function(ws) ws:respond(200, nil, text) end
end

local function get(s, target, method)
  local c = client.connect(s)
  c:send(client.request(target, nil, method))
  local status, _, body = c:response(method)
  return status, body
end

local function upgrade(s, given)
  local c = client.connect(s)
  c:send(client.upgrade(given))
  return (c:read_head())
end

describe("routes", function()
  after_each(server.stop_all)

  it("serve HTTP, the most specific first; other paths go to the context", function()
    local s = server.start({ on_http = say("context"), routes = {
      ["/"] = { on_http = say("root") }, ["/:name"] = { on_http = say("name") },
      ["/about"] = { on_http = say("about") }, ["/files/*"] = { on_http = say("files") },
    } })
    for target, expected in pairs({ ["/"] = "root", ["/about"] = "about", ["/about?x=/files/"] = "about",
      ["/x"] = "name", ["/files/a/b"] = "files", ["/a/b"] = "context", ["/about/"] = "context" }) do
      assert.same({ target, 200, expected }, { target, get(s, target) })
    end
    assert.same({ 200, "context" }, { get(s, "*", "OPTIONS") })
  end)

  it("without a handler in the context, other paths are 404 for pages and WebSockets", function()
    local s = server.start({ routes = { ["/a"] = { default = nothing }, ["/b"] = { on_http = say("b") } } })
    assert.equal(404, (get(s, "/x")))
    assert.equal(404, (get(s, "/a")))
    assert.equal(404, upgrade(s, { target = "/x" }))
    assert.equal(404, upgrade(s, { target = "/b" }))
    assert.equal(101, upgrade(s, { target = "/a" }))
  end)

  it("what a route leaves out is as the context says; protocols and default go together", function()
    local s = server.start({ protocols = { chat = nothing }, on_http = say("context"), routes = {
      ["/page"] = { on_http = say("page") }, ["/live"] = { protocols = { live = nothing } },
      ["/any"] = { default = nothing },
    } })
    assert.equal(101, upgrade(s, { target = "/page", protocol = "chat" }))
    assert.equal(400, upgrade(s, { target = "/live", protocol = "chat" }))
    assert.equal(101, upgrade(s, { target = "/live", protocol = "chat, live" }))
    local c = client.open(s, { target = "/any", protocol = "chat" })
    assert.is_nil(c.headers["sec-websocket-protocol"])
    assert.same({ 200, "context" }, { get(s, "/live") })
  end)

  it("have a hook and origins of their own, or those of the context", function()
    local s = server.start({ default = nothing, on_handshake = function() return false, 401 end, routes = {
      ["/open"] = { on_handshake = function() return true end, origins = "*" },
      ["/closed"] = { default = nothing },
    } })
    assert.equal(401, upgrade(s, { target = "/" }))
    assert.equal(401, upgrade(s, { target = "/closed" }))
    assert.equal(403, upgrade(s, { target = "/closed", headers = "Origin: http://evil.example\r\n" }))
    assert.equal(101, upgrade(s, { target = "/open", headers = "Origin: http://evil.example\r\n" }))
  end)

  it("have limits of their own, for WebSockets and for bodies", function()
    local s = server.start({ default = server.echo, on_http = say("ok"), max_body_bytes = 5, routes = {
      ["/small"] = { max_message_bytes = 4 }, ["/large"] = { max_body_bytes = 100 },
    } })
    local small, other = client.open(s, { target = "/small" }), client.open(s, { target = "/other" })
    small:text("12345")
    assert.equal(1009, (small:close_code()))
    other:text("12345")
    assert.same({ 1, "12345" }, { other:message() })
    -- One connection, so that what one route says must end with its request.
    local c = client.connect(s)
    for _, case in ipairs({ { "/large", 200 }, { "/large", 200 }, { "/other", 413 } }) do
      c:send(client.request(case[1], "Content-Length: 10\r\n", "POST", "0123456789"))
      assert.same({ case[1], case[2] }, { case[1], (c:response()) })
    end
  end)

  it("have a queue limit and a policy of their own", function()
    local opened
    local s = server.start({ default = nothing, routes = { ["/q"] = {
      default = function(ws) opened = ws end, max_buffered_bytes = 1000, high_water_bytes = 100,
      slow_consumer = "drop_new",
    } } })
    client.open(s, { target = "/q" })
    local why
    s:pump(function()
      local result, reason = opened:write(("x"):rep(60000))
      why = result == -1 and reason
      return why
    end)
    assert.equal("full", why)
  end)

  it("a broadcast reaches all with that subprotocol, on any route", function()
    local s = server.start({ protocols = { chat = nothing }, routes = {
      ["/a"] = { protocols = { chat = nothing, news = nothing } }, ["/b/:x"] = { protocols = { chat = nothing } },
    } })
    local clients = {}
    for _, target in ipairs({ "/", "/a", "/b/1" }) do
      clients[#clients + 1] = client.open(s, { target = target, protocol = "chat" })
    end
    local news = client.open(s, { target = "/a", protocol = "news" })
    s.context:broadcast("chat", "to all")
    s.context:broadcast("news", "news only")
    for _, c in ipairs(clients) do assert.same({ 1, "to all" }, { c:message() }) end
    assert.same({ 1, "news only" }, { news:message() })
    assert.has_error(function() s.context:broadcast("none", "x") end,
      'websocket unknown protocol: "none"')
  end)

  it("answer 400 to a path that is badly encoded or has a way up, before any handler is called", function()
    local s = server.start({
      on_http = say("context"), default = nothing, routes = { ["/a"] = { on_http = say("a") } },
    })
    for _, target in ipairs({ "/%", "/%zz", "/a%00", "/../a", "/x/%2e%2e/a", "/./a" }) do
      assert.equal(400, (get(s, target)))
      assert.equal(400, upgrade(s, { target = target }))
    end
  end)
end)
