--- What `ws:request()` tells, in the HTTP phase and of the request that opened a WebSocket.
-- @module spec.behaviour.request_spec

local engine = require("websockets.engine.loader").choose()
local testing = require "websockets.testing"

local function head_of(target, headers, method)
  return ("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n"):format(method or "GET", target, headers or "")
end

describe("ws:request", function()
  -- What a handler sees of one request.
  local function seen(bytes)
    local request
    local context = testing.context({ on_http = function(ws)
      request = ws:request()
      ws:respond(200)
    end })
    local peer = context:peer({ handshake = false })
    peer:send_bytes(bytes)
    assert.matches("^HTTP/1.1 200 ", peer:receive_bytes())
    return request
  end

  it("tells method, target, path and query", function()
    local request = seen(head_of("/a%20b/c?x=1&y=a+b&x=2&z", nil, "PUT"))
    assert.same({ "PUT", "/a%20b/c?x=1&y=a+b&x=2&z", "/a%20b/c" }, { request.method, request.uri, request.path })
    assert.same({ x = "1", y = "a b", z = "" }, request.query)
    assert.same({ { "x", "1" }, { "y", "a b" }, { "x", "2" }, { "z", "" } }, request.query_list)
    assert.same({}, request.params)
    assert.equal("127.0.0.1", request.ip)
  end)

  it("tells headers with their values untouched, names in lower case, repeats kept", function()
    local request = seen(head_of("/", "X-One:  A, b ;\"C\" \r\nx-ONE: d\r\nX-Empty:\r\n"))
    assert.equal('A, b ;"C", d', request.headers["x-one"])
    assert.equal("", request.headers["x-empty"])
    assert.same({ { "host", "127.0.0.1" }, { "x-one", 'A, b ;"C"' }, { "x-one", "d" }, { "x-empty", "" } },
      request.fields)
  end)

  it("tells cookies, the first of each name", function()
    local request = seen(head_of("/",
      "Cookie: a=1; b=\"x y\";c=;a=2;  d = e=f ; junk; =no\r\nCookie: g=h\r\n"))
    assert.same({ a = "1", b = '"x y"', c = "", d = "e=f", g = "h" }, request.cookies)
  end)

  it("takes names from the peer as they are, whatever they mean to Lua", function()
    local request = seen(head_of("/?__index=1&__gc=2", "__metatable: x\r\nCookie: __newindex=3\r\n"))
    assert.same({ __index = "1", __gc = "2" }, request.query)
    assert.equal("x", request.headers.__metatable)
    assert.same({ __newindex = "3" }, request.cookies)
  end)

  it("takes the host of an absolute target", function()
    local request = seen("GET http://example.com:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n")
    assert.same({ "/p?q", "/p", "example.com:81" }, { request.uri, request.path, request.headers.host })
  end)

  it("tells the parameters of the route, decoded", function()
    local request
    local context = testing.context({ routes = { ["/chat/:room/*"] = {
      on_http = function(ws)
        request = ws:request()
        ws:respond(200)
      end,
    } } })
    assert.equal(200, context:request("GET", "/chat/a%2Fb/x/y?q"))
    assert.same({ room = "a/b", ["*"] = "x/y" }, request.params)
  end)

  it("is the same while one request waits, another for the next, none in between", function()
    local first, second, connection
    local context = testing.context({ on_http = function(ws, uri)
      connection = ws
      if uri == "/one" then first = ws:request() else second = ws:request() end
    end })
    local peer = context:peer({ handshake = false })
    peer:send_bytes(head_of("/one"))
    assert.equal(first, connection:request())
    connection:respond(200)
    assert.is_nil(connection:request())
    peer:send_bytes(head_of("/two"))
    assert.same({ "/one", "/two" }, { first.uri, second.uri })
    connection:respond(204)
  end)

  it("keeps of the request that opened a WebSocket nothing but its head until it is asked for", function()
    local opened
    local context = testing.context({ routes = { ["/live/:id"] = { default = function(ws) opened = ws end } } })
    local peer = context:peer({ target = "/live/7?k=v", headers = { Cookie = "s=1" } })
    assert.equal("string", type(opened.head))
    local request = opened:request()
    assert.same({ "GET", "/live/7?k=v", "7", "v", "1" },
      { request.method, request.uri, request.params.id, request.query.k, request.cookies.s })
    assert.equal(request, opened:request())
    peer:disconnect()
    assert.equal(-1, opened:get_socket_fd())
    assert.equal(request, opened:request())
  end)

  it("tells Basic credentials", function()
    local token = engine.base64("joe:a:b")
    local request = seen(head_of("/", "Authorization: Basic " .. token .. "\r\n"))
    assert.same({ "joe", "a:b" }, { request:basic_credentials() })
    assert.is_nil(seen(head_of("/", "Authorization: Bearer " .. token .. "\r\n")):basic_credentials())
    assert.is_nil(seen(head_of("/")):basic_credentials())
  end)

  it("tells a bearer token", function()
    local request = seen(head_of("/", "Authorization: bEARER a.b-c_d~e+f/9==\r\n"))
    assert.equal("a.b-c_d~e+f/9==", request:bearer_token())
    assert.is_nil(request:basic_credentials())
    for _, headers in ipairs({
      "", "Authorization: Basic am9lOmE=\r\n", "Authorization: Bearer a b\r\n",
      "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    }) do
      assert.is_nil(seen(head_of("/", headers)):bearer_token())
    end
  end)

  it("is given to the function that judges origins", function()
    local request
    local context = testing.context({ default = function() end, origins = function(origin, given)
      request = given
      return origin == "http://good"
    end })
    assert(context:peer({ target = "/p?q=1", origin = "http://good" }))
    assert.same({ "/p", "1" }, { request.path, request.query.q })
  end)
end)
