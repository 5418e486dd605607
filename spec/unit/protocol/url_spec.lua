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
    "ws://a/#f", "ws://a#", "ws://user@a/", "ws://user:pass@a/", "ws://:/", "ws://:", "ws://a::/", "ws://a:0/",
    "ws://a:65536/", "ws://a:080000/",
    "ws://a:8x/", "ws://a:-1/", "ws://[::1/", "ws://::1/", "ws://[::1]x/", "ws://[1.2.3.4]/", "ws://[fe80::1%25lo]/",
    "ws://1.2.3/", "ws://1.2.3.256/", "ws://127.1/", "ws://2130706433/", "ws://a..b/", "ws://.a/", "ws://a%2e/",
    "ws://a/%", "ws://a/%2", "ws://a/%zz", "ws://a/<", "ws://a/\195\164", "ws://\195\164/", "ws://a/\0",
    "ws://" .. ("a"):rep(254) .. "/",
  }

  for _, text in ipairs(BAD) do
    it(("refuses %q"):format(text:sub(1, 30)), function()
      local made, expected, is_secure = url.parse(text)
      assert.is_nil(made)
      assert.is_string(expected)
      assert.is_nil(is_secure)
    end)
  end

  it("tells wss", function()
    assert.is_true(select(3, url.parse("wss://a/")))
  end)
end)
