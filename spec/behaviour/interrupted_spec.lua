--- A turn that is interrupted, as by Ctrl-C, at whichever step of its delivery or of its end: the context goes on.
-- @module spec.behaviour.interrupted_spec
local client = require("spec.support.client")
local deliver = require("websockets.turn.delivery").run
local finish = require("websockets.turn.turn").finish
local inside = require("spec.support.inside")
local interrupts = require("spec.support.interrupts")
local server = require("spec.support.server")

local PEERS, ENDED = 5, 3
local STRIDE = 5
local SENDERS, READ_STRIDE = 3, 7

describe("the interrupted end of a turn", function()
  after_each(server.stop_all)

  -- What became of connections, the first of which have been ended and all of which were written to in a turn whose end
  -- was interrupted after so many steps.
  local function interrupt(steps)
    local all, told, peers = {}, {}, {}
    local s = server.start({ log = function() end, protocols = { a = function(ws)
      local number = #all + 1
      all[number], told[number] = ws, 0
      ws:on_closed(function() told[number] = told[number] + 1 end)
    end } })
    for i = 1, PEERS do peers[i] = client.open(s, "a") end
    local has_run = false
    all[PEERS]:on_receive(function()
      for i = 1, PEERS do all[i]:write("to all") end
      for i = 1, ENDED do all[i]:close(0) end
      has_run = true
      inside.before_the_end(s.context, function() interrupts.arm(steps, finish) end)
    end)
    peers[PEERS]:text("go")
    for _ = 1, 1000 do
      local is_good, err = pcall(s.turn, s, 1)
      if not is_good then assert.equal("interrupted", err) end
      if has_run then break end
    end
    assert.is_true(has_run)
    return s, all, told, peers
  end

  it("costs no more than the connection that was being served", function()
    local served = 0
    local count = interrupts.sweep(STRIDE, function(steps)
      local s, all, told, peers = interrupt(steps)
      -- Each descriptor is closed, and each end is told once; but whether one that was being told is is not known.
      local ended = 0
      for i = 1, ENDED do
        assert.equal(-1, all[i]:get_socket_fd())
        assert.is_true(told[i] <= 1)
        ended = ended + told[i]
      end
      assert.is_true(ended >= ENDED - 1)
      -- The others get what was written and what comes later, or were ended with the end told.
      s:settle()
      local open = 0
      for i = ENDED + 1, PEERS do
        if all[i]:get_socket_fd() ~= -1 then
          open = open + 1
          all[i]:on_receive(function(ws, data) ws:write(data) end)
          peers[i]:text("after")
          assert.same({ 1, "to all" }, { peers[i]:message() })
          assert.same({ 1, "after" }, { peers[i]:message() })
          assert.equal(0, told[i])
        else
          assert.equal(1, told[i])
        end
      end
      assert.is_true(open >= PEERS - ENDED - 1)
      served = served + open
      -- New ones too.
      client.open(s, "a")
      s:stop()
    end)
    assert.is_true(count > 20, count .. " interrupts")
    assert.is_true(served > 1.5 * count)
  end)
end)

describe("an interrupted delivery", function()
  after_each(server.stop_all)

  -- What each connection hears where all have sent two messages, the first of which has an interrupt come after so many
  -- steps, and where each sends a third one later.
  local function interrupt(steps)
    local heard, peers, errors, ends, has_ended = {}, {}, {}, 0, {}
    local is_armed = false
    local s = server.start({
      on_error = function(err) errors[#errors + 1] = err end,
      protocols = { a = function(ws)
        local number = #heard + 1
        heard[number] = ""
        ws:on_closed(function()
          ends = ends + 1
          has_ended[number] = true
        end)
        ws:on_receive(function(_, data)
          heard[number] = heard[number] .. data
          if is_armed then return end
          is_armed = true
          interrupts.arm(steps, deliver)
        end)
      end },
    })
    for i = 1, SENDERS do peers[i] = client.open(s, "a") end
    s:settle()
    for _, c in ipairs(peers) do c.connection:send(c:frame(1, "1") .. c:frame(1, "2")) end
    s:settle()
    for _, c in ipairs(peers) do c:text("3") end
    s:pump(function()
      local count = 0
      for i = 1, SENDERS do count = count + ((has_ended[i] or heard[i]:find("3")) and 1 or 0) end
      return count == SENDERS
    end, "the third message of each")
    -- Nobody can tell how far one was read that was being read.
    assert.is_true(ends <= 1)
    s:stop()
    return heard, errors, has_ended
  end

  it("costs one connection at most what was being read or delivered, and the others nothing", function()
    local whole = 0
    local count = interrupts.sweep(READ_STRIDE, function(steps)
      local heard, errors, has_ended = interrupt(steps)
      local lost = 0
      for i = 1, SENDERS do
        assert.matches(has_ended[i] and "^1?2?3?$" or "^1?2?3$", heard[i])
        if heard[i] ~= "123" then lost = lost + 1 end
        -- The accelerator has read all before.
        if server.is_native then assert.is_true(#heard[i] >= 2) end
      end
      assert.is_true(lost <= 1, table.concat(heard, " "))
      assert.is_true(#errors <= 1)
      if errors[1] then assert.equal("interrupted", errors[1]) end
      if lost == 0 then whole = whole + 1 end
    end)
    assert.is_true(count > 10, count .. " interrupts")
    assert.is_true(whole > count / 20)
  end)
end)
