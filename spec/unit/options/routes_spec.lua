--- What routes say for themselves: its checks, and what they have from their context.
-- @module spec.unit.options.routes_spec

local options = require "websockets.options.context"
local routes = require "websockets.options.routes"

local function nothing() end

describe("the option routes", function()
  local function refusal(given)
    local passed, message = pcall(function()
      local settings = options.read({ routes = given }, 2)
      return settings
    end)
    assert.is_false(passed)
    assert.matches("routes_spec.lua:%d+: ", message)
    return message
  end

  it("is checked with the name of the route", function()
    for text, route in pairs({
      ["unknown option 'routes['/a'].protcols'"] = { protcols = {} },
      ["bad option 'routes['/a'].protocols'"] = { protocols = 1 },
      ["bad option 'routes['/a'].on_http' (function expected, got 7)"] = { on_http = 7 },
      ["bad option 'routes['/a'].max_message_bytes'"] = { max_message_bytes = 0 },
      ["'routes['/a'].port' is for the whole context"] = { port = 80 },
      ["'routes['/a'].handshake_timeout' is for the whole context"] = { handshake_timeout = 1 },
      ["'routes['/a'].compression' is for the whole context"] = { compression = true },
      ["'routes['/a'].routes' is for the whole context"] = { routes = {} },
    }) do
      assert.matches(text, refusal({ ["/a"] = route }), 1, true)
    end
  end)

  it("refuses a high_water_bytes that max_buffered_bytes keeps from being reached, and lowers the context's", function()
    assert.matches("option 'routes['/a'].high_water_bytes' (2000) is above 'max_buffered_bytes' (1000)",
      refusal({ ["/a"] = { high_water_bytes = 2000, max_buffered_bytes = 1000 } }), 1, true)
    local settings = options.read({
      high_water_bytes = 500, routes = { ["/a"] = { max_buffered_bytes = 300 }, ["/b"] = {} },
    }, 1)
    assert.equal(300, settings.router:match("/a").settings.high_water_bytes)
    assert.equal(500, settings.router:match("/b").settings.high_water_bytes)
  end)

  it("refuses patterns that mean nothing or the same", function()
    assert.matches("route 'a' must begin with a slash", refusal({ a = {} }), 1, true)
    assert.matches("route '/:b' means the same paths as '/:a'", refusal({ ["/:a"] = {}, ["/:b"] = {} }), 1, true)
  end)

  it("is left as the caller gave it", function()
    local protocols = { chat = nothing }
    local given = { ["/a"] = { protocols = protocols } }
    local settings = options.read({ routes = given }, 1)
    protocols.later = nothing
    assert.same({ ["/a"] = { protocols = protocols } }, given)
    assert.same({ chat = true }, routes.subprotocols(settings))
  end)

  it("has from the context what a route does not say, but for subprotocols and default together", function()
    local settings = options.read({
      protocols = { a = nothing }, default = nothing, idle_timeout = 5,
      routes = { ["/plain"] = {}, ["/own"] = { protocols = { b = nothing }, idle_timeout = 6 } },
    }, 1)
    local plain, own = settings.router:match("/plain").settings, settings.router:match("/own").settings
    assert.same({ { a = nothing }, nothing, 5 }, { plain.protocols, plain.default, plain.idle_timeout })
    assert.same({ { b = nothing }, 6 }, { own.protocols, own.idle_timeout })
    assert.is_nil(own.default)
    assert.same({ a = true, b = true }, routes.subprotocols(settings))
  end)
end)
