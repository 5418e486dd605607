--- LuaSec contexts from options: what works, and what is said where something does not.
-- @module spec.unit.transport.tls_context_spec

local certificates = require "spec.support.certificates"
local tls = require "spec.support.tls"
local tls_context = require "websockets.transport.tls_context"

describe("websockets.transport.tls_context", function()
  local it = tls.test(it, pending)
  local path, pair = certificates.path, certificates.pair

  it("makes a context of a server and of a client", function()
    assert.matches("SSL context", tostring((assert(tls_context.server(pair("good"))))))
    assert.matches("SSL context", tostring((assert(tls_context.client({ cafile = path "ca.pem" })))))
    assert.is_truthy(tls_context.server(pair("good", { verify = { "peer" }, options = "no_tlsv1_2" })))
  end)

  it("opens an encrypted key with its password, and never asks at the terminal", function()
    local locked = { certificate = path "good.pem", key = path "locked.key" }
    local context, message, code = tls_context.server(locked)
    assert.is_nil(context)
    assert.equal(("cannot use the key file '%s': it is encrypted, and there is no 'password'"):format(locked.key),
      message)
    assert.equal("tls", code)
    locked.password = "wrong"
    assert.matches("the password is wrong", (select(2, tls_context.server(locked))))
    locked.password = "secret"
    assert.is_truthy(tls_context.server(locked))
    locked.password = function() return "secret" end
    assert.is_truthy(tls_context.server(locked))
  end)

  -- Which file, and why.
  local FAULTS = {
    { "is not there", { certificate = "missing.pem" }, "read the certificate file '.*missing.pem': No such file" },
    { "is a folder", { certificate = "" }, "cannot read the certificate file '.*': Is a directory" },
    { "is no certificate", { certificate = "none.pem" }, "use the certificate file '.*none.pem': no start line" },
    { "has another key", { key = "renewed.key" }, "the key file '.*renewed.key' does not belong to the first" },
    { "is no key", { key = "none.pem" }, "cannot use the key file '.*none.pem'" },
    { "is no authority", { cafile = "none.pem" }, "cannot use the CA file '.*none.pem'" },
    { "is no authority that is there", { cafile = "missing.pem" }, "cannot read the CA file '.*missing.pem'" },
    { "is no folder", { capath = "missing" }, "cannot read the CA folder: .*missing: No such file" },
  }

  for _, fault in ipairs(FAULTS) do
    it("names a file that " .. fault[1], function()
      local settings = pair("good")
      for name, file in pairs(fault[2]) do settings[name] = path(file) end
      local context, message, code = tls_context.server(settings)
      assert.is_nil(context)
      assert.matches(fault[3], message)
      assert.equal("tls", code)
    end)
  end

  it("says what LuaSec says of other options, and of which", function()
    local _, message, code = tls_context.server(pair("good", { ciphers = "none of these" }))
    assert.matches("^LuaSec made no context, because of 'ciphers': error setting cipher list %(.+%)$", message)
    assert.equal("tls", code)
    assert.equal("TLS needs a certificate", (select(2, tls_context.server({}))))
    for name, case in pairs({
      ciphersuites = { "none", "error setting cipher list" }, options = { { "no_ticket", "nope" }, "(nope)" },
      verify = { { "peer", "nope" }, "(nope)" }, verifyext = { "nope", "(nope)" }, curve = { "nope", "nope" },
      curveslist = { "P-256:nope", "nope" }, alpn = { { ("x"):rep(256) }, "ALPN" },
    }) do
      -- What is right beside it is not named, and no part of the certificate is needed to tell.
      local given = pair("good", { ciphers = "HIGH", depth = 3, cafile = path "ca.pem", capath = path "" })
      given[name] = case[1]
      message = select(2, tls_context.server(given)) or "a context"
      local expected = ("LuaSec made no context, because of '%s': "):format(name)
      assert.equal(expected, message:sub(1, #expected))
      assert.truthy(message:find(case[2], #expected, true), message)
    end
  end)

  it("names the fields that LuaSec refuses with the same words, and of others the first that it refuses", function()
    local _, message = tls_context.client({ ciphers = "none", ciphersuites = "none" })
    assert.matches("^LuaSec made no context, because of 'ciphers' and 'ciphersuites': error setting cipher list",
      message)
    _, message = tls_context.client({ ciphers = "none", curve = "nope" })
    assert.matches("^LuaSec made no context, because of 'ciphers': error setting cipher list", message)
  end)

  it("names no field where none of them is refused by itself, and asks for the password once", function()
    local count = 0
    local function password()
      count = count + 1
      error("no password here", 0)
    end
    local _, message = tls_context.server({ certificate = path "good.pem", key = path "locked.key", ciphers = "HIGH",
      password = password })
    assert.equal("LuaSec made no context: no password here", message)
    assert.equal(1, count)
  end)

  describe("of several certificates", function()
    local function choose(list, also)
      local settings = also or {}
      settings.certificates = list
      local first, names = assert(tls_context.server(settings))
      return first, names
    end

    it("finds one by a name in it, in any case; a wildcard stands for one label", function()
      local first, names = choose({ pair("good"), pair("wildcard"), pair("second") })
      assert.equal(first, names["localhost"])
      assert.equal(first, names["LocalHost"])
      assert.equal(first, names["one.test"])
      assert.is_not_nil(names["two.test"])
      assert.are_not.equal(first, names["two.test"])
      assert.equal(names["two.test"], names["A.LOCALHOST"])
      assert.are_not.equal(names["two.test"], names["second.test"])
      for _, name in ipairs({ "", ".", "test", ".test", "a.b.test", "*", "elsewhere.example" }) do
        assert.is_nil(names[name])
      end
    end)

    it("takes `names` in place of those in the certificate", function()
      local first, names = choose({ pair("cn_only", { names = { "A.example", "*.b.example" } }) }, pair("good"))
      assert.equal(first, names["localhost"])
      assert.is_not_nil(names["a.example"])
      assert.equal(names["a.example"], names["x.b.example"])
      assert.is_nil(names["b.example"])
    end)

    it("refuses one without a name, but for the first", function()
      assert.is_truthy(tls_context.server({ certificates = { pair("cn_only"), pair("good") } }))
      local _, message = tls_context.server({ certificates = { pair("good"), pair("cn_only") } })
      assert.matches("cn_only.pem' has no DNS names: give 'names' beside it", message)
    end)

    it("refuses all where one does not work", function()
      local _, message = tls_context.server({ certificates = { pair("good"), { certificate = path "second.pem",
        key = path "good.key" } } })
      assert.matches("good.key' does not belong", message)
    end)
  end)
end)

describe("where LuaSec cannot be had", function()
  local NAME = "websockets.transport.tls_context"
  local kept

  before_each(function()
    kept = { package.loaded[NAME], package.loaded.ssl, package.preload.ssl }
    package.loaded[NAME], package.loaded.ssl = nil, nil
  end)

  after_each(function()
    package.loaded[NAME], package.loaded.ssl, package.preload.ssl = kept[1], kept[2], kept[3]
  end)

  for what, case in pairs({
    ["is not installed"] = { "module 'ssl' not found:\n\tno field", "is not installed (luarocks install luasec)" },
    ["does not load"] = { "libssl.so.3: cannot open\nmore", "cannot be loaded: libssl.so.3: cannot open" },
  }) do
    it("one sentence says that it " .. what .. ", for servers and clients", function()
      package.preload.ssl = function() error(case[1], 0) end
      local fresh = require(NAME)
      local message = "TLS needs LuaSec, which " .. case[2]
      assert.same({ nil, message, "tls" }, { fresh.library() })
      -- A module that is not there leaves no mark, as this one does in Lua 5.1.
      if what == "is not installed" then package.loaded.ssl = nil end
      assert.same({ nil, message, "tls" }, { fresh.server({ certificate = "x", key = "y" }) })
      if what == "is not installed" then package.loaded.ssl = nil end
      assert.same({ nil, message, "tls" }, { fresh.client({}) })
    end)
  end
end)
