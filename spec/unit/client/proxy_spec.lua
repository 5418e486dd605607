--- Which proxy leads to a server.
-- @module spec.unit.client.proxy_spec

local proxy = require "websockets.client.proxy"
local url = require "websockets.protocol.url"

describe("the URL of a proxy", function()
  for text, expected in pairs({
    ["http://proxy.example:3128"] = { "http", "proxy.example", 3128 },
    ["HTTP://Proxy.example/"] = { "http", "proxy.example", 80 },
    ["proxy.example:3128"] = { "http", "proxy.example", 3128 },
    ["http://[::1]:8080"] = { "http", "::1", 8080 },
    ["http://joe:a%3Ab@10.0.0.1:1"] = { "http", "10.0.0.1", 1, "joe", "a:b" },
    ["joe:x@proxy"] = { "http", "proxy", 80, "joe", "x" },
    ["socks5://127.0.0.1"] = { "socks5", "127.0.0.1", 1080 },
    ["socks5h://joe:@proxy:9050"] = { "socks5", "proxy", 9050, "joe", "" },
  }) do
    it("is read: " .. text, function()
      local made = assert(proxy.parse(text))
      assert.same(expected, { made.protocol, made.host, made.port, made.user, made.password })
    end)
  end

  for _, text in ipairs({
    "", "http://", "https://proxy", "socks4://proxy", "socks://proxy", "ws://proxy", "http://proxy:0", "http://a b",
    "http://proxy/path", "http://proxy?x", "http://proxy#x", "socks5://:x@proxy", "http://j%3Ae:x@proxy",
    "http://joe:%0d%0a@proxy", "socks5://" .. ("a"):rep(256) .. "@proxy", "socks5://a:" .. ("b"):rep(256) .. "@proxy",
  }) do
    it(("is refused: %q"):format(text:sub(1, 30)), function()
      local made, expected = proxy.parse(text)
      assert.is_nil(made)
      assert.is_string(expected)
    end)
  end
end)

describe("a proxy", function()
  it("is named in messages without its user", function()
    assert.equal("the proxy [::1]:1080", proxy.parse("socks5://joe:x@[::1]").authority)
  end)
end)

describe("which proxy leads to a server", function()
  local asked

  local function choose(target, variables, given)
    asked = {}
    return proxy.choose(assert(url.parse(target)), given, function(name)
      asked[name] = true
      return variables[name]
    end)
  end

  local function host_of(target, variables)
    local made, message = choose(target, variables)
    assert.is_nil(message)
    return made and made.host
  end

  it("is what the option says, whatever the environment says", function()
    local variables = { http_proxy = "a", all_proxy = "b", no_proxy = "*" }
    assert.is_false(choose("ws://x/", variables, false))
    local given = {}
    assert.equal(given, choose("ws://x/", variables, given))
    assert.same({}, asked)
  end)

  it("is none for a unix socket, and none without variables", function()
    assert.is_false(proxy.choose({ unix = "/x" }, nil, function() return "http://a" end))
    assert.is_false(choose("ws://x/", {}))
    assert.is_false(choose("ws://x/", { http_proxy = "", all_proxy = " " }))
  end)

  it("depends on the scheme", function()
    local variables = { http_proxy = "a", https_proxy = "b" }
    assert.equal("a", host_of("ws://x/", variables))
    assert.equal("b", host_of("wss://x/", variables))
    assert.is_false(host_of("wss://x/", { http_proxy = "a" }))
    assert.is_false(host_of("ws://x/", { https_proxy = "a", HTTPS_PROXY = "a" }))
  end)

  it("is that of all_proxy where the scheme has none", function()
    assert.equal("b", host_of("ws://x/", { all_proxy = "b" }))
    assert.equal("b", host_of("wss://x/", { ALL_PROXY = "b", http_proxy = "a" }))
    assert.equal("a", host_of("ws://x/", { all_proxy = "b", http_proxy = " a " }))
  end)

  it("may stand in upper case, but not in HTTP_PROXY, which a CGI client sets", function()
    assert.equal("b", host_of("wss://x/", { HTTPS_PROXY = "b" }))
    assert.equal("b", host_of("wss://x/", { HTTPS_PROXY = "a", https_proxy = "b" }))
    assert.is_false(host_of("ws://x/", { HTTP_PROXY = "a" }))
    assert.is_nil(asked.HTTP_PROXY)
  end)

  it("applies to localhost too, as with curl", function()
    for _, host in ipairs({ "localhost", "127.0.0.1", "[::1]" }) do
      assert.equal("a", host_of("ws://" .. host, { http_proxy = "a" }))
    end
  end)

  local MATCHES = {
    { "*", "ws://x/", "ws://127.0.0.1/", "wss://[::1]/" },
    { "example.com", "ws://example.com/", "ws://a.example.com/", "ws://A.b.Example.COM/", "ws://example.com./" },
    { ".example.com", "ws://example.com/", "ws://a.example.com/" }, { "*.example.com", "ws://a.example.com/" },
    { "EXAMPLE.com.", "ws://a.example.com/" }, { "a, b\tc d", "ws://a", "ws://b", "ws://c", "ws://d" },
    { "localhost", "ws://localhost:8080", "ws://a.localhost" }, { "a:80", "ws://a/" }, { "a:443", "wss://a/" },
    { "a:8080,b", "ws://a:8080/", "ws://b:1/" }, { "127.0.0.1", "ws://127.0.0.1:5/" }, { "::1", "ws://[::1]/" },
    { "[::1]", "ws://[0:0:0:0:0:0:0:1]:80/" }, { "[::1]:80", "ws://[::1]/" }, { "2001:DB8::", "ws://[2001:db8::0]/" },
    { "10.0.0.0/8", "ws://10.255.0.1/" }, { "fd00::/8", "ws://[fd12::1]/" }, { "127.0.0.1:81", "ws://127.0.0.1:81/" },
    { "::ffff:10.0.0.0/104", "ws://10.255.0.1/", "ws://[::ffff:10.1.2.3]/" }, { "10.1.2.3/8", "ws://10.9.9.9/" },
    { "10.0.0.0/8", "ws://[::ffff:10.1.2.3]/" }, { "[::ffff:127.0.0.1]", "ws://127.0.0.1/" },
    { "0.0.0.0/0", "ws://1.2.3.4/" }, { "::/0", "ws://[::1]/" },
  }
  local OTHERS = {
    { "example.com", "ws://notexample.com/", "ws://example.org/", "ws://com/", "ws://example.com.org" },
    { "a.example.com", "ws://example.com/" }, { "a:81", "ws://a/", "wss://a/" }, { "127.0.0.1", "ws://localhost/" },
    { "localhost", "ws://127.0.0.1/", "ws://[::1]" }, { "10.0.0.0/8", "ws://11.0.0.1/", "ws://name/" },
    { "10.0.0.0/33", "ws://10.0.0.0/" }, { "0/0", "ws://10.0.0.0/", "ws://a/" }, { ".", "ws://a/" }, { ",", "ws://a/" },
    { "7.0.0.1", "ws://127.0.0.1/" }, { "[::1]:81", "ws://[::1]/" }, { "::/0", "ws://1.2.3.4/" }, { "", "ws://a/" },
    { "e.ample", "ws://example/" }, { "[a", "ws://a/" }, { "*a", "ws://ba/" },
    { "::ffff:10.0.0.0/104", "ws://11.0.0.1/" }, { "::ffff:10.0.0.0/8", "ws://10.0.0.1/", "ws://[::1]/" },
  }

  for _, variable in ipairs({ "no_proxy", "NO_PROXY" }) do
    it("is none for what stands in " .. variable, function()
      for _, case in ipairs(MATCHES) do
        for i = 2, #case do
          local variables = { http_proxy = "p", https_proxy = "p", [variable] = case[1] }
          assert.is_false(host_of(case[i], variables), case[1] .. " " .. case[i])
        end
      end
    end)

    it("is one for what does not stand in " .. variable, function()
      for _, case in ipairs(OTHERS) do
        for i = 2, #case do
          local variables = { all_proxy = "p", [variable] = case[1] }
          assert.equal("p", host_of(case[i], variables), case[1] .. " " .. case[i])
        end
      end
    end)
  end

  it("cannot be told where a variable is wrong: the message names it, without a password", function()
    local made, message = choose("wss://x/", { HTTPS_PROXY = "https://joe:secret@proxy" })
    assert.is_nil(made)
    assert.equal('the proxy in the environment variable HTTPS_PROXY cannot be used: URL like '
      .. 'http://user:password@host:port or socks5://host:port expected, got "https://***@proxy"', message)
    assert.is_false(choose("wss://x/", { HTTPS_PROXY = "https://proxy", no_proxy = "x" }))
  end)
end)
