--- Opening handshakes that a proxy has spoiled: the log says what to change.
-- @module spec.behaviour.proxy_spec
local client = require("spec.support.client")
local server = require("spec.support.server")

local KEY = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " .. client.KEY .. "\r\n"
-- What a proxy makes of an opening handshake, and what of it the log names.
local SPOILED = {
  { "by HTTP/1.0, as nginx does by default", "GET / HTTP/1.0\r\nHost: a\r\nConnection: close\r\n" .. KEY,
    "over HTTP/1.0", 404 },
  { "by HTTP/1.0, with Upgrade", "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" .. KEY,
    "over HTTP/1.0", 404 },
  { "without Upgrade and Connection", "GET / HTTP/1.1\r\nHost: a\r\n" .. KEY, "without 'Upgrade: websocket'", 404 },
  { "without Connection", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n" .. KEY, "without 'Connection: Upgrade'",
    426 },
}

describe("an opening handshake that a proxy has spoiled", function()
  after_each(server.stop_all)

  local logged

  local function start()
    logged = {}
    return server.start({ default = server.echo, log = function(level, message)
      logged[#logged + 1] = level .. ": " .. message
    end })
  end

  local function status_of(s, bytes)
    local c = client.connect(s)
    c:send(bytes .. "\r\n")
    return (c:response())
  end

  for _, case in ipairs(SPOILED) do
    it(case[1] .. ": the log names the proxy", function()
      assert.equal(case[4], status_of(start(), case[2]))
      assert.equal(1, #logged)
      assert.matches("^warning: an opening handshake came ", logged[1])
      for _, part in ipairs({ case[3], "proxy", "HTTP/1.1", "proxy_http_version 1.1" }) do
        assert.matches(part, logged[1], 1, true)
      end
    end)
  end

  it("is logged once a minute, whatever comes", function()
    local s = start()
    s:fake_time()
    for _ = 1, 3 do
      for _, case in ipairs(SPOILED) do status_of(s, case[2]) end
    end
    assert.equal(1, #logged)
    s:advance(61)
    status_of(s, SPOILED[1][2])
    assert.equal(2, #logged)
  end)

  it("is not seen in plain requests, upgrades to something else, and handshakes with another fault", function()
    local s = start()
    for _, bytes in ipairs({
      "GET / HTTP/1.0\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
      (client.upgrade():gsub("13", "8"):gsub("\r\n$", "")),
    }) do
      assert.is_true(status_of(s, bytes) >= 400)
    end
    assert.same({}, logged)
  end)
end)
