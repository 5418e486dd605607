--- A connection with the option `reconnect` comes back after what is done to the server, and to its own process.
-- @module spec.behaviour.reconnect_faults_spec
local child = require("spec.support.child")
local inside = require("spec.support.inside")
local interrupts = require("spec.support.interrupts")
local random = require("spec.support.engine").random
local reconnecting = require("spec.support.reconnecting")
local server = require("spec.support.server")
local turn = require("websockets.turn.turn")

local await, connect = reconnecting.await, reconnecting.connect
local finish, serve = turn.finish, turn.serve
local STRIDE = 5

describe("a connection that reconnects", function()
  after_each(server.stop_all)

  it("comes back after a server that was killed, as a process", function()
    local program = [[
      package.path = "lua/?.lua;" .. package.path
      local context = require("websockets").context({ port = tonumber(arg[1]) or "any", interf = "127.0.0.1",
        default = function(ws) ws:on_receive(function(_, data) ws:write("echo " .. data) end) end })
      print(io.open("/proc/self/stat"):read("*n"), math.floor(context:get_port()))
      io.stdout:flush()
      context:run()]]
    if not io.open("/proc/self/stat") then return pending("needs /proc") end
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(program)
    file:close()
    local pid, port, running
    local function run(wanted)
      running = child.start(("%s %s %s"):format(child.quote(child.this_lua()), path, wanted))
      pid, port = running:expect("^%d+%s+%d+$"):match("(%d+)%s+(%d+)")
    end
    finally(function()
      running:stop("TERM")
      os.remove(path)
    end)
    run("any")
    local s = server.start({ port = 0 })
    local ws, log = connect(s, port)
    for round = 1, 5 do
      await(s, log.opened, round)
      ws:write(round)
      await(s, log.messages, round)
      assert.equal("echo " .. round, log.messages[round])
      child.run("kill -KILL " .. pid)
      running:rest()
      await(s, log.waits, round)
      run(port)
    end
    await(s, log.opened, 6)
    ws:close()
    await(s, log.closed)
    assert.same({ 1005, "", true, "closed" }, log.closed[1])
  end)

  it("sends no message twice and none out of order, whenever and however the server ends", function()
    local next_random = random(11)
    local accepted, arrived, last = {}, 0, 0
    local other = server.start({ default = function(ws)
      accepted[#accepted + 1] = ws
      ws:on_receive(function(_, data)
        local number = tonumber(data:match("^%d+"))
        assert(number > last, data)
        arrived, last = arrived + 1, number
      end)
    end })
    local s = server.start({ port = 0 })
    local before = inside.leftovers(s.context)
    function s:turn(ms)
      other.context:service(0)
      self.context:service(ms)
    end
    local ends = {
      function(ws) ws:close(0) end, function(ws) ws:close(1012) end, function(ws) ws:close() end,
      function(ws) ws:rx_flow_control(false) end, inside.break_off,
    }
    local ws, log = connect(s, other.port, { min = 0.001, max = 0.002 }, { max_buffered_bytes = 2 ^ 20 })
    local written, big = 0, ("x"):rep(30000)
    for round = 1, 40 do
      await(s, log.opened, round)
      for _ = 1, next_random(20) do
        for _ = 1, next_random(10) do
          written = written + 1
          ws:write(written .. (next_random(4) == 1 and big or ""))
        end
        if next_random(3) > 1 then s:turn(0) end
      end
      ends[next_random(#ends)](accepted[#accepted])
      -- Also where the server has only ceased to read.
      if next_random(2) == 1 then inside.break_off(ws) end
      s:turn(0)
      if #log.waits < round then inside.break_off(ws) end
    end
    await(s, log.opened, 41)
    s:pump(function()
      written = written + 1
      ws:write(written)
      return last > written - 50
    end, "the last messages")
    assert.is_true(arrived > 100 and arrived <= written, arrived)
    assert.same({}, log.closed)
    ws:close(1000)
    await(s, log.closed)
    s:settle()
    assert.same({ 0, 0, before }, {
      inside.connections(s.context), inside.buffered(s.context), inside.leftovers(s.context),
    })
    assert.is_nil(s.context:timeout())
  end)

  it("is not kept away by an error at any step of the end of the turn in which it breaks", function()
    local count = interrupts.sweep(STRIDE, function(steps)
      local s = server.start({ log = function() end, default = server.echo })
      local ws, log = connect(s, s.port, { min = 0.001, max = 0.001 })
      await(s, log.opened, 1)
      local has_run = false
      ws:on_receive(function()
        -- As if the system had ended it.
        inside.break_off(ws)
        has_run = true
        inside.before_the_end(s.context, function() interrupts.arm(steps, finish) end)
      end)
      ws:write("go")
      for _ = 1, 1000 do
        local is_good, err = pcall(s.turn, s, 1)
        if not is_good then assert.equal("interrupted", err) end
        if has_run then break end
      end
      assert.is_true(has_run)
      await(s, log.opened, 2)
      assert.same({}, log.closed)
      s:stop()
    end)
    assert.is_true(count > 20, count .. " interrupts")
  end)

  it("is not kept away by an error at any step of the turn in which it is opened again", function()
    local count = interrupts.sweep(STRIDE, function(steps)
      local s = server.start({ log = function() end, default = server.echo })
      local ws, log = connect(s, s.port, { min = 0.001, max = 0.001 })
      await(s, log.opened, 1)
      s:fake_time()
      local try = s.turn
      function s:turn(ms)
        self.fake_now = self.fake_now + 0.001
        try(self, ms)
      end
      inside.break_off(ws)
      await(s, log.waits)
      -- It is due before the next try, in the same turn.
      s.context:after(0, function() interrupts.arm(steps, serve) end)
      local is_good, err = pcall(s.turn, s, 0)
      if not is_good then assert.equal("interrupted", err) end
      await(s, log.opened, 2)
      assert.same({}, log.closed)
      s:stop()
    end)
    assert.is_true(count > 20, count .. " interrupts")
  end)
end)
