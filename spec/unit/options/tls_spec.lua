--- What a context and a client can be told of TLS.
-- @module spec.unit.options.tls_spec

local options = require "websockets.options.context"
local tls = require "websockets.options.tls"

local PAIR = { certificate = "a.pem", key = "a.key" }

describe("websockets.options.tls", function()
  -- No tail call: the level of an error counts this function.
  local function read(given)
    local settings = options.read(given, 3)
    return settings.tls
  end

  local function refusal(given)
    local passed, message = pcall(read, given)
    assert.is_false(passed)
    return message
  end

  local function with(field, value)
    return { tls = { certificate = "a.pem", key = "a.key", [field] = value } }
  end

  it("is off where nothing asks for it", function()
    assert.is_false(read({}))
    assert.is_false(read({ tls = false, ssl_cert_filepath = false, ssl_ca_filepath = false }))
  end)

  it("takes certificate and key, by LuaSec's names and by those of 2012", function()
    local expected = { certificate = "a.pem", key = "a.key", alpn = { "http/1.1" } }
    assert.same(expected, read({ tls = PAIR }))
    assert.same(expected, read({ ssl_cert_filepath = "a.pem", ssl_private_key_filepath = "a.key" }))
    assert.same(expected, read({ ssl_cert_path = "a.pem", ssl_private_key_path = "a.key" }))
    assert.same(expected, read({ tls = PAIR, ssl_cert_filepath = "a.pem" }))
    assert.equal("ca.pem", read({ tls = PAIR, ssl_ca_filepath = "ca.pem" }).cafile)
    assert.equal("options 'ssl_cert_filepath' and 'tls.certificate' are the same thing",
      (refusal({ tls = PAIR, ssl_cert_filepath = "b.pem" }):gsub("^.-: ", "")))
    assert.same({ certificate = "a.pem", key = "a.key" }, PAIR)
  end)

  it("needs the parts that belong together", function()
    assert.matches("TLS needs a certificate", refusal({ tls = {} }))
    assert.matches("TLS needs a certificate", refusal({ ssl_ca_filepath = "ca.pem" }))
    assert.matches("option 'tls' needs a key beside its certificate", refusal({ ssl_cert_filepath = "a.pem" }))
    assert.matches("option 'tls' needs a certificate beside its key", refusal({ tls = { key = "a.key" } }))
  end)

  it("with option 2 requires a client certificate, and a CA", function()
    for _, sum in ipairs({ 2, 3, 6, 7 }) do
      local made = read({ tls = PAIR, options = sum, ssl_ca_filepath = "ca.pem" })
      assert.same({ "peer", "fail_if_no_peer_cert" }, made.verify)
      assert.equal("ca.pem", made.cafile)
      assert.matches("option 'options' 2 %(client certificates%) needs a CA: give 'ssl_ca_filepath' or 'tls.cafile'",
        refusal({ tls = PAIR, options = sum }))
      assert.matches("TLS needs a certificate", refusal({ options = sum }))
    end
    assert.matches("option 'tls.verify' %(client certificates%) needs a CA", refusal(with("verify", "peer")))
    assert.is_nil(read({ tls = PAIR, options = 5 }).verify)
  end)

  it("raises for a field that is not known, naming it", function()
    assert.matches("unknown option 'tls.cert'", refusal(with("cert", "x")))
    assert.matches("unknown option 'tls.1'", refusal(with(1, "x")))
    assert.matches("unknown option 'tls.names'", refusal(with("names", { "a" })))
  end)

  local WRONG = {
    mode = { "client", "x", 1 }, protocol = { "tlsv1", "tlsv1_1", "sslv23", 1 }, certificate = { "", 1, {} },
    key = { "", 1 }, password = { 1, {} }, cafile = { "", 1 }, capath = { "", 1 }, verify = { "", 1, {}, { 1 } },
    verifyext = { 1 }, options = { 1, {}, { a = "b" } }, depth = { -1, 1.5, "1" }, ciphers = { 1, {} },
    ciphersuites = { 1 }, curve = { 1 }, curveslist = { 1 }, dhparam = { "x" }, alpn = { "x", {}, 1, { 1 } },
    certificates = { {}, "x" },
  }
  local RIGHT = {
    mode = "server", protocol = "tlsv1_3", password = "x", capath = "x", verifyext = "crl_check", options = "no_ticket",
    depth = 3, ciphers = "x", ciphersuites = "x", curve = "x", curveslist = "x", dhparam = print, alpn = { "x" },
  }

  it("takes each of LuaSec's names for a server, and raises for a wrong value", function()
    for name in pairs(tls.SERVER) do assert.is_table(WRONG[name], name) end
    for name, value in pairs(RIGHT) do assert.equal(value, read(with(name, value))[name]) end
    for name, values in pairs(WRONG) do
      for _, value in ipairs(values) do
        assert.matches(("bad option 'tls.%s' ("):format(name), refusal(with(name, value)), 1, true)
      end
    end
  end)

  it("takes a list of certificates, each with its key and its names", function()
    local made = read({ tls = { certificates = { PAIR, { certificate = "b.pem", key = "b.key", names = "b.test" } } } })
    assert.same({ PAIR, { certificate = "b.pem", key = "b.key", names = { "b.test" } } }, made.certificates)
    local function list(entry) return { tls = { certificates = { PAIR, entry } } } end
    assert.matches("bad option 'tls.certificates%[2%]' %(table expected, got .x.%)", refusal(list("x")))
    local function got(name, value) return refusal(with(name, value)):match("got (.*)%)$") end
    assert.equal("an empty table", got("certificates", {}))
    -- Not the value: it may be a password.
    assert.equal('"key": the entries of a list have no names', got("certificates", { key = "b.key" }))
    assert.equal('[2] = 7', got("options", { "no_ticket", 7 }))
    assert.equal("an empty table", got("alpn", {}))
    assert.matches("unknown option 'tls.certificates%[2%].cafile'", refusal(list({ cafile = "x" })))
    assert.matches("bad option 'tls.certificates%[2%].key'", refusal(list({ certificate = "x", key = 1 })))
    assert.matches("option 'tls.certificates%[2%]' needs a key", refusal(list({ certificate = "x" })))
    assert.matches("option 'tls.certificates%[2%]' needs a certificate", refusal(list({})))
  end)

  it("blames the line that asked for the context", function()
    for _, given in ipairs({ { tls = {} }, with("x", 1), with("depth", "x"), { options = 2 },
      { tls = { certificates = { {} } } }, { ssl_cert_filepath = "x" }, { tls = PAIR, options = 2 },
      { tls = PAIR, ssl_cert_filepath = "b" } }) do
      local line
      local _, message = pcall(function()
        line = debug.getinfo(1, "l").currentline + 1
        read(given)
      end)
      assert.truthy(message:find("tls_spec.lua:" .. line .. ": ", 1, true), message)
    end
  end)

  it("is not an option of a route", function()
    assert.matches("option 'routes%['/a'%].tls' is for the whole context",
      refusal({ routes = { ["/a"] = { tls = {} } } }))
  end)

  it("of a client has the fields of a client", function()
    assert.same({ cafile = "ca.pem", alpn = "x" }, tls.client({ cafile = "ca.pem", alpn = "x" }, 1))
    for name, value in pairs({ mode = "server", certificates = { PAIR }, dhparam = print, certificate = "a.pem" }) do
      assert.is_false((pcall(tls.client, { [name] = value }, 1)), name)
    end
  end)
end)
