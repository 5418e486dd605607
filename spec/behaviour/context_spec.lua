--- A context: serving, running, broadcasting.
-- @module spec.behaviour.context_spec
local unpack = table.unpack or unpack -- luacheck: ignore
local server = require("spec.support.server")
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local websockets = require("websockets")
local socket = require("socket")
local child = require("spec.support.child")
local needs = require("spec.support.needs")

-- Whether a process waits for something, where the system tells.
local function sleeps(pid)
  local file = io.open("/proc/" .. pid .. "/stat")
  if not file then return true end
  local state = file:read("*a"):match("%) (%a)")
  file:close()
  return state == "S"
end

describe("context", function()
  after_each(server.stop_all)

  it("without protocols is an HTTP server: no nil as in 2012", function()
    local s = server.start({ on_http = function(ws) ws:respond(200, nil, "hello") end })
    local c = client.connect(s)
    c:send(client.request("/"))
    assert.equal(200, (c:response()))
    local d = client.connect(s)
    d:send(client.upgrade({ protocol = "a" }))
    assert.equal(400, (d:response()))
  end)

  it("without port, or with port 0, listens nowhere", function()
    for _, options in ipairs({ {}, { port = 0 } }) do
      local context = websockets.context(options)
      assert.is_nil(context:get_port())
      assert.equal(0, context:service(0))
      context:destroy()
    end
  end)

  it("with port 'any' tells the port that the system chose", function()
    local s = server.start({})
    assert.is_true(s.port > 0 and s.port % 1 == 0)
  end)

  it("has no fork_service_loop", function()
    assert.is_nil(server.start({}).context.fork_service_loop)
  end)

  it("service returns 0: at once for 0 and nil, after activity for a longer or endless wait", function()
    local s = server.start({ protocols = { echo = server.echo } })
    assert.equal(0, s.context:service())
    assert.equal(0, s.context:service(0))
    local c = client.open(s, "echo")
    c:text("x")
    assert.equal(0, s.context:service(-1))
    assert.equal("x", select(2, c:message()))
    c:text("y")
    assert.equal(0, s.context:service(60000))
    assert.equal("y", select(2, c:message()))
    c:text("z")
    assert.equal(0, s.context:service(math.huge))
    assert.equal("z", select(2, c:message()))
    s = server.start({ ping_interval = false, handshake_timeout = false, on_http = function(ws) ws:respond(200) end })
    c = client.connect(s)
    s:settle()
    c.connection:send(client.request("/"))
    assert.equal(0, s.context:service(math.huge))
    assert.equal(200, (c:response()))
  end)

  it("service ends a long wait when a timer is due", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler }, close_timeout = 0.01 })
    client.open(s, "a")
    log.ws[1]:close()
    s:turn(60000)
    s:pump(function() return #log.closed == 1 end)
    assert.equal("timeout", log.closed[1][5])
  end)

  it("service raises for anything but a number", function()
    local s = server.start({})
    assert.error_matches(function() s.context:service("now") end, "bad argument #1 to 'service'")
    assert.error_matches(function() s.context:service(0 / 0) end, "bad argument #1 to 'service'")
  end)

  it("service works from any coroutine", function()
    local s = server.start({ protocols = { echo = server.echo } })
    function s:turn(ms)
      local is_good, err = coroutine.resume(coroutine.create(function() self.context:service(ms) end))
      assert(is_good, err)
    end
    local c = client.open(s, "echo")
    c:text("x")
    assert.equal("x", select(2, c:message()))
  end)

  it("run serves until stop is called in a callback", function()
    local s
    local rounds = 0
    s = server.start({ on_http = function(ws)
      ws:respond(200)
      rounds = rounds + 1
      s.context:stop()
    end })
    local c = client.connect(s)
    c.connection:send(client.request("/"))
    s.context:run()
    assert.equal(1, rounds)
    assert.equal(200, (c:response()))
  end)

  it("run goes on after an error that on_error hears, and raises one that it does not", function()
    local s, heard = nil, {}
    s = server.start({
      on_http = function() error("oops", 0) end,
      on_error = function(err)
        heard[#heard + 1] = err
        if #heard == 2 then s.context:stop() end
      end,
    })
    for _ = 1, 2 do client.connect(s).connection:send(client.request("/")) end
    s.context:run()
    assert.same({ "oops", "oops" }, heard)
    s = server.start({ on_http = function() error("oops", 0) end })
    client.connect(s).connection:send(client.request("/"))
    assert.error_matches(function() s.context:run() end, "^oops$")
    assert.equal(0, s.context:service(0))
  end)

  it("run inside a callback is refused, with the caller's line, and takes back no stop", function()
    local s, refused
    s = server.start({ on_http = function(ws)
      ws:respond(200)
      s.context:stop()
      refused = select(2, pcall(function() s.context:run() end))
    end })
    client.connect(s).connection:send(client.request("/"))
    s.context:run()
    assert.matches("context_spec.lua:%d+: run may not be called inside a callback", refused)
  end)

  it("run ends when the context is destroyed in a callback", function()
    local s
    s = server.start({ on_http = function() s.context:destroy() end })
    local c = client.connect(s)
    c.connection:send(client.request("/"))
    s.context:run()
    assert.error_matches(function() s.context:service(0) end, "websocket context destroyed")
  end)

  it("run and service(-1) are left by Ctrl-C, though nothing comes", function()
    local hears = child.run(child.quote(child.this_lua()) .. " -e " .. child.quote([[
      io.popen("kill -INT $PPID"):close()
      for _ = 1, 1e7 do end]])):find("interrupted!", 1, true)
    if not hears then return pending("needs an interpreter that leaves signals to the system") end
    for _, call in ipairs({ "run()", "service(-1)" }) do
      local command = child.quote(child.this_lua()) .. " -e " .. child.quote([[
        package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
        local context = require("websockets").context({ port = "any", interf = "127.0.0.1" })
        io.stdout:write("waits\n")
        io.stdout:flush()
        context:]] .. call)
      -- `timeout` would hand on the signal twice, and the second ends Lua before it hears of the first.
      local program = child.start("sh -c " .. child.quote("echo $$; exec " .. command), nil, 20)
      local pid = program:expect("^(%d+)$")
      program:expect("waits")
      -- A signal that comes before the wait has begun is not what this is about.
      local deadline = socket.gettime() + 5
      repeat until sleeps(pid) or socket.gettime() > deadline
      child.run("kill -INT " .. pid)
      assert.matches("interrupted!", program:rest())
    end
  end)

  it("run is left soon after stop or destroy of a signal handler, wherever the handler comes", function()
    -- Compiled code asks no hook.
    local jit_here = rawget(_G, "jit")
    if jit_here then
      jit_here.off()
      jit_here.flush()
      finally(function() jit_here.on() end)
    end
    for _, name in ipairs({ "stop", "destroy" }) do
      -- In pure Lua each wait that is interrupted takes half a second.
      local after, step, begun = 1, websockets.engine == "pure" and 13 or 1
      repeat
        -- A wait that is not left ends with this, too late.
        local context = websockets.context({ port = "any", interf = "127.0.0.1", handshake_timeout = 4 })
        local peer = assert(socket.connect("127.0.0.1", context:get_port()))
        context:service(1)
        local left, called_at = after, nil
        begun = socket.gettime()
        local function handler()
          if not inside.is_busy(context) then return end
          left = left - 1
          if left > 0 then return end
          debug.sethook()
          called_at = socket.gettime()
          context[name](context)
        end
        debug.sethook(handler, "", 1)
        context:run()
        debug.sethook()
        assert.is_true(called_at and socket.gettime() - called_at < 3, after)
        context:destroy()
        peer:close()
        after = after + step
      -- Then the handler has come after the wait.
      until called_at - begun > 3
      assert.is_true(after > 50)
    end
  end)

  it("service waits again after a stop", function()
    local context = server.start({}).context
    context:stop()
    local begun = socket.gettime()
    context:service(100)
    assert.is_true(socket.gettime() - begun > 0.09)
  end)

  it("canonical_hostname names the host, or 'unknown' with option 4, never 0.0.0.0", function()
    assert.equal(socket.dns.gethostname(), server.start({}).context:canonical_hostname())
    assert.equal("unknown", server.start({ options = 4 }).context:canonical_hostname())
  end)

  it("get_fd is nil in pure Lua", function()
    if websockets.engine == "pure" then assert.is_nil(server.start({}).context:get_fd()) end
  end)

  it("broadcast to an unknown protocol raises the text of 2012, and names it", function()
    local s = server.start({ protocols = { a = function() end } })
    for _, name in ipairs({ "b", "http%-only", "" }) do
      local given = name:gsub("%%", "")
      assert.error_matches(function() s.context:broadcast(given, "x") end,
        ('websocket unknown protocol: "%s"$'):format(name))
    end
    assert.error_matches(function() s.context:broadcast(nil, "x") end, "websocket unknown protocol: no value$")
    assert.error_matches(function() s.context:broadcast("a", {}) end, "bad argument #2 to 'broadcast'")
    assert.error_matches(function() s.context:broadcast("a") end, "bad argument #2 to 'broadcast'")
  end)

  it("without a reference to it is collected silently and closes its descriptors", function()
    local context = websockets.context({ port = "any", interf = "127.0.0.1" })
    local port, weak = context:get_port(), setmetatable({ context }, { __mode = "v" })
    context = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
    local connection = socket.tcp4()
    connection:settimeout(1)
    assert.is_nil((connection:connect("127.0.0.1", port)))
    connection:close()
  end)

  it("a destroyed one is collected silently too", function()
    local context = websockets.context({ port = "any", interf = "127.0.0.1" })
    context:destroy()
    context = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
  end)

  it("gid and uid are set after binding, or creation raises", function()
    local missing = needs.reason("root")
    if missing then pending(missing) end
    local lua = "LUA_PATH='lua/?.lua;lua/?/init.lua;;' " .. child.quote(child.this_lua())
    local text = child.run(lua .. " -e " .. child.quote([[
      local made, err = pcall(require("websockets").context,
        { port = "any", interf = "127.0.0.1", gid = 65534, uid = 65534 })
      io.stdout:write(made and "made" or err, "\n")
      io.stdout:flush()
      os.execute("id -u; id -G")
    ]]))
    if text:find("^made") then
      assert.matches("^made\n65534\n65534", text)
    else
      assert.matches("websocket could not create context: .+", text)
    end
  end)
end)
