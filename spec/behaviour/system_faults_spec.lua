--- The system refuses what a server needs: accepting and waiting go on when it can be done again, and never spin.
-- @module spec.behaviour.system_faults_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local socket = require("socket")

describe("accepting that fails", function()
  local undo

  after_each(function()
    undo()
    server.stop_all()
  end)

  local function start()
    local lines = {}
    local run = server.start({ protocols = { echo = server.echo }, log = function(level, text)
      lines[#lines + 1] = level .. ": " .. text
    end })
    run:fake_time()
    return run, lines, inside.record_listener(run.context)
  end

  local function assert_served(run)
    local peer = client.open(run, "echo")
    peer:text("x")
    assert.equal("x", select(2, peer:message()))
  end

  it("for want of memory rests a second, with one line in the log however long that lasts", function()
    local run, lines, listener = start()
    -- The spare descriptor is tried too.
    local faults = {}
    for i = 1, 6 do faults[i] = "no memory" end
    undo = inside.fail_accepts(run.context, faults)
    client.connect(run)
    for _ = 1, 3 do
      run:turns(5)
      assert.is_true(listener.is_resting())
      run:advance(0.9)
      assert.is_true(listener.is_resting())
      run:advance(0.2)
    end
    -- Two each time, and one more where the shortage is new.
    assert.is_true(listener.accepts <= 7, listener.accepts .. " tries")
    assert.equal(1, #lines, table.concat(lines, "\n"))
    assert.matches("^warning: accepting rests a second: .*memory", lines[1])
    run:advance(1.1)
    assert_served(run)
  end)

  it("is told again after a connection was accepted in between", function()
    local run, lines = start()
    local words = { "no memory", "no memory" }
    undo = inside.fail_accepts(run.context, words)
    client.connect(run)
    run:settle()
    run:advance(1.1)
    assert_served(run)
    words[1], words[2] = "no memory", "no memory"
    client.connect(run)
    run:settle()
    assert.equal(2, #lines, table.concat(lines, "\n"))
  end)

  it("for connections that were lost goes on with the next one", function()
    local run, lines, listener = start()
    undo = inside.fail_accepts(run.context, { "lost", "lost", "lost" })
    assert_served(run)
    assert.is_false(listener.is_resting())
    assert.same({}, lines)
  end)

  it("for ever in that way rests too: no busy loop", function()
    local run, lines, listener = start()
    local words = {}
    for i = 1, 1000 do words[i] = "lost" end
    undo = inside.fail_accepts(run.context, words)
    client.connect(run)
    run:settle()
    assert.is_true(listener.is_resting())
    assert.equal(1, #lines)
  end)
end)

describe("waiting that fails", function()
  local real_sleep = socket.sleep
  after_each(function()
    socket.sleep = real_sleep
    server.stop_all()
  end)

  it("is tried again after a rest, with one line in the log; connections are served on", function()
    local lines, slept = {}, 0
    local run = server.start({ protocols = { echo = server.echo }, log = function(level, text)
      lines[#lines + 1] = level .. ": " .. text
    end })
    local peer = client.open(run, "echo")
    socket.sleep = function(seconds) slept = slept + seconds end
    inside.fail_waits(run.context, 5)
    run:turns(5)
    assert.is_true(slept > 0.4 and slept < 1)
    assert.equal(1, #lines, table.concat(lines, "\n"))
    assert.matches("^error: [%w_]+ failed", lines[1])
    peer:text("x")
    assert.equal("x", select(2, peer:message()))
  end)

  it("for five seconds is an error that leaves service", function()
    local slept = 0
    local run = server.start({})
    socket.sleep = function(seconds) slept = slept + seconds end
    inside.fail_waits(run.context, 1000)
    run:turns(49)
    assert.matches("failed", run:failure())
    assert.is_true(slept > 4.9 and slept < 5.1)
  end)
end)
