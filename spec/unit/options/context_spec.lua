--- What a context can be told: every option's check, default and refusal.
-- @module spec.unit.options.context_spec

local options = require "websockets.options.context"

local MIB = 1024 * 1024

local function nothing() end
local listening = { accept = nothing, settimeout = nothing }

-- name = { { good values }, { bad values } }
local NUMBERS = { "x", true, {}, 0, -1, 1.5, 0 / 0 }
local SECONDS = { { 0.5, 30, false }, { "5", true, {}, 0, -1, math.huge, 0 / 0 } }
local PATHS = { { false }, { 1, "", true, {}, print } }
local CALLBACK = { { print, function() end }, { "print", 1, {}, true, false } }
local CASES = {
  port = { { 0, 1, 65535, "any" }, { -1, 65536, 80.5, "80", "", true, {}, math.huge, 0 / 0 } },
  unix = { { "/run/app.sock", "app.sock", ("x"):rep(107) }, { "", 1, true, {}, ("x"):rep(108), "a\0b" } },
  -- What is right needs `unix` beside it: see below.
  unix_mode = { {}, { "", "888", 888, "1777", 1777, "0x1ff", "rw-rw----", -1, 6.5, true, {} } },
  sockets = { { "luasocket", "uv" }, { "", "tcp", 1, true, false, {} } },
  interf = { { "127.0.0.1", "lo" }, { "", 1, true, {} } },
  socket = {
    { listening, "systemd", "systemd:web", "worker" },
    { 1, "x", "systemd:", "systemd:a:b", {}, { accept = print }, io.stdout, print, false }
  },
  reuseport = { { true, false }, { 1, "yes", {} } },
  notify = { { true, false }, { 1, "yes", {} } },
  trusted_proxies = {
    -- What is right is kept as bytes: see below.
    {}, { {}, "127.0.0.1", { "localhost" }, { "10.0.0.0/33" }, { 7 }, { a = "10.0.0.0/8" }, true, 7,
      { "10.1.2.3/8" }, { "::ffff:10.0.0.0/8" } },
  },
  proxy_protocol = { { true, false }, { 1, "v2", {} } },
  protocols = {
    { {}, { echo = print }, { ["a.b-c"] = setmetatable({}, { __call = print }) } },
    { 1, "echo", print, { print }, { echo = 1 }, { echo = {} }, { ["a b"] = print }, { [""] = print },
      { ["http-only"] = print }, { ["a,b"] = print } },
  },
  default = CALLBACK, on_http = CALLBACK, on_add_fd = CALLBACK, on_del_fd = CALLBACK, on_set_mode_fd = CALLBACK,
  on_clear_mode_fd = CALLBACK, on_error = CALLBACK, log = CALLBACK, on_handshake = CALLBACK,
  routes = { { {}, { ["/a"] = {} } }, { 1, "/a", print, { {} }, { ["/a"] = print }, { ["/a"] = true } } },
  origins = {
    { "*", { "http://a", "file://" }, print },
    { "http://a", {}, { 1 }, 1, true, { "http://a", 2 }, { "null" }, { "*" }, { "a.example" }, { "wss://a.example" },
      { "http://a/chat" }, { "https://*.a.example" }, { "" }, { a = "http://a" } },
  },
  gid = { { -1, 0, 1000, 2 ^ 32 - 2 }, { -2, 1.5, "root", 2 ^ 32 - 1, 2 ^ 32, true, math.huge } },
  uid = { { -1, 0, 1000, 2 ^ 32 - 2 }, { -2, 1.5, "root", 2 ^ 32 - 1, 2 ^ 32, true, math.huge } },
  options = { { 0, 1, 4, 5 }, { -1, 8, 0.5, "1", true } },
  max_message_bytes = { { 1, 10 * MIB }, NUMBERS },
  max_fragments = { { 1, 5 }, NUMBERS },
  max_unfinished_total_bytes = { { 1, math.huge }, NUMBERS }, message_timeout = SECONDS,
  max_header_bytes = { { 64, 100000 }, { 63, 64.5, 0, -1, "x", {}, 0 / 0 } },
  max_header_lines = { { 1, 5 }, NUMBERS },
  max_request_line_bytes = { { 16 }, { 15, 16.5, 0, "x", 0 / 0 } },
  max_body_bytes = { { 0, 5 }, { -1, 1.5, "x", true, 0 / 0 } },
  handshake_timeout = SECONDS, keepalive_timeout = SECONDS, body_timeout = SECONDS, response_timeout = SECONDS,
  ping_interval = SECONDS, ping_timeout = SECONDS, idle_timeout = SECONDS,
  close_timeout = { { 0.1, 5 }, { false, 0, -1, math.huge, "5", 0 / 0 } },
  max_half_open = { { 1, 5 }, NUMBERS },
  max_connections = { { 1, math.huge }, NUMBERS },
  high_water_bytes = { { 1 }, NUMBERS },
  max_buffered_bytes = { { 1 }, NUMBERS },
  max_buffered_total_bytes = { { 1 }, NUMBERS },
  compression = { { true, {}, { level = 1 }, false }, { 1, "x", { level = 0 }, { window_bits = 9 } } },
  tls = { { false }, { 1, "x", true } },
  ssl_cert_filepath = PATHS, ssl_private_key_filepath = PATHS, ssl_ca_filepath = PATHS,
  topics = {
    { {}, { t = {} }, { t = { slow_consumer = "conflate" } }, print },
    { 1, "t", true, { "t" }, { t = "close" }, { [1] = {} } },
  },
  on_drop = CALLBACK,
  max_topics = { { 0, 1, math.huge }, { -1, 1.5, "x", true, false, 0 / 0 } },
  max_topic_bytes = { { 1, 256 }, NUMBERS },
  backplane = { { false, { url = "redis://localhost" } }, { 1, "redis://localhost", true } },
  slow_consumer = { { "close", "drop_new", "drop_old", "conflate" }, { "drop", "", 1, true, false, {} } },
}

describe("websockets.options", function()
  -- No tail call: the level of an error counts this function.
  local function read(given)
    local settings = options.read(given, 3)
    return settings
  end

  it("refuses a high_water_bytes that max_buffered_bytes keeps from being reached, and lowers the default", function()
    assert.has_error(function() read({ high_water_bytes = 2000, max_buffered_bytes = 1000 }) end,
      "option 'high_water_bytes' (2000) is above 'max_buffered_bytes' (1000) and could never be reached")
    assert.has_error(function() read({ high_water_bytes = math.huge }) end,
      "option 'high_water_bytes' (inf) is above 'max_buffered_bytes' (16777216) and could never be reached")
    local made = read({ max_buffered_bytes = 1000 })
    assert.same({ 1000, 1000 }, { made.high_water_bytes, made.max_buffered_bytes })
    made = read({ high_water_bytes = math.huge, max_buffered_bytes = math.huge })
    assert.equal(math.huge, made.high_water_bytes)
    made = read({ high_water_bytes = 1000, max_buffered_bytes = 1000 })
    assert.equal(1000, made.high_water_bytes)
  end)

  it("has a case here for every option", function()
    for name in pairs(options.KNOWN) do assert.truthy(CASES[name], name) end
    for name in pairs(CASES) do assert.truthy(options.KNOWN[name], name) end
  end)

  for name, case in pairs(CASES) do
    it("takes a right value of " .. name, function()
      for _, value in ipairs(case[1]) do
        local settings = read({ [name] = value })
        if type(value) == "table" then
          for key, inner in pairs(value) do assert.equal(inner, settings[name][key]) end
        else
          assert.equal(value, settings[name])
        end
      end
      if case[1][#case[1]] == false then assert.is_false(read({ [name] = false })[name]) end
    end)

    it("raises for a wrong value, naming the option: " .. name, function()
      for i = 1, #case[2] do
        local passed, message = pcall(read, { [name] = case[2][i] })
        assert.is_false(passed, name .. " took " .. tostring(case[2][i]))
        assert.truthy(message:find(("bad option '%s' (%s expected, got "):format(name, options.KNOWN[name].expected), 1,
          true), message)
      end
    end)
  end

  it("names the entry that is wrong inside of a table", function()
    for name, cases in pairs({
      protocols = { { { print }, "[1] = function: a function needs a name, and a list has none" },
        { { chat = 5 }, '["chat"] = 5: a name needs a function' },
        { { ["http-only"] = print }, '["http-only"] = function: this name is reserved' },
        { { [true] = print }, "[true] = function: the name of a subprotocol is a string" },
        { { ["a b"] = print }, '["a b"] = function: a name has only letters, digits and !#$%&\'*+-.^_`|~' } },
      origins = { { { "http://a", "null" }, '[2] = "null"' }, { { "https://a.example/chat" },
        '[1] = "https://a.example/chat": an origin has no path, write "https://a.example"' } },
      routes = { { { ["/a"] = print }, '["/a"] = function' }, { { "/a" }, '[1] = "/a"' } },
      compression = { { { window_bits = 9 }, '["window_bits"] = 9' }, { { level = 0 }, '["level"] = 0' } },
    }) do
      for _, case in ipairs(cases) do
        local _, message = pcall(read, { [name] = case[1] })
        assert.matches(("bad option '%s' ("):format(name), message, 1, true)
        assert.matches(" expected, got " .. case[2] .. ")", message, 1, true)
      end
    end
  end)

  it("keeps origins as browsers write them, of routes too", function()
    local given = { "HTTPS://A.Example:443/", "http://b.example:8080" }
    local settings = read({ origins = given, routes = { ["/a"] = { origins = { "http://C.example:80" } } } })
    assert.same({ "https://a.example", "http://b.example:8080" }, settings.origins)
    assert.same({ "http://c.example" }, settings.router:match("/a").settings.origins)
    assert.same({ "HTTPS://A.Example:443/", "http://b.example:8080" }, given)
  end)

  it("keeps the networks of trusted_proxies as bytes", function()
    assert.same({ { packed = "\10\0\0\0", bits = 8 }, { packed = "\127\0\0\1", bits = 32 }, { is_unix = true } },
      read({ trusted_proxies = { "10.0.0.0/8", "127.0.0.1", "unix" } }).trusted_proxies)
  end)

  it("says what a wrong network of trusted_proxies may be meant to be", function()
    assert.error_matches(function() read({ trusted_proxies = { "127.0.0.1", "10.1.2.3/8" } }) end,
      '%[2%] = "10%.1%.2%.3/8": "10%.1%.2%.3" is one address, "10%.0%.0%.0/8" a network')
  end)

  it("has the defaults of the documentation", function()
    local settings, expected = read({}), {
      gid = -1, uid = -1, options = 0, max_message_bytes = MIB, max_fragments = 1024,
      max_unfinished_total_bytes = 64 * MIB, message_timeout = 60, max_header_bytes = 8192, max_header_lines = 64,
      max_request_line_bytes = 8192, max_body_bytes = MIB, handshake_timeout = 10, max_half_open = 1024,
      keepalive_timeout = 15, body_timeout = 30, response_timeout = 30, max_connections = math.huge,
      ping_interval = 20, ping_timeout = 20, close_timeout = 5, idle_timeout = false, high_water_bytes = 64 * 1024,
      max_buffered_bytes = 16 * MIB, max_buffered_total_bytes = 256 * MIB, slow_consumer = "close", compression = false,
      max_topics = 1000, max_topic_bytes = 256, tls = false, backplane = false, proxy_protocol = false,
    }
    for name in pairs(options.KNOWN) do assert.equal(expected[name], settings[name], name) end
  end)

  it("raises for an unknown option, naming it", function()
    assert.error_matches(function() read({ prot = 80 }) end, "unknown option 'prot'")
    assert.error_matches(function() read({ [1] = 80 }) end, "unknown option '1'")
    assert.error_matches(function() read({ [true] = 80 }) end, "unknown option 'true'")
  end)

  it("has the file names of 2012 as aliases", function()
    assert.same({
      ssl_cert_path = "ssl_cert_filepath", ssl_private_key_path = "ssl_private_key_filepath",
      ssl_ca_path = "ssl_ca_filepath",
    }, options.ALIASES)
  end)

  it("raises for an option and its alias that differ, and takes one for the other", function()
    options.ALIASES.interface = "interf"
    finally(function() options.ALIASES.interface = nil end)
    assert.equal("lo", read({ interface = "lo" }).interf)
    assert.equal("lo", read({ interface = "lo", interf = "lo" }).interf)
    assert.error_matches(function() read({ interface = "lo", interf = "::1" }) end,
      "options 'interface' and 'interf' are the same thing")
  end)

  it("reads permissions in octal", function()
    for given, expected in pairs({ ["660"] = 432, ["0600"] = 384, [660] = 432, ["7"] = 7, [0] = 0, ["0777"] = 511 }) do
      assert.equal(expected, read({ unix = "x", unix_mode = given }).unix_mode)
    end
  end)

  it("raises for a unix socket together with another place, and for permissions without one", function()
    for name, value in pairs({ port = 8002, interf = "lo", socket = listening }) do
      assert.error_matches(function() read({ unix = "x", [name] = value }) end, "option 'unix' takes the place")
    end
    assert.error_matches(function() read({ port = 8002, unix_mode = "660" }) end,
      "option 'unix_mode' is for the file of 'unix'")
  end)

  it("raises for a socket together with port or interf", function()
    assert.error_matches(function() read({ socket = listening, port = 80 }) end, "option 'socket' takes the place")
    assert.error_matches(function() read({ socket = listening, interf = "lo" }) end, "option 'socket' takes the place")
  end)

  it("keeps a copy of the protocols", function()
    local protocols = { echo = nothing }
    local settings = read({ protocols = protocols })
    protocols.late = nothing
    assert.same({ echo = nothing }, settings.protocols)
  end)

  it("raises for a userdata without methods as socket", function()
    local new = rawget(_G, "newproxy")
    local passed, message = pcall(read, { socket = new and new() or io.stdout })
    assert.is_false(passed)
    assert.truthy(message:find("bad option 'socket'", 1, true), message)
  end)

  it("blames the line that asked for the context", function()
    for _, given in ipairs({ { port = "x" }, { prot = 1 }, { compression = 1 }, { options = 2 },
      { socket = listening, port = 1 } }) do
      local line
      local _, message = pcall(function()
        line = debug.getinfo(1, "l").currentline + 1
        read(given)
      end)
      assert.truthy(message:find("context_spec.lua:" .. line .. ": ", 1, true), message)
    end
  end)
end)
