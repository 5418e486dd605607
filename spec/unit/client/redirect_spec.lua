--- Where redirects lead, and which of them are followed.
-- @module spec.unit.client.redirect_spec

local answer = require "websockets.http.answer"
local redirect = require "websockets.client.redirect"
local url = require "websockets.protocol.url"

local function text_of(place)
  if not place then return "nowhere" end
  return ("%s://%s%s"):format(place.is_secure and "wss" or "ws", place.authority, place.target)
end

local function resolve(base, location)
  return text_of(redirect.resolve(assert(url.parse(base)), location))
end

describe("a Location", function()
  -- RFC 3986, sections 5.4.1 and 5.4.2, but for what has another scheme.
  local STANDARD = {
    ["g"] = "/b/c/g", ["./g"] = "/b/c/g",
    ["g/"] = "/b/c/g/", ["/g"] = "/g", ["?y"] = "/b/c/d;p?y", ["g?y"] = "/b/c/g?y",
    ["#s"] = "/b/c/d;p?q", ["g#s"] = "/b/c/g", ["g?y#s"] = "/b/c/g?y", [";x"] = "/b/c/;x", ["g;x"] = "/b/c/g;x",
    ["g;x?y#s"] = "/b/c/g;x?y", [""] = "/b/c/d;p?q", ["."] = "/b/c/", ["./"] = "/b/c/", [".."] = "/b/", ["../"] = "/b/",
    ["../g"] = "/b/g", ["../.."] = "/", ["../../"] = "/", ["../../g"] = "/g", ["../../../g"] = "/g",
    ["../../../../g"] = "/g", ["/./g"] = "/g", ["/../g"] = "/g", ["g."] = "/b/c/g.", [".g"] = "/b/c/.g",
    ["g.."] = "/b/c/g..", ["..g"] = "/b/c/..g", ["./../g"] = "/b/g", ["./g/."] = "/b/c/g/", ["g/./h"] = "/b/c/g/h",
    ["g/../h"] = "/b/c/h", ["g;x=1/./y"] = "/b/c/g;x=1/y", ["g;x=1/../y"] = "/b/c/y", ["g?y/./x"] = "/b/c/g?y/./x",
    ["g?y/../x"] = "/b/c/g?y/../x", ["g#s/../x"] = "/b/c/g", ["//g"] = "//g/", ["/a//b"] = "/a//b",
  }

  it("is resolved as the standard says", function()
    for location, expected in pairs(STANDARD) do
      if expected:sub(1, 2) ~= "//" then expected = "//a" .. expected end
      assert.equal("ws:" .. expected, resolve("ws://a/b/c/d;p?q", location), location)
    end
  end)

  it("may be absolute, with a scheme of HTTP or of WebSockets", function()
    for location, expected in pairs({
      ["http://b/x?y#z"] = "ws://b/x?y", ["HTTPS://B"] = "wss://b/",
      ["ws://b:80"] = "ws://b/", ["wss://b:1/"] = "wss://b:1/",
      ["http://a:8080/../x"] = "ws://a:8080/x", ["https://[::1]:443?q"] = "wss://[::1]/?q", ["//b:9/x"] = "ws://b:9/x",
    }) do
      assert.equal(expected, resolve("ws://a/b/c", location), location)
    end
    assert.equal("wss://b/x", resolve("wss://a/", "//b/x"))
  end)

  it("has what URLs may not have encoded", function()
    assert.equal("ws://a/x%20y%C3%A4%22%3C%3E%5C%5E%60%7B%7C%7D", resolve("ws://a/", "x y\195\164\"<>\\^`{|}"))
    assert.equal("ws://a/x?y%5B1%5D=%20", resolve("ws://a/", "x?y[1]= "))
    assert.equal("ws://b/x?y%5B1%5D=%20", resolve("ws://a/", "http://b/x?y[1]= "))
    assert.equal("ws://a/%41%2f", resolve("ws://a/", "%41%2f"))
  end)

  it("leads nowhere where it is no URL of a server", function()
    for _, location in ipairs({ "ftp://b/", "mailto:x", "http:", "http:/b/", "http:b", "http://", "http:///x",
      "http://b:0/",
      "http://b c/", "http://b:x/", "//", "javascript:alert(1)", "http://1.2.3.256/", "data:,x", "/%", "x%z0",
      "http://b/%", "http://[b]/" }) do
      assert.equal("nowhere", resolve("ws://a/", location), location)
    end
    assert.equal("nowhere", resolve("ws://a/", "ws+unix:/x"))
  end)

  it("leads to what can be asked for, whatever stands in it", function()
    local PIECES = { "http", "ws", "s", ":", "/", "//", "..", ".", "?", "#", "@", "[", "]", "::1", "a", "b.c", "80",
      "%", "%41", " ", "\t", "\0", "\r\nX: y", "\255", "\\", "joe:x" }
    local base = assert(url.parse("ws://joe:x@a/b/c?d"))
    math.randomseed(16)
    local found = 0
    for _ = 1, 3000 do
      local pieces = {}
      for i = 1, math.random(8) do pieces[i] = PIECES[math.random(#PIECES)] end
      local location = table.concat(pieces)
      local made = redirect.resolve(base, location)
      if made then
        found = found + 1
        assert.matches("^/", made.target)
        assert.is_nil(made.target:find("[^!-~]"), location)
        assert.is_true(url.is_target(made.target), location)
        assert.same({ made.host, made.kind }, { url.host(made.name) })
        if made.host ~= "a" then assert.is_nil(made.user) end
        assert.is_nil((made.target .. "/"):find("/%.%.?/") and not made.target:find("?", 1, true) or nil, location)
      end
    end
    assert.is_true(found > 300, found)
  end)

  it("stays on a unix socket, or leads nowhere", function()
    local place = assert(url.parse("ws+unix:/run/s:/a/b"))
    for location, target in pairs({
      c = "/a/c", ["/c?d"] = "/c?d", ["http://localhost/c"] = "/c", ["//localhost"] = "/",
    }) do
      local made = redirect.resolve(place, location)
      assert.same({ "/run/s", target }, { made.unix, made.target })
    end
    for _, location in ipairs({ "http://a/", "https://localhost/", "http://localhost:81/", "ws+unix:/run/other:/" }) do
      assert.is_nil(redirect.resolve(place, location))
    end
    url.rename(place, "chat.example")
    assert.equal("/run/s", redirect.resolve(place, "ws://chat.example/").unix)
    assert.is_nil(redirect.resolve(place, "http://localhost/c"))
    local read = answer.read("HTTP/1.1 302 x\r\nLocation: /c\r\n\r\n")
    assert.is_true(select(2, redirect.follow(place, read, 0, 5)))
  end)

  it("keeps user information within the origin, and takes none", function()
    local base = assert(url.parse("ws://joe:x@a:80/b"))
    base.virtual_host = {}
    for _, location in ipairs({ "c", "/c", "http://a/c", "//A:80/c", "ws://ann:y@a/c" }) do
      local made = redirect.resolve(base, location)
      assert.same({ "joe", "x", "/c", base.virtual_host }, { made.user, made.password, made.target, made.virtual_host })
    end
    for _, location in ipairs({ "http://b/c", "https://a/c", "http://a:81/c", "//ann:y@b/c" }) do
      local made = redirect.resolve(base, location)
      assert.same({}, { made.user, made.password, made.virtual_host })
    end
    assert.equal("/b", base.target)
  end)
end)

describe("a redirect", function()
  local function follow(base, head, count, max_count)
    local read = answer.read(head .. "\r\n\r\n")
    local made, second = redirect.follow(assert(url.parse(base)), read, count or 0, max_count or 5)
    return made and text_of(made), second
  end

  it("is an answer of five statuses with a Location", function()
    for _, status in ipairs({ 301, 302, 303, 307, 308 }) do
      local head = ("HTTP/1.1 %d x\r\nLocation: /b"):format(status)
      assert.same({ "ws://a/b", true }, { follow("ws://a", head) })
    end
    for _, head in ipairs({ "HTTP/1.1 302 x", "HTTP/1.1 200 x\r\nLocation: /b", "HTTP/1.1 300 x\r\nLocation: /b",
      "HTTP/1.1 304 x\r\nLocation: /b", "HTTP/1.1 401 x\r\nLocation: /b", "HTTP/1.1 101 x\r\nLocation: /b" }) do
      assert.same({}, { follow("ws://a", head) })
    end
  end)

  it("tells whether it stays within the origin", function()
    for location, is_same in pairs({ ["http://a/b"] = true, ["http://a:80/b"] = true, ["https://a/b"] = false,
      ["http://b/"] = false, ["http://a:81/"] = false, ["http://a.b/"] = false }) do
      assert.equal(is_same, select(2, follow("ws://a", "HTTP/1.1 302 x\r\nLocation: " .. location)))
    end
  end)

  it("is followed so often and no more", function()
    local head = "HTTP/1.1 302 x\r\nLocation: /b"
    assert.equal("ws://a/b", (follow("ws://a", head, 4, 5)))
    assert.same({ nil, "more than 5 redirects" }, { follow("ws://a", head, 5, 5) })
    assert.same({}, { follow("ws://a", head, 0, 0) })
  end)

  it("is not followed from wss to ws, to two places, or to no server", function()
    local function why(base, location) return select(2, follow(base, "HTTP/1.1 302 x\r\nLocation: " .. location)) end
    assert.equal("it leads from wss to ws, to a:81", why("wss://a", "http://a:81/b"))
    assert.equal("it leads from wss to ws, to a", why("wss://a", "ws://a/"))
    assert.equal("it has two Locations", why("ws://a", "/b\r\nLocation: /c"))
    assert.is_true(why("ws://a", "/b\r\nLocation: /b"))
    assert.equal("its Location leads to no WebSocket server", why("ws://a", "mailto:x"))
    assert.equal("wss://a/b", (follow("wss://a", "HTTP/1.1 302 x\r\nLocation: /b")))
  end)
end)

describe("what another server does not get", function()
  it("is credentials, cookies and the client certificate", function()
    local settings = {
      headers = { Authorization = "a", cookie = "b", ["PROXY-authorization"] = "c", ["X-Key"] = "d" }, timeout = 5,
      tls = { certificate = "a", key = "b", password = "c", cafile = "d" },
    }
    local made = redirect.without_secrets(settings)
    assert.same({ { ["X-Key"] = "d" }, { cafile = "d" }, 5 }, { made.headers, made.tls, made.timeout })
    assert.equal("a", settings.headers.Authorization)
    made = redirect.without_secrets({ headers = false, tls = false })
    assert.same({ false, false }, { made.headers, made.tls })
  end)
end)
