--- Servers of the API of 2.x that have no descriptor left: accepting rests, and goes on.
-- @module spec.behaviour.two_x_shortage_spec
local child = require("spec.support.child")
local copas = require("spec.support.copas")
local libev = require("spec.support.libev")
local plain_client = require("spec.support.plain_client")
local two_x = require("spec.support.two_x")

local LIMIT_SECONDS = 30
-- A server that tries again and again takes the whole processor.
local MOST_BUSY = 0.12
local UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
  .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

-- With the host here, its program finds what this one has found or made.
local function check(kind, environment)
  local host, why = two_x[kind]()
  if not host then return pending(why) end
  finally(two_x.stop_all)
  local program = child.start("sh -c " .. child.quote("ulimit -n 60; exec " .. child.quote(child.this_lua())
    .. " spec/support/two_x_few_descriptors.lua " .. kind), environment(), LIMIT_SECONDS)
  finally(function()
    program:stop()
    two_x.stop_all()
  end)
  local client = plain_client.connect(tonumber((program:expect("^port (%d+)"))))
  client:request("/", UPGRADE)
  assert.is_true(tonumber((program:expect("^busy ([%d.e+-]+)"))) < MOST_BUSY)
  assert.matches("^HTTP/1.1 101 ", client:read_head())
  assert.same({ "served", 1 }, { client:read_message() })
  client:close()
end

describe("a server of 2.x without descriptors", function()
  it("rests under lua-ev", function() check("ev", libev.environment) end)

  it("rests under copas", function() check("copas", copas.environment) end)
end)
