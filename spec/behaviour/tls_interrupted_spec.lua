--- A server whose TLS handshakes are interrupted, as by Ctrl-C, at any step.
-- @module spec.behaviour.tls_interrupted_spec
local client = require("spec.support.client")
local handshakes = require("websockets.server.handshakes")
local inside = require("spec.support.inside")
local interrupts = require("spec.support.interrupts")
local luasec = require("websockets.transport.luasec")
local secure = require("websockets.server.secure")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local STRIDE = 5

describe("a TLS server that is interrupted", function()
  local it = tls.test(it, pending)

  after_each(server.stop_all)

  -- Interrupts a function of a module once, so many steps after it was called for anybody but the client.
  local function interrupt_in(module, name, steps, own, work)
    local original = module[name]
    module[name] = function(first, ...)
      if first == own then return original(first, ...) end
      module[name] = original
      -- Not before it has begun.
      interrupts.arm(steps + 9, original)
      return original(first, ...)
    end
    local is_good, err = pcall(work)
    module[name] = original
    if not is_good then error(err, 0) end
  end

  local PLACES = {
    { luasec, "handshake", "in a step of a TLS handshake" }, { luasec, "receive", "while it receives" },
    { luasec, "send", "while it sends" }, { secure, "feed", "when a TLS handshake is done" },
    { handshakes, "accept", "in the queue of TLS handshakes" },
  }

  for _, place in ipairs(PLACES) do
    it(place[3] .. " ends that connection at most, and serves the others", function()
      local s = tls.server({ protocols = { a = server.echo } })
      local turn = s.turn
      function s:turn(ms)
        local is_good, err = pcall(turn, self, ms)
        if not is_good and err ~= "interrupted" then error(err, 0) end
      end
      local other = client.open(s, "a")
      local count = interrupts.sweep(STRIDE, function(steps)
        -- That of the client is not what is interrupted.
        s.secure = nil
        local list = { client.connect(s), client.connect(s) }
        local made = tls.wrap(list[2].connection)
        interrupt_in(place[1], place[2], steps, made.transport, function()
          list[1].connection:send("\22\3\1\0\5")
          for _ = 1, 4 do
            made:send(client.upgrade({ protocol = "a" }))
            s:turns(2)
          end
        end)
        for _ = 1, 4 do
          made:send(client.upgrade({ protocol = "a" }))
          s:turns(2)
        end
        list[1]:close()
        made:close()
        s:pump(function() return inside.connections(s.context) == 1 end, "the end of both")
        other:text("x")
        assert.same({ 1, "x" }, { other:message() })
      end)
      assert.is_true(count > 0, place[2])
    end)
  end
end)
