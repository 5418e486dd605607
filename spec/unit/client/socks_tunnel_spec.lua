--- SOCKS5, and what proxies answer.
-- @module spec.unit.client.socks_tunnel_spec

local http_tunnel = require "websockets.client.http_tunnel"
local proxy = require "websockets.client.proxy"
local socks_tunnel = require "websockets.client.socks_tunnel"
local url = require "websockets.protocol.url"

local function new(target, by)
  return socks_tunnel.new(assert(url.parse(target or "ws://a")), assert(proxy.parse(by or "socks5://proxy")))
end

local REPLY = "\5\0\0\1\0\0\0\0\0\0"
local NAME_REPLY = "\5\0\0\3\3abc\1\2"
local IPV6_REPLY = "\5\0\0\4" .. ("\7"):rep(18)

describe("a tunnel of a SOCKS5 proxy", function()
  it("is asked for without credentials where there are none", function()
    local tunnel = new("ws://example.com/")
    assert.equal("\5\1\0", tunnel:begin())
    assert.same({ nil, "\5\1\0\3\11example.com\0\80" }, { tunnel:feed("\5\0") })
    assert.equal("", tunnel:feed(REPLY))
  end)

  it("is asked for with user and password where there are some and the proxy wants them", function()
    local tunnel = new("wss://example.com/", "socks5://joe:p%40ss@proxy")
    assert.equal("\5\2\0\2", tunnel:begin())
    assert.same({ nil, "\1\3joe\4p@ss" }, { tunnel:feed("\5\2") })
    assert.same({ nil, "\5\1\0\3\11example.com\1\187" }, { tunnel:feed("\1\0") })
    assert.equal("", tunnel:feed(REPLY))
    tunnel = new("ws://a/", "socks5://joe:x@proxy")
    tunnel:begin()
    assert.same({ nil, "\5\1\0\3\1a\0\80" }, { tunnel:feed("\5\0") })
    tunnel = new("ws://a/", "socks5://" .. ("u"):rep(255) .. "@proxy")
    tunnel:begin()
    assert.same({ nil, "\1\255" .. ("u"):rep(255) .. "\0" }, { tunnel:feed("\5\2") })
  end)

  it("names an IP address by its bytes", function()
    local tunnel = new("ws://192.0.2.1:8080/")
    tunnel:begin()
    assert.same({ nil, "\5\1\0\1\192\0\2\1\31\144" }, { tunnel:feed("\5\0") })
    tunnel = new("ws://[2001:db8::7]/")
    tunnel:begin()
    assert.same({ nil, "\5\1\0\4\32\1\13\184" .. ("\0"):rep(11) .. "\7\0\80" }, { tunnel:feed("\5\0") })
  end)

  for what, reply in pairs({ IPv4 = REPLY, ["a name"] = NAME_REPLY, ["an empty name"] = "\5\0\0\3\0\1\2",
    ["a long name"] = "\5\0\0\3\255" .. ("a"):rep(257), IPv6 = IPV6_REPLY }) do
    it("is there after a reply with " .. what .. ", cut anywhere, and loses nothing of what follows", function()
      local whole = "\5\2\1\0" .. reply
      for cut = 0, #whole do
        local tunnel = new("ws://a/", "socks5://joe:x@proxy")
        tunnel:begin()
        local outcome, bytes = tunnel:feed(whole:sub(1, cut))
        if cut < #whole then
          assert.is_nil(outcome)
          local sent = bytes or ""
          outcome, bytes = tunnel:feed(whole:sub(cut + 1) .. "\129\2hi")
          assert.is_true(#sent <= #"\1\3joe\1x\5\1\0\3\1a\0\80")
        else
          outcome = outcome .. "\129\2hi"
        end
        assert.equal("\129\2hi", outcome)
        assert.is_nil(bytes)
      end
      local tunnel, sent = new("ws://a/", "socks5://joe:x@proxy"), {}
      tunnel:begin()
      for byte in whole:sub(1, -2):gmatch(".") do
        local outcome, bytes = tunnel:feed(byte)
        assert.is_nil(outcome)
        sent[#sent + 1] = bytes
      end
      assert.same({ "\1\3joe\1x", "\5\1\0\3\1a\0\80" }, sent)
      assert.equal("", tunnel:feed(whole:sub(-1)))
    end)
  end

  it("is not there while nothing comes", function()
    local tunnel = new()
    tunnel:begin()
    assert.is_nil((tunnel:feed("")))
  end)

  it("is refused in words", function()
    for code, words in pairs({
      "general failure", "not allowed by its rules", "network unreachable", "host unreachable", "connection refused",
      "time to live expired", "command not supported", "address type not supported", [99] = "with an unknown failure",
    }) do
      local tunnel = new()
      tunnel:begin()
      tunnel:feed("\5\0")
      assert.same({ false, ("answered %s (SOCKS5 reply %d)"):format(words, code), false },
        { tunnel:feed("\5" .. string.char(code)) })
    end
  end)

  for what, case in pairs({
    ["another version"] = { "HT", "does not speak SOCKS5" },
    ["one byte of another version"] = { "\4", "does not speak SOCKS5" },
    ["no method, without credentials"] = { "\5\255", "wants a user and a password", is_denied = true },
    ["a method that was not offered"] = { "\5\2", "wants a user and a password", is_denied = true },
    ["no method, with credentials"] = { "\5\255", "takes no user and password", true, is_denied = true },
    ["GSSAPI"] = { "\5\1", "takes no user and password", true, is_denied = true },
    ["wrong credentials"] = { "\5\2\1\1", "refuses these credentials", true, is_denied = true },
    ["a reply of another version"] = { "\5\0\4\0", "gave an answer that is not SOCKS5" },
    ["an unknown type of address"] = { "\5\0\5\0\0\2\0", "gave an answer with an unknown type of address" },
  }) do
    it("is refused: " .. what, function()
      local function made()
        local tunnel = new("ws://a", case[3] and "socks5://joe:x@proxy" or nil)
        tunnel:begin()
        return tunnel
      end
      local expected = { false, case[2], case.is_denied or false }
      assert.same(expected, { made():feed(case[1]) })
      local tunnel, outcome, why, is_denied = made(), nil, nil, nil
      for byte in case[1]:gmatch(".") do
        if outcome == nil then outcome, why, is_denied = tunnel:feed(byte) end
      end
      assert.same(expected, { outcome, why, is_denied })
    end)
  end
end)

describe("a tunnel of any kind", function()
  local LIMITS = { max_header_bytes = 300, max_header_lines = 9, max_request_line_bytes = math.huge }
  local PIECES = {
    "\5", "\0", "\1", "\2", "\3", "\4", "\255", "\5\2", "\1\0", "\5\0\0\1\0\0\0\0\0\0", "HTTP/1.1 ", "200", "407",
    "100", " x", "\r\n", "\r", "\n", "A: b", ("z"):rep(200),
  }
  -- Some cases begin well.
  local BEGINNINGS = {
    http = { "", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\n\r\n" }, socks5 = { "", "\5\0", "\5\0" .. REPLY },
  }
  local CASES, MAX_PIECES = 400, 9

  local function any_tunnel(kind, random)
    if kind == "socks5" then return new("ws://a", random(2) == 1 and "socks5://joe:x@proxy" or nil) end
    return http_tunnel.new(url.parse("ws://a"), proxy.parse("proxy"), { limits = LIMITS, base64 = tostring })
  end

  -- What came of some bytes: the outcome, and what follows the talk, or what was sent so far.
  local function run(tunnel, bytes, step)
    local sent = { tunnel:begin() }
    for from = 1, #bytes, step do
      local outcome, more = tunnel:feed(bytes:sub(from, from + step - 1))
      if outcome then return "there", outcome .. bytes:sub(from + step) end
      if outcome == false then return "refused" end
      sent[#sent + 1] = more
    end
    return "open", table.concat(sent)
  end

  for _, kind in ipairs({ "http", "socks5" }) do
    it("takes any bytes, and is the same however they are cut: " .. kind, function()
      math.randomseed(16)
      local random, seen = math.random, {}
      for _ = 1, CASES do
        local pieces = { BEGINNINGS[kind][random(3)] }
        for i = 2, random(MAX_PIECES) do pieces[i] = PIECES[random(#PIECES)] end
        local bytes, seed = table.concat(pieces), random(1e6)
        local results = {}
        for i, step in ipairs({ 1000000, 1, 3 }) do
          math.randomseed(seed)
          results[i] = { run(any_tunnel(kind, random), bytes, step) }
        end
        assert.same(results[1], results[2], bytes)
        assert.same(results[1], results[3], bytes)
        seen[results[1][1]] = true
        math.randomseed(seed + 1)
      end
      assert.same({ there = true, refused = true, open = true }, seen)
    end)
  end
end)
