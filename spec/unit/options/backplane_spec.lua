--- The option `backplane`: checks and defaults.
-- @module spec.unit.options.backplane_spec
local backplane = require("websockets.options.backplane")
local websockets = require("websockets")

local function settle(given) return backplane.settle(given, 1) end

local function failure(given)
  local is_good, message = pcall(settle, given)
  assert.is_false(is_good)
  return message
end

local function nothing() end

local function own(changes)
  local made = { open = nothing, publish = nothing, subscribe = nothing, unsubscribe = nothing, close = nothing }
  for name, value in pairs(changes or {}) do made[name] = value end
  return made
end

describe("websockets.options.backplane", function()
  it("names the line of the caller, whatever is wrong", function()
    local wrong = { {}, { open = nothing }, own({ prefix = 1 }), { url = 1 }, { url = "redis://a", x = 1 } }
    for _, given in ipairs(wrong) do
      local _, message = pcall(function() websockets.context({ backplane = given }) end)
      assert.matches("^[^:]*backplane_spec%.lua:%d+: ", message)
    end
  end)

  it("is none by default", function()
    assert.is_false(settle(false))
  end)

  it("fills in the defaults", function()
    local made = settle({ url = "redis://localhost" })
    assert.same({ "ws:", false, 10, 0.2, 10, 0.5 },
      { made.prefix, made.broadcast, made.timeout, made.min, made.max, made.jitter })
    assert.equal(6379, made.server.port)
    made = settle({ url = "redis://localhost", prefix = "", reconnect = { min = 3 }, user = "a", password = "b" })
    assert.same({ "", 3, 30, "a", "b" }, { made.prefix, made.min, made.max, made.user, made.password })
  end)

  it("takes sharded pub/sub where a server has it, unless told otherwise, and a hash tag as prefix", function()
    assert.is_true(settle({ url = "redis://localhost" }).sharded)
    assert.is_false(settle({ url = "redis://localhost", sharded = false }).sharded)
    assert.equal("x{a}:", settle({ url = "redis://localhost", prefix = "x{a}:" }).prefix)
  end)

  it("takes TLS for rediss alone, and offers no application protocol", function()
    assert.is_false(settle({ url = "rediss://localhost", tls = {} }).tls.alpn)
    assert.same({ "redis" }, settle({ url = "rediss://localhost", tls = { alpn = { "redis" } } }).tls.alpn)
    assert.matches("option 'backplane.tls' needs a URL with rediss://", failure({ url = "redis://a", tls = {} }))
    assert.matches("unknown option 'tls.x'", failure({ url = "rediss://a", tls = { x = 1 } }))
  end)

  it("takes an object with the functions, which may have fields of its own", function()
    local given = own({ prefix = "p", queue = {} })
    local made = settle(given)
    assert.equal(given, made.own)
    assert.same({ "p", false }, { made.prefix, made.broadcast })
    assert.equal(nothing, settle(setmetatable({}, { __index = own() })).open)
  end)

  it("says what is wrong", function()
    for message, given in pairs({
      ["bad option 'backplane' .*got neither"] = {},
      ["bad option 'backplane' .*got none close"] = { open = nothing, publish = nothing, subscribe = nothing,
        unsubscribe = nothing },
      ["bad option 'backplane.publish' %(function expected, got 1%)"] = own({ publish = 1 }),
      ["bad option 'backplane.url' %(URL that begins with redis://, rediss:// or unix: expected, got \"http://a\"%)"] =
        { url = "http://a" },
      ["%*%*%*@"] = { url = "redis://user:secret@a/x" },
      ["bad option 'backplane.prefix' %(string of at most 64 bytes, with braces only as in \"{a}\" expected"] =
        { url = "redis://a", prefix = ("x"):rep(65) },
      ["bad option 'backplane.prefix' .*got \"a{\"%)"] = { url = "redis://a", prefix = "a{" },
      ["bad option 'backplane.prefix' .*got \"{}{a}\"%)"] = own({ prefix = "{}{a}" }),
      ["bad option 'backplane.sharded' %(boolean expected, got 1%)"] = { url = "redis://a", sharded = 1 },
      ["unknown option 'backplane.channel'"] = { url = "redis://a", channel = "x" },
      ["bad option 'backplane.timeout'"] = { url = "redis://a", timeout = 0 },
      ["bad option 'backplane.password'"] = { url = "redis://a", password = "" },
      ["bad option 'backplane.broadcast'"] = { url = "redis://a", broadcast = 1 },
      ["bad option 'backplane.reconnect'"] = { url = "redis://a", reconnect = { min = 0 } },
    }) do
      local text = failure(given)
      assert.matches(message, text)
      assert.is_nil(text:find("secret", 1, true))
    end
  end)
end)
