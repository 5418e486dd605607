--- Which connections share a LuaSec context.
-- @module spec.unit.client.trust_spec

local certificates = require "spec.support.certificates"
local tls = require "spec.support.tls"
local trust = require "websockets.client.trust"

local check = tls.test(it, pending)

describe("websockets.client.trust", function()
  local context

  before_each(function() context = { now = 1000, tls_clients = false } end)

  local function with_ca(also)
    local given = { cafile = certificates.path("ca.pem") }
    for name, value in pairs(also or {}) do given[name] = value end
    return assert(trust.context(context, given))
  end

  check("shares a context among connections with the same settings", function()
    local first = with_ca({ options = { "no_tlsv1_3" } })
    assert.equal(first, with_ca({ options = { "no_tlsv1_3" } }))
    assert.not_equal(first, with_ca())
    assert.not_equal(first, with_ca({ options = { "no_tlsv1_2" } }))
    assert.not_equal(with_ca(), with_ca(certificates.pair("client")))
  end)

  check("reads files again after ten minutes", function()
    local first = with_ca()
    context.now = 1599
    assert.equal(first, with_ca())
    context.now = 1600
    local second = with_ca()
    assert.not_equal(first, second)
    assert.equal(second, with_ca())
  end)

  check("does not keep any number of them", function()
    local first = with_ca()
    for depth = 1, 40 do with_ca({ depth = depth }) end
    local count = 0
    for _ in pairs(context.tls_clients) do count = count + 1 end
    assert.is_true(count <= 16, count)
    assert.not_equal(first, with_ca())
  end)

  check("says which file cannot be used", function()
    local made, why, code = trust.context(context, { cafile = "/nonexistent/ca.pem" })
    assert.is_nil(made)
    assert.matches("/nonexistent/ca.pem", why, 1, true)
    assert.equal("tls", code)
    made, why = trust.context(context, { cafile = certificates.path("none.pem") })
    assert.is_nil(made)
    assert.matches(certificates.path("none.pem"), why, 1, true)
  end)

  it("takes the one word, alone, for switching verification off", function()
    assert.is_true(trust.is_off({ verify = "none" }))
    assert.is_true(trust.is_off({ verify = { "none" } }))
    for _, verify in ipairs({ "peer", "None", { "none", "peer" }, {} }) do
      assert.is_false(trust.is_off({ verify = verify }))
    end
    assert.is_false(trust.is_off({}))
  end)
end)
