local url = require("websockets.protocol.url")

describe("url.parse", function()
  local GOOD = {
    { "ws://example.com", "example.com", "name", 80, "example.com", "/" },
    { "WS://Example.COM:80/", "example.com", "name", 80, "example.com", "/" },
    { "ws://example.com:8080/chat", "example.com", "name", 8080, "example.com:8080", "/chat" },
    { "ws://example.com?a=b", "example.com", "name", 80, "example.com", "/?a=b" },
    { "ws://a_b-c.x/%20?q=/?:@", "a_b-c.x", "name", 80, "a_b-c.x", "/%20?q=/?:@" },
    { "ws://1password.com", "1password.com", "name", 80, "1password.com", "/" },
    { "ws://127.0.0.1:9", "127.0.0.1", "ipv4", 9, "127.0.0.1:9", "/" },
    { "ws://example.com:/", "example.com", "name", 80, "example.com", "/" },
    { "ws://example.com:?q", "example.com", "name", 80, "example.com", "/?q" },
    { "ws://127.0.0.1:", "127.0.0.1", "ipv4", 80, "127.0.0.1", "/" },
    { "ws://[::1]:/x", "::1", "ipv6", 80, "[::1]", "/x" },
    { "ws://[::1]:9/x", "::1", "ipv6", 9, "[::1]:9", "/x" },
    { "ws://[2001:db8::7]/", "2001:db8::7", "ipv6", 80, "[2001:db8::7]", "/" },
    { "ws://localhost:65535/", "localhost", "name", 65535, "localhost:65535", "/" },
    { "wss://example.com:443/", "example.com", "name", 443, "example.com", "/" },
    { "WSS://example.com:80/x", "example.com", "name", 80, "example.com:80", "/x" },
    { "wss://[::1]", "::1", "ipv6", 443, "[::1]", "/" },
    { "ws://user:pw@example.com:8080/x@y", "example.com", "name", 8080, "example.com:8080", "/x@y" },
  }

  for _, case in ipairs(GOOD) do
    it("reads " .. case[1], function()
      local made = assert(url.parse(case[1]))
      assert.same({ case[2], case[3], case[4], case[5], case[6] },
        { made.host, made.kind, made.port, made.authority, made.target })
    end)
  end

  local BAD = {
    "", "ws:", "ws://", "ws:///x", "http://a/", "://a", "a:80", "ws://a b/", "ws://a/ b", "ws://a/\r\nX: y",
    "ws://a/#f", "ws://a#", "wss://a/#f", "wss:///x", "ws://:/", "ws://:", "ws://a::/", "ws://a:0/",
    "ws://a:65536/", "ws://a:080000/",
    "ws://a:8x/", "ws://a:-1/", "ws://[::1/", "ws://::1/", "ws://[::1]x/", "ws://[1.2.3.4]/", "ws://[fe80::1%25lo]/",
    "ws://1.2.3/", "ws://1.2.3.256/", "ws://010.0.0.1/", "ws://[1::2::3]/", "ws://[12345::]/", "ws://[::1:]/",
    "ws://127.1/", "ws://2130706433/", "ws://a..b/", "ws://.a/", "ws://a%2e/",
    "ws://a/%", "ws://a/%2", "ws://a/%zz", "ws://a/<", "ws://a/\195\164", "ws://\195\164/", "ws://a/\0",
    "ws://" .. ("a"):rep(254) .. "/",
  }

  for _, text in ipairs(BAD) do
    it(("refuses %q"):format(text:sub(1, 30)), function()
      local made, expected = url.parse(text)
      assert.is_nil(made)
      assert.is_string(expected)
    end)
  end

  for text, expected in pairs({
    ["ws+unix:/run/app.sock"] = { "/run/app.sock", "/", false },
    ["ws+unix:/run/app.sock:/path?query=1:2"] = { "/run/app.sock", "/path?query=1:2", false },
    ["WS+UNIX:./app.sock:?query"] = { "./app.sock", "/?query", false },
    ["ws+unix:app.sock:"] = { "app.sock", "/", false },
    ["ws+unix:///run/app.sock"] = { "///run/app.sock", "/", false },
    ["ws+unix:/a%20%3A%25:/"] = { "/a :%", "/", false },
    ["wss+unix:/run/app.sock:/x"] = { "/run/app.sock", "/x", true },
    ["ws+unix:" .. ("x"):rep(107)] = { ("x"):rep(107), "/", false },
  }) do
    it("reads the path of a unix socket: " .. text:sub(1, 40), function()
      local made = assert(url.parse(text))
      assert.same(expected, { made.unix, made.target, made.is_secure })
      assert.same({ "localhost", "name", "localhost" }, { made.host, made.kind, made.authority })
      assert.equal(made.unix, url.label(made))
    end)
  end

  for _, text in ipairs({
    "ws+unix:", "ws+unix::/", "ws+unix:/a?b", "ws+unix:/a#b", "ws+unix:/a b", "ws+unix:/a%", "ws+unix:/a%00",
    "ws+unix:/a:/x#y", "ws+unix:/a:x y", "ws+unix:\0a", "ws+unix:" .. ("x"):rep(108), "http+unix:/a", "ws+unix/a",
  }) do
    it(("refuses the path of a unix socket: %q"):format(text:sub(1, 30)), function()
      local made, expected = url.parse(text)
      assert.is_nil(made)
      assert.is_string(expected)
    end)
  end

  it("names a place by its authority", function()
    assert.equal("example.com:8080", url.label(assert(url.parse("ws://example.com:8080/x"))))
  end)

  it("tells wss", function()
    assert.is_true(url.parse("wss://a/").is_secure)
    assert.is_false(url.parse("ws://a/").is_secure)
  end)

  for text, expected in pairs({
    ["ws://joe:secret@a/"] = { "joe", "secret" }, ["ws://joe@a/"] = { "joe", "" }, ["ws://joe:@a/"] = { "joe", "" },
    ["ws://:secret@a/"] = { "", "secret" }, ["ws://@a/"] = {}, ["ws://a/joe@b"] = {},
    ["ws://j%6Fe:a%3Ab:c%40d@a/"] = { "joe", "a:b:c@d" }, ["ws://%C3%A4:%C3%B6@a/"] = { "\195\164", "\195\182" },
    ["ws://a!$&'()*+,;=-._~:x@a/"] = { "a!$&'()*+,;=-._~", "x" },
  }) do
    it("reads user information: " .. text, function()
      local made = assert(url.parse(text))
      assert.same(expected, { made.user, made.password })
      assert.equal("a", made.authority)
    end)
  end

  for _, text in ipairs({ "j%3Ae:x", "joe:%", "joe:%0", "joe:%00", "joe:%0d%0a", "j%7Fe", "a@b:c", "joe:[", "j e:x",
    "j\195\164:x" }) do
    it(("refuses user information: %q"):format(text), function()
      local made, expected = url.parse("ws://" .. text .. "@a/")
      assert.is_nil(made)
      assert.matches("user", expected)
    end)
  end
end)

describe("url.without_password", function()
  it("leaves a URL without what could be a secret", function()
    for text, expected in pairs({
      ["ws://a/x"] = "ws://a/x", ["ws://joe:secret@a/x"] = "ws://***@a/x", ["ws://joe:se/cr?e#t@a/x"] = "ws://***@a/x",
      ["ws:/joe:secret@a"] = "ws:/***@a", ["http://a:b@c@d"] = "http://***@d", [""] = "",
      ["joe:secret@a:x"] = "***@a:x",
    }) do
      assert.equal(expected, url.without_password(text))
    end
  end)
end)
