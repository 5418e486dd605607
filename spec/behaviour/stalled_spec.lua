--- Peers that take nothing of what is sent to them: when they end, and what a broadcast to thousands of them costs.
-- @module spec.behaviour.stalled_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local still = require("spec.support.still")

local WRITE_BINARY = 1
local BIG = ("x"):rep(1024 * 1024)

local start, pass, assert_timed_out = still.start, still.pass, still.assert_timed_out

-- Messages until the connection takes no more.
local function stuff(run, log, peer)
  local ws = log.ws[1]
  run:pump(function()
    for _ = 1, 4 do ws:write(BIG, WRITE_BINARY) end
    run:turns(2)
    return ws:buffered() > 16 * #BIG
  end, "a full socket")
  run:calm(ws)
  assert.is_false(peer.ended)
  return ws
end

describe("a peer whose socket is full", function()
  after_each(server.stop_all)

  it("bytes that the peer takes are a sign of life", function()
    local run, log, peer = start({ max_buffered_bytes = 1e9 })
    local ws = stuff(run, log, peer)
    for _ = 1, 8 do
      pass(run, 15)
      local before = ws:buffered()
      run:pump(function()
        peer:poll()
        peer:take()
        return ws:buffered() < before
      end, "the peer to take something")
    end
    assert.equal(0, #log.closed)
  end)

  it("bytes that the peer takes after the ping are a sign of life, a full socket alone is none", function()
    for _, takes in ipairs({ true, false }) do
      local run, log, peer = start({ max_buffered_bytes = 1e9 })
      pass(run, 20)
      local ws = stuff(run, log, peer)
      -- Filling the socket may have taken several rounds, each of which took bytes after the ping: that is not meant.
      inside.forget_signs_of_life(ws)
      pass(run, 15)
      local before = ws:buffered()
      if takes then
        run:pump(function()
          peer:poll()
          return ws:buffered() < before
        end, "the peer to take something")
      end
      pass(run, 5)
      run:settle()
      assert.equal(takes and 0 or 1, #log.closed)
      run:stop()
    end
  end)

  it("a peer that takes nothing is gone after ping_timeout, though its queue is not full", function()
    local run, log, peer = start({ max_buffered_bytes = 1e9 })
    local ws = stuff(run, log, peer)
    inside.forget_signs_of_life(ws)
    pass(run, 39)
    assert.equal(0, #log.closed)
    -- The system may have found room for a few more bytes, once.
    pass(run, 45)
    assert_timed_out(run, log)
  end)

  it("the time for an answer starts when the ping has left our queue", function()
    local run, log, peer = start({ max_buffered_bytes = 1e9 })
    local ws = stuff(run, log, peer)
    inside.forget_signs_of_life(ws)
    pass(run, 35)
    run:pump(function()
      while peer:poll() do peer:take() end
      return ws:buffered() == 0
    end, "the peer to take everything")
    pass(run, 20)
    assert.equal(0, #log.closed)
    pass(run, 40)
    assert_timed_out(run, log)
  end)

  it("a peer that takes a little in each ping_timeout goes on", function()
    local run, log, peer = start({ max_buffered_bytes = 1e9 })
    stuff(run, log, peer)
    for _ = 1, 12 do
      pass(run, 15)
      -- Less than the system needs to report the socket as writable.
      for _ = 1, 4 do peer:poll() end
      peer:take()
      run:turns(2)
    end
    assert.equal(0, #log.closed)
  end)
end)

-- `make soak-stalled` has thousands.
describe("a broadcast to peers of which many take nothing", function()
  local STALLED, READERS, MESSAGES, LIMIT_BYTES = 60, 5, 100, 2 * 1024 * 1024
  local PAYLOAD = ("x"):rep(65536 - 8)

  after_each(server.stop_all)

  it("is bounded, ends the slow ones, and readers get all", function()
    local handler, log = server.recorder()
    local run = server.start({
      protocols = { feed = handler, echo = server.echo }, max_buffered_total_bytes = LIMIT_BYTES,
    })
    run:fake_time()
    for _ = 1, STALLED do client.open(run, "feed") end
    local readers, most, slow = {}, 0, 0
    for i = 1, READERS do readers[i] = client.open(run, "feed") end
    local witness = client.open(run, "echo")
    for number = 1, MESSAGES do
      run.context:broadcast("feed", ("%08d"):format(number) .. PAYLOAD)
      run:turns(1)
      most = math.max(most, inside.buffered(run.context))
      for _, one in ipairs(readers) do
        local _, payload = one:message()
        assert.equal(number, tonumber(payload:sub(1, 8)))
        assert.equal(65536, #payload)
      end
    end
    -- As much again may have begun to leave.
    assert.is_true(most <= 2 * LIMIT_BYTES, most)
    -- The frame that has begun to leave has `close_timeout` for its end.
    run:advance(5.1)
    run:settle()
    for _, closed in ipairs(log.closed) do
      assert.equal("slow", closed[5])
      slow = slow + 1
    end
    assert.is_true(slow > STALLED / 2, slow .. " were slow")
    witness:text("quick")
    assert.same({ 1, "quick" }, { witness:message() })
    run:stop()
    assert.equal(0, inside.buffered(run.context))
  end)
end)
