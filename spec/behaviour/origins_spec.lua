--- Pages of other origins: which may connect.
-- @module spec.behaviour.origins_spec
local testing = require("websockets.testing")

-- The status that a page of some origin gets, and what was logged.
local function ask(origins, origin)
  local logged = {}
  local context = testing.context({
    default = function() end, origins = origins,
    log = function(level, message) logged[#logged + 1] = level .. ": " .. message end,
  })
  local peer, _, _, status = context:peer({ host = "127.0.0.1", origin = origin })
  return peer and peer.status or status, logged
end

describe("origins", function()
  it("by default the request's own host passes, whatever port and scheme, and no Origin passes", function()
    assert.equal(101, (ask(nil, nil)))
    for _, origin in ipairs({ "http://127.0.0.1", "https://127.0.0.1:8443", "http://127.0.0.1:1" }) do
      assert.equal(101, (ask(nil, origin)))
    end
  end)

  it("by default another host, null and what is no origin get 403", function()
    for _, origin in ipairs({
      "http://evil.example", "null", "http://127.0.0.1.evil.example", "http://evil.example/127.0.0.1",
      "http://127.0.0.1@evil.example", "127.0.0.1", "http://", "http://127.0.0.1, http://evil.example",
    }) do
      assert.equal(403, (ask(nil, origin)))
    end
  end)

  it("the log names the option line that would allow it", function()
    local _, logged = ask(nil, "http://evil.example")
    assert.equal(1, #logged)
    assert.truthy(logged[1]:find('origins = { "http://evil.example" }', 1, true))
  end)

  it("the line in the log works: for null, for another origin beside a list, for what is no origin", function()
    for _, origin in ipairs({ "http://evil.example", "null", "wss://evil.example", "a, b" }) do
      for _, origins in ipairs({ false, { "https://good.example" } }) do
        local status, logged = ask(origins or nil, origin)
        assert.same({ 403, 1 }, { status, #logged })
        local option = (loadstring or load)("return " .. logged[1]:match("to allow it: origins = (.*)$"))()
        assert.same({ origin, 101 }, { origin, (ask(option, origin)) })
      end
    end
  end)

  it("the log advises no list where a function decides, or no Origin came", function()
    for _, origin in ipairs({ false, "null", "http://evil.example" }) do
      local status, logged = ask(function() return false end, origin or nil)
      assert.same({ 403, 1 }, { status, #logged })
      assert.is_nil(logged[1]:find("origins =", 1, true))
    end
  end)

  it("entries of a list are read as browsers write origins", function()
    for _, entry in ipairs({
      "https://a.example/", "https://a.example:443", "HTTPS://A.Example", "https://A.example:/",
    }) do
      assert.same({ entry, 101 }, { entry, (ask({ entry }, "https://a.example")) })
    end
  end)

  it("entries that no browser sends raise, naming the entry", function()
    for _, entry in ipairs({
      "null", "*", "a.example", "https://a.example/chat", "wss://a.example", "https://*.example", "",
    }) do
      local is_good, message = pcall(ask, { "https://good.example", entry }, nil)
      assert.is_false(is_good)
      assert.matches(("got [2] = %q"):format(entry), message, 1, true)
    end
  end)

  it("a list allows what it names, no other and never null by accident", function()
    local list = { "https://good.example", "http://also.example:8080" }
    assert.equal(101, (ask(list, "https://good.example")))
    assert.equal(101, (ask(list, "http://also.example:8080")))
    assert.equal(101, (ask(list, nil)))
    for _, origin in ipairs({ "http://good.example", "https://good.example:444", "null", "http://127.0.0.1" }) do
      assert.equal(403, (ask(list, origin)))
    end
  end)

  it('"*" allows all', function()
    assert.equal(101, (ask("*", "http://evil.example")))
    assert.equal(101, (ask("*", "null")))
  end)

  it("a function decides, with the origin and the request", function()
    local seen
    local function decide(origin, request)
      seen = { origin, request.uri }
      return origin == "http://odd.example"
    end
    assert.equal(101, (ask(decide, "http://odd.example")))
    assert.same({ "http://odd.example", "/" }, seen)
    assert.equal(403, (ask(decide, "http://evil.example")))
    assert.equal(403, (ask(decide, nil)))
  end)

  it("a function that raises gives 500 and lets no client in", function()
    local heard, opened
    local context = testing.context({
      default = function() opened = true end, origins = function() error("oops") end,
      on_error = function(err) heard = err end,
    })
    local _, _, _, status, _, body = context:peer({ origin = "http://a" })
    assert.equal(500, status)
    assert.is_nil(body:find("oops"))
    assert.truthy(heard:find("oops"))
    assert.is_nil(opened)
  end)
end)
