--- A loop of the application's own, on few descriptors and on many.
-- @module spec.behaviour.loop_spec
local loops = require("spec.support.loops")
local server = require("spec.support.server")
local client = require("spec.support.client")
local child = require("spec.support.child")
local websockets = require("websockets")

local POLLIN, POLLOUT = websockets.POLLIN, websockets.POLLOUT

local function big_file(bytes)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(("0123456789abcdef"):rep(bytes / 16))
  file:close()
  return path
end

local function read_slowly(s, c, bytes)
  local status, headers = c:read_head()
  assert.equal(200, status)
  assert.equal(tostring(bytes), headers["content-length"])
  -- The peer does not read for a while: everything fills up.
  for _ = 1, 20 do s:turn(1) end
  assert.equal(("0123456789abcdef"):rep(bytes / 16), c:read(bytes))
end

local LOOPS = { ["that watches READ only"] = loops.read_only, ["that watches writing too"] = loops.with_modes }

for name, start in pairs(LOOPS) do
  describe("a loop of its own " .. name, function()
    after_each(server.stop_all)

    it("serves handshakes, messages, broadcasts and ends", function()
      local handler, log = server.recorder(server.echo)
      local s, watched = start({ protocols = { a = handler } })
      local c, d = client.open(s, "a"), client.open(s, "a")
      c:text("x")
      assert.same({ 1, "x" }, { c:message() })
      s.context:broadcast("a", "all")
      assert.same({ 1, "all" }, { d:message() })
      c:send_close(1000)
      assert.equal(1000, (c:close_code()))
      d:close()
      s:pump(function() return #log.closed == 2 end)
      local count = 0
      for _ in pairs(watched) do count = count + 1 end
      assert.equal(1 + server.own_fds, count)
    end)

    it("a slow reader's file of 4 MiB arrives whole", function()
      local path, bytes = big_file(4 * 1024 * 1024), 4 * 1024 * 1024
      local s = start({ on_http = function(ws) ws:serve_http_file(path, "text/plain") end })
      s.on_stop = function() os.remove(path) end
      local c = client.connect(s)
      c:send(client.request("/"))
      read_slowly(s, c, bytes)
    end)

    it("a slow reader's message of 12 MiB arrives whole, on_drain follows", function()
      local drained, ws = 0, nil
      local s = start({ protocols = { a = function(it)
        ws = it
        ws:on_drain(function() drained = drained + 1 end)
      end } })
      local c = client.open(s, "a")
      local big = ("x"):rep(12 * 1024 * 1024)
      ws:write(big)
      for _ = 1, 20 do s:turn(1) end
      assert.equal(0, drained)
      assert.same({ 1, big }, { c:message() })
      s:pump(function() return drained == 1 end)
    end)

    it("paused reading does not spin and goes on where it stopped", function()
      local handler, log = server.recorder()
      local s = start({ protocols = { a = handler } })
      local c = client.open(s, "a")
      log.ws[1]:rx_flow_control(false)
      c.connection:send(c:frame(1, "1") .. c:frame(1, "2"))
      s:turn(20)
      local ready = s.ready
      for _ = 1, 5 do s:turn(1) end
      assert.equal(ready, s.ready, "nothing was ready")
      assert.equal(0, #log.messages)
      log.ws[1]:rx_flow_control(true)
      s:pump(function() return #log.messages == 2 end)
    end)

    it("timers fire: a silent handshake ends at handshake_timeout", function()
      local s = start({})
      s:fake_time()
      local c = client.connect(s)
      s:turns(3)
      s.fake_now = s.fake_now + 10.1
      s:turns(2)
      assert.equal("closed", c:await_end())
    end)
  end)
end

describe("a loop that watches READ only", function()
  after_each(server.stop_all)

  it("messages that a pause held back come out in the call that goes on, without another event", function()
    local ws
    local s = loops.read_only({ protocols = { a = function(opened)
      ws = opened
      ws:on_receive(function(it, data)
        it.got = (it.got or "") .. data
        it:rx_flow_control(false)
      end)
    end } })
    local c = client.open(s, "a")
    c.connection:send(c:frame(1, "1") .. c:frame(1, "2"))
    s:pump(function() return ws.got end)
    assert.equal("1", ws.got)
    ws:rx_flow_control(true)
    assert.equal("12", ws.got)
  end)

  it("service_fd takes any number of hints, or none; an unknown descriptor returns 0; no number raises", function()
    local listening
    local s = server.start({ on_add_fd = function(fd) listening = listening or fd end })
    assert.equal(0, s.context:service_fd(12345))
    assert.equal(0, s.context:service_fd(-1, POLLIN))
    assert.equal(0, s.context:service_fd(listening, POLLIN, POLLOUT, 0))
    assert.equal(0, s.context:service_fd(listening, "hint", {}))
    assert.error_matches(function() s.context:service_fd("4") end, "bad argument #1 to 'service_fd'")
    assert.error_matches(function() s.context:service_fd() end, "bad argument #1 to 'service_fd'")
  end)
end)

describe("descriptors from 1,024 on", function()
  local SCRIPT = [[
    local socket = require("socket")
    local websockets = require("websockets")
    local fds, options = {}, { port = "any", interf = "127.0.0.1",
      on_http = function(ws) ws:respond(200, nil, "high") end }
    if arg[1] == "loop" then options.on_add_fd = function(fd) fds[#fds + 1] = fd end end
    local context = websockets.context(options)
    local attachment
    if arg[1]:find("attach") then
      attachment = context:attach({
        watch = function(_, fd, read) if read then fds[#fds + 1] = fd end end, alarm = function() end,
        limit = arg[1] == "attach with a limit" and 1024 or nil,
      })
    end
    local peer = socket.tcp4()
    assert(peer:connect("127.0.0.1", context:get_port()))
    local hold = {}
    for i = 1, 1100 do hold[i] = assert(io.open("/dev/null")) end
    peer:send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    if arg[1] == "loop" then
      context:service_fd(fds[1])
      assert(fds[#fds] >= 1024)
      context:service_fd(fds[#fds])
    elseif attachment then
      attachment:ready(fds[1])
      attachment:ready(fds[#fds])
    else
      for _ = 1, 2 do context:service(1000) end
    end
    peer:settimeout(20)
    io.write((peer:receive("*a")))
    context:destroy()
  ]]

  local function run(kind)
    local path = os.tmpname()
    local file = io.open(path, "w")
    file:write(SCRIPT)
    file:close()
    local text, code = child.run(("ulimit -n 4096 && LUA_PATH='lua/?.lua;lua/?/init.lua;;' timeout 20 %s %s %s"):format(
      child.quote(child.this_lua()), path, child.quote(kind)))
    os.remove(path)
    return text, code
  end

  it("are served under an outside loop", function()
    local text, code = run("loop")
    assert.matches("^HTTP/1.1 200 ", text)
    assert.equal(0, code)
  end)

  it("are served under a loop that the context is attached to, where that has no limit", function()
    local text, code = run("attach")
    assert.matches("^HTTP/1.1 200 ", text)
    assert.equal(0, code)
    text, code = run("attach with a limit")
    assert.matches(server.is_native and "^HTTP/1.1 200 " or "^HTTP/1.1 503 ", text)
    assert.equal(0, code)
  end)

  it("get 503 under service where select cannot watch them, and are served by the accelerator", function()
    local text, code = run("service")
    assert.matches(server.is_native and "^HTTP/1.1 200 " or "^HTTP/1.1 503 ", text)
    assert.equal(0, code)
  end)
end)
