--- Origins of pages: their spelling, which may connect, what the log says of a refusal.
-- @module spec.unit.protocol.origin_spec

local origin = require "websockets.protocol.origin"

describe("origin.normal", function()
  local GOOD = {
    { "https://a.example", "https://a.example" }, { "http://a.example:8080", "http://a.example:8080" },
    { "https://a.example/", "https://a.example" }, { "HTTPS://A.Example", "https://a.example" },
    { "https://a.example:443", "https://a.example" }, { "http://a.example:80/", "http://a.example" },
    { "http://a.example:443", "http://a.example:443" }, { "https://a.example:", "https://a.example" },
    { "https://a.example:0443", "https://a.example" }, { "http://127.0.0.1:3000", "http://127.0.0.1:3000" },
    { "http://localhost", "http://localhost" }, { "https://xn--bcher-kva.example", "https://xn--bcher-kva.example" },
    { "http://[::1]:80", "http://[::1]" }, { "http://[0:0:0:0:0:0:0:1]", "http://[::1]" },
    { "http://[2001:DB8:0:0:1:0:0:07]:81", "http://[2001:db8::1:0:0:7]:81" }, { "http://[::]", "http://[::]" },
    { "http://[fe80:0:0:0::]", "http://[fe80::]" }, { "http://[1:2:3:4:5:6:7:8]", "http://[1:2:3:4:5:6:7:8]" },
    { "http://[::ffff:1.2.3.4]", "http://[::ffff:102:304]" },
    { "http://[1:0:3:4:5:6:7:8]", "http://[1:0:3:4:5:6:7:8]" },
    { "chrome-extension://abcdefgh", "chrome-extension://abcdefgh" }, { "app://localhost:1", "app://localhost:1" },
    { "file://", "file://" }, { "file:///", "file://" },
  }

  for _, case in ipairs(GOOD) do
    it(("writes %s as browsers do"):format(case[1]), function()
      assert.equal(case[2], origin.normal(case[1]))
      assert.equal(case[2], origin.normal(case[2]))
    end)
  end

  for _, text in ipairs({
    "", "null", "*", "a.example", "a.example:443", "//a.example", "https://", "https:///", "https:a.example", "https",
    "https://a.example/chat", "https://a.example//", "https://a.example?x", "https://a.example/#",
    " https://a.example", "https://a.example ", "https://a.example, https://b.example", "https://*.example",
    "*://a.example", "wss://a.example", "ws://a.example", "https://user@a.example", "https://a..example",
    "https://b\195\188cher.example", "https://a.example:x", "https://a.example:0", "https://a.example:65536",
    "https://a.example:443:443", "http://:80",
    "http://1.2.3", "http://256.0.0.1", "http://[::1", "http://::1", "http://[1:2:3:4:5:6:7:8:9]", "http://[1:2]",
    "http://[1::2::3]", "http://[12345::]", "http://[::1]x", "https://a%2eexample", "file://host", "file:", "file:///x",
  }) do
    it(("takes %q for no origin of a page"):format(text), function() assert.is_nil(origin.normal(text)) end)
  end

  it("takes time that grows with the length only", function()
    assert.is_nil(origin.normal("http://[" .. ("1:"):rep(4000) .. "]"))
    assert.is_nil(origin.normal("http://" .. ("a:"):rep(4000)))
    assert.is_nil(origin.normal(("a"):rep(8000)))
  end)
end)

describe("origin.path_fault", function()
  it("says what to write where something stands after an origin, and nothing of other faults", function()
    for text, normal in pairs({
      ["https://a.example/chat"] = "https://a.example", ["HTTP://A.example:80?x"] = "http://a.example",
      ["http://[::1]:81/#a"] = "http://[::1]:81",
    }) do
      assert.equal((': an origin has no path, write "%s"'):format(normal), origin.path_fault(text))
    end
    for _, text in ipairs({ "", "null", "a.example/chat", "ws://a.example/x", "https://a b/x", "https://a.example" }) do
      assert.is_nil(origin.path_fault(text))
    end
    assert.is_nil(origin.path_fault(5))
  end)
end)

describe("origin.allows", function()
  local function allows(origins, name, host)
    return origin.allows(origins, { uri = "/chat", headers = { origin = name or nil, host = host or "a.com:8080" } })
  end

  it("lets through the same host by default, whatever port and scheme", function()
    for _, name in ipairs({ "http://a.com", "https://a.com", "http://a.com:1", "HTTP://A.Com:8080",
      "app+x-1.0://a.com", false }) do
      assert.is_true(allows(nil, name), tostring(name))
    end
  end)

  it("refuses other hosts by default, and what only looks like the same", function()
    for _, name in ipairs({ "http://b.com", "http://a.com.b.com", "http://xa.com", "http://sub.a.com", "a.com", "",
      "http://", "http://a.com/", "http://a.com/x", "file://", "//a.com", "http:a.com", "http://a.com:8080@b.com",
      "http://a.com@b.com", "http://a.com:80, http", "http://a.com b.com", "http://a.com:x", "http://:80",
      "http://a.com:80:80" }) do
      assert.is_false(allows(nil, name), name)
    end
    assert.is_false(allows(nil, "http://a.com:80, b", "a.com"))
  end)

  it("refuses every origin where the request names no host", function()
    for _, host in ipairs({ "", ":80" }) do
      for _, name in ipairs({ "http://:80", "http://a", "http://" }) do
        assert.is_false(allows(nil, name, host))
      end
    end
  end)

  it("compares IPv6 hosts by what stands in the brackets", function()
    assert.is_true(allows(nil, "http://[::1]:3000", "[::1]:8080"))
    assert.is_true(allows(nil, "http://[fe80::A]", "[FE80::a]"))
    assert.is_false(allows(nil, "http://[::2]", "[::1]"))
    assert.is_false(allows(nil, "http://[::1]b.com", "[::1]"))
    assert.is_false(allows(nil, "http://[::1", "[::1]"))
  end)

  it("refuses null by default and with a list", function()
    assert.is_false(allows(nil, "null", "null"))
    assert.is_false(allows({ "null", "http://a.com" }, "null"))
  end)

  it("compares scheme, host and port with a list; no Origin passes", function()
    local list = { "https://a.com", "http://b.com:81" }
    assert.is_true(allows(list, "https://A.com"))
    assert.is_true(allows(list, "https://a.com:443"))
    assert.is_true(allows(list, "http://b.com:81"))
    assert.is_false(allows(list, "http://a.com"))
    assert.is_false(allows(list, "https://a.com:8080"))
    assert.is_false(allows(list, "http://b.com"))
    assert.is_true(allows(list, nil))
  end)

  it("lets every origin through with an asterisk", function()
    for _, name in ipairs({ "http://b.com", "null", "nonsense", false }) do assert.is_true(allows("*", name)) end
  end)

  it("asks a function, with origin and request, and makes its answer true or false", function()
    local seen
    local function ask(answer)
      return allows(function(name, request)
        seen = { name, request.uri }
        return answer
      end, "null")
    end
    assert.is_true(ask(1))
    assert.is_false(ask(nil))
    assert.same({ "null", "/chat" }, seen)
    assert.is_true(allows(function(name) return name == nil end, nil))
  end)
end)

describe("origin.refusal", function()
  -- The option that the advised line gives.
  local function advised(origins, name)
    local line = assert(origin.refusal(origins, name):match("to allow it: origins = (.*)$"))
    return assert((loadstring or load)("return " .. line))()
  end

  it("names an option line that allows what was refused", function()
    for _, name in ipairs({
      "http://evil.example", "HTTP://Evil.example:80", "null", "wss://a.example", "a, b", 'x"y\\', "http://\195\164",
    }) do
      for _, origins in ipairs({ false, { "https://good.example" } }) do
        local option = advised(origins or nil, name)
        if type(option) == "table" then
          for i, one in ipairs(option) do assert.equal(one, origin.normal(one), i) end
        end
        assert.is_true(origin.allows(option, { headers = { origin = name, host = "h" } }), name)
      end
    end
  end)

  it("keeps what a list allows already", function()
    assert.same({ "https://good.example", "http://evil.example" },
      advised({ "https://good.example" }, "http://evil.example"))
  end)

  it("advises nothing where a function has decided, or the value is long", function()
    for _, name in ipairs({ "http://evil.example", "null" }) do
      assert.is_nil(origin.refusal(print, name):find("origins =", 1, true))
    end
    assert.matches("without Origin", origin.refusal(print, nil))
    local text = origin.refusal(nil, "http://" .. ("a"):rep(300))
    assert.is_nil(text:find("origins =", 1, true))
    assert.is_true(#text < 200)
  end)

  it("warns of null", function()
    assert.matches("sandboxed", origin.refusal(nil, "null"))
  end)
end)
