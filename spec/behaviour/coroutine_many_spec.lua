--- Many functions of `websockets.coroutine`: a thousand that wait with a timeout, while others talk.
-- @module spec.behaviour.coroutine_many_spec
local beside = require("spec.support.beside")
local child = require("spec.support.child")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local websockets = require("websockets")

local CONNECTIONS, TALKERS, ROUNDS, TIMEOUT = 1000, 20, 5, 30

local function echo_or_timeout(ws)
  while true do
    local data, why = ws:receive(TIMEOUT)
    if not data and why == "closed" then return end
    ws:write(data or why)
  end
end

describe("a thousand functions of websockets.coroutine", function()
  after_each(server.stop_all)

  it("each wait with a timeout while others talk", function()
    local s
    s = server.start({ max_half_open = 2000, ping_interval = false, protocols = {
      wait = websockets.coroutine(echo_or_timeout),
      clock = function(ws)
        ws:on_receive(function(_, seconds)
          s.fake_now = s.fake_now + tonumber(seconds)
          ws:write(seconds)
        end)
      end,
    } })
    s:fake_time()
    local code, said = beside.run(s, ("%s spec/support/many_peers.lua %d %d %d %d %d"):format(
      child.quote(child.this_lua()), s.port, CONNECTIONS, TALKERS, ROUNDS, TIMEOUT))
    assert.equal("980 told, 20 talked\n", said)
    assert.equal(0, code)
    s:pump(function() return inside.connections(s.context) == 0 end, "all to have gone")
    -- Nothing is left of them.
    s.fake_now = s.fake_now + 10 * TIMEOUT
    s:turns(1)
    assert.is_nil(s.context:timeout())
  end)
end)
