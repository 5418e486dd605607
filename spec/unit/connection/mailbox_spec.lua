--- Messages that wait for the application: their order, the limit, and that an error between two steps spoils nothing.
-- @module spec.unit.connection.mailbox_spec
local fakes = require("spec.support.fakes")
local interrupts = require("spec.support.interrupts")
local mailbox = require("websockets.connection.mailbox")

local MIB = 1024 * 1024

local function start()
  local ws = fakes.connection(fakes.context({}))
  ws.mailbox = mailbox.new(4 * MIB, 4096)
  return ws, ws.mailbox
end

describe("a mailbox", function()
  it("gives messages in their order, with their kinds", function()
    local ws, box = start()
    assert.is_true(mailbox.is_empty(box))
    assert.is_nil(mailbox.take(box))
    for round = 1, 3 do
      for i = 1, round do mailbox.put(ws, "message " .. i, i % 2) end
      for i = 1, round do
        assert.is_false(mailbox.is_empty(box))
        assert.same({ "message " .. i, i % 2 }, { mailbox.take(box) })
      end
      assert.is_true(mailbox.is_empty(box))
      assert.is_nil(mailbox.take(box))
    end
    assert.same({ {}, {} }, { box.payloads, box.kinds })
  end)

  for _, case in ipairs({
    { "bytes", ("x"):rep(MIB), 4, 3 }, { "messages", "", 4096, 2049 }, { "one message", ("x"):rep(5 * MIB), 1, 1 },
  }) do
    it("stops reading at its limit of " .. case[1] .. ", and goes on at half of it", function()
      local ws, box = start()
      for i = 1, case[3] do
        assert.is_false(ws.paused, i)
        mailbox.put(ws, case[2], 0)
      end
      assert.is_true(ws.paused and box.is_full)
      for i = 1, case[4] do
        assert.is_false(mailbox.has_room(box), i)
        assert.equal(case[2], (mailbox.take(box)))
      end
      assert.is_true(mailbox.has_room(box))
      mailbox.go_on(ws)
      assert.is_false(ws.paused or box.is_full or mailbox.has_room(box))
    end)
  end

  it("loses no more than the message that an error has interrupted", function()
    local count = interrupts.sweep(1, function(steps)
      local ws, box = start()
      local function attempt()
        interrupts.arm(steps, attempt)
        for i = 1, 3 do mailbox.put(ws, tostring(i), 0) end
        for _ = 1, 3 do mailbox.take(box) end
        mailbox.put(ws, "4", 0)
        return true
      end
      pcall(attempt)
      debug.sethook()
      local last, taken = 0, 0
      for _ = 1, 4 do
        local message = mailbox.take(box)
        if message then
          assert.is_true(tonumber(message) > last)
          last, taken = tonumber(message), taken + 1
        end
      end
      assert.is_true(taken <= 3)
      mailbox.put(ws, "5", 1)
      assert.same({ "5", 1 }, { mailbox.take(box) })
      assert.is_true(mailbox.is_empty(box))
      mailbox.put(ws, "6", 0)
      assert.equal(1, box.bytes)
    end)
    assert.is_true(count > 50, count .. " interrupts")
  end)
end)
