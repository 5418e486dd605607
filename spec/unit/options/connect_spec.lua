--- What `context:connect` is given: its checks, and what a connection has from its context.
-- @module spec.unit.options.connect_spec

local client_options = require "websockets.options.connect"
local loader = require "websockets.engine.loader"
local options = require "websockets.options.context"

local function context(given)
  return { settings = options.read(given or {}, 1), engine = loader.choose() }
end

describe("what connect is given", function()
  local function refusal(url, given)
    local is_good, err = pcall(function()
      local place = client_options.arguments(context(), url, given, 2)
      return place
    end)
    assert.is_false(is_good)
    assert.matches("connect_spec.lua:%d+: ", err)
    return err
  end

  it("must be a URL", function()
    assert.matches("bad argument #1 to 'connect' (ws:// URL expected, got no value)", refusal(), 1, true)
    assert.matches("URL that begins with ws://, wss:// or ws+unix: expected, got \"http://a/\"", refusal("http://a/"),
      1, true)
    assert.matches("without '#'", refusal("ws://a/#x"), 1, true)
  end)

  it("does not show a password that stands in the URL", function()
    local message = refusal("ws://joe:secret@a:x/")
    assert.matches('got "ws://***@a:x/"', message, 1, true)
    assert.is_nil(message:find("secret", 1, true))
  end)

  it("has credentials in one place", function()
    local message = refusal("ws://joe:secret@a/", { headers = { authorization = "Bearer x" } })
    assert.matches("user information in the URL and a header 'Authorization': give one of them", message, 1, true)
    assert.is_nil(message:find("secret", 1, true))
  end)

  it("raises for an unknown option, naming it", function()
    assert.matches("unknown option 'protocol'", refusal("ws://127.0.0.1/", { protocol = "x" }))
    assert.matches("bad argument #2 to 'connect' %(table expected, got \"x\"%)", refusal("ws://127.0.0.1/", "x"))
    assert.matches("unknown option 'port'", refusal("ws://127.0.0.1/", { port = 1 }))
  end)

  it("raises for a wrong field of tls, naming it", function()
    for _, case in ipairs({
      { { cafiles = "x" }, "unknown option 'tls.cafiles'" },
      { { cafile = "" }, "bad option 'tls.cafile' (path of a file expected" },
      { { verify = "off" }, "bad option 'tls.verify' (\"peer\" or \"none\" expected, got \"off\")" },
      { { verify = { "peer", "none" } }, "bad option 'tls.verify'" },
      { { mode = "server" }, "bad option 'tls.mode'" },
      { { certificate = "x" }, "option 'tls' needs a key beside its certificate" },
    }) do
      assert.matches(case[2], refusal("wss://a/", { tls = case[1] }), 1, true)
    end
  end)

  it("does not have the option tls of the context, which is for its listener", function()
    local made = client_options.read(context(), nil, 1)
    assert.is_false(made.tls)
  end)

  for name, values in pairs({
    tls = { true, "none" },
    protocols = { "a", { "a", "a" }, { "a b" }, { "" }, { 1 }, { a = "b" } },
    headers = {
      "x", { Host = "a" }, { host = "a" }, { ["Sec-WebSocket-Key"] = "x" }, { Upgrade = "x" }, { X = "a\r\nY: b" },
      { X = { "a", "b\n" } }, { ["X:"] = "a" }, { X = true }, { "x" }, { Origin = "x" },
    },
    origin = { "", "a b", "a\n", 1, "a.example", "https://a.example/chat", "wss://a.example", "*" },
    timeout = { 0, -1, "1", math.huge },
    host = { "", 1, true, "a b", "a/b", "joe@a", "a:0", "::1", "http://a", "a\r\nX: y" },
    max_redirects = { -1, 0.5, "1", true },
    proxy = { true, 1, "", "https://proxy", "socks4://proxy", "http://proxy/path", "http://joe:secret@proxy:x" },
    max_message_bytes = { 0, "1" },
    close_timeout = { false },
  }) do
    it("raises for a wrong " .. name, function()
      for _, value in ipairs(values) do
        local message = refusal("ws://127.0.0.1/", { [name] = value })
        assert.matches(("bad option '%s' ("):format(name), message, 1, true)
        assert.is_nil(message:find("secret", 1, true))
      end
    end)
  end
end)

describe("what connect is given wrong inside of a table", function()
  it("is named; the value of a header is not shown", function()
    for text, given in pairs({
      ['[2] = "a": each name may be there once'] = { protocols = { "a", "a" } },
      ['["a"] = "b": the entries of a list have no names'] = { protocols = { a = "b" } },
      ["[1] = 1: the name of a subprotocol is a string"] = { protocols = { 1 } },
      ['"http://A/x": an origin has no path, write "http://a"'] = { origin = "http://A/x" },
      ['the header "X": its value has control characters'] = { headers = { X = "secret\n" } },
      ['the header "Y": a value is a string or a number'] = { headers = { Y = true } },
      ['the header "Z": a value is a string or a number'] = { headers = { Z = { "secret", {} } } },
      ["the header 1: its name is no token"] = { headers = { "secret" } },
      ['the header "a b": its name is no token'] = { headers = { ["a b"] = "secret" } },
      ['the header "Host": it belongs to the handshake'] = { headers = { Host = "secret" } },
    }) do
      local is_good, err = pcall(client_options.arguments, context(), "ws://a/", given, 2)
      assert.is_false(is_good)
      assert.matches(("expected, got %s)"):format(text), err, 1, true)
    end
  end)
end)

describe("what a connection has", function()
  local function read(given, of_context)
    return client_options.read(context(of_context), given, 1)
  end

  it("is its context's where it says nothing", function()
    local made = read(nil, { ping_interval = 7, handshake_timeout = 3, high_water_bytes = 99 })
    assert.same({ 7, 3, 99 }, { made.ping_interval, made.timeout, made.high_water_bytes })
  end)

  it("has no high_water_bytes above max_buffered_bytes", function()
    assert.equal(50, read({ max_buffered_bytes = 50 }, { high_water_bytes = 99 }).high_water_bytes)
    assert.equal(9, read({ max_buffered_bytes = 50, high_water_bytes = 9 }).high_water_bytes)
    for _, case in ipairs({
      { { high_water_bytes = 99 }, { max_buffered_bytes = 50 } },
      { { high_water_bytes = 99, max_buffered_bytes = 50 }, {} },
    }) do
      assert.has_error(function() read(case[1], case[2]) end,
        "option 'high_water_bytes' (99) is above 'max_buffered_bytes' (50) and could never be reached")
    end
  end)

  it("is its own where it says so", function()
    local given = { ping_interval = 8, timeout = 2, protocols = { "a" }, origin = "http://a" }
    local made = read(given, { ping_interval = 7 })
    assert.same({ 8, 2, { "a" }, "http://a" }, { made.ping_interval, made.timeout, made.protocols, made.origin })
  end)

  it("has the proxy that it names, or none, or leaves it to the environment", function()
    local made = read({ proxy = "socks5://joe:x@[::1]" }).proxy
    assert.same({ "socks5", "::1", "ipv6", 1080, "joe", "x" },
      { made.protocol, made.host, made.kind, made.port, made.user, made.password })
    assert.is_false(read({ proxy = false }).proxy)
    assert.is_nil(read({}).proxy)
  end)

  it("writes its origin as browsers do, and may tell none", function()
    assert.equal("https://a.example", read({ origin = "https://A.example:443/" }).origin)
    assert.equal("null", read({ origin = "null" }).origin)
  end)

  it("is not what the context says to its clients as a server", function()
    local made = read(nil, {
      protocols = { a = print }, max_message_bytes = 5, max_header_bytes = 64, max_header_lines = 1,
      max_request_line_bytes = 16,
    })
    assert.same({ false, false, false, 16 * 1024 * 1024, 32 * 1024, 256, math.huge },
      { made.protocols, made.headers, made.origin, made.max_message_bytes, made.max_header_bytes,
        made.max_header_lines, made.max_request_line_bytes })
  end)

  it("has no compression unless one of the two says so", function()
    assert.is_false(read().compression)
    assert.is_false(read({ compression = false }).compression)
  end)
end)
