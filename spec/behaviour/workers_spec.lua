--- Several processes that serve one port: how they are started, watched, replaced and ended.
-- @module spec.behaviour.workers_spec
local child = require("spec.support.child")
local server = require("spec.support.server")
local socket = require("socket")
local websockets = require("websockets")

local uv = require("spec.support.luv").library()

local DEADLINE_SECONDS = 30
-- An option that is left out.
local NONE = {}

-- A worker that tells each client its process id, and echoes.
local WORKER = [[
local context = require("websockets").context{ socket = "worker", default = function(ws)
  ws:on_receive(function(from, data, kind) from:write(data, kind) end)
  ws:write(io.open("/proc/self/stat"):read("*n") .. "")
end }
context:run()
]]

describe("workers", function()
  if not uv then
    pending("needs lua-luv")
    return
  end

  local launcher, log, context, folder

  -- Workers find the library by these.
  local PATHS = { "LUA_PATH", "LUA_PATH_" .. _VERSION:match("%d+%.%d+"):gsub("%.", "_") }

  before_each(function()
    for _, name in ipairs(PATHS) do uv.os_setenv(name, os.getenv("PWD") .. "/lua/?.lua;;") end
    log, folder = {}, child.make_folder()
    context = websockets.context({ ping_interval = false })
  end)

  local function turn()
    uv.run("nowait")
    context:service(1)
  end

  local function pump(condition, what)
    local deadline = socket.gettime() + DEADLINE_SECONDS
    repeat
      local result = condition()
      if result then return result end
      turn()
    until socket.gettime() > deadline
    local lines = {}
    for i, line in ipairs(log) do lines[i] = line.message end
    error("waited too long for " .. what .. ":\n" .. table.concat(lines, "\n"), 2)
  end

  local function is_over() return launcher.launcher.state == "ended" end

  after_each(function()
    server.stop_all()
    if launcher and launcher.launcher.state ~= "new" and not is_over() then
      launcher:stop()
      launcher:stop()
      pump(is_over, "the end of the workers")
    end
    launcher = nil
    context:destroy()
    for _, name in ipairs(PATHS) do uv.os_unsetenv(name) end
    child.remove_folder(folder)
  end)

  local function make(options, program)
    local all = {
      port = "any", interf = "127.0.0.1", count = 2, drain_seconds = 10,
      command = { child.this_lua(), "-e", program or WORKER },
      log = function(level, message) log[#log + 1] = { level = level, message = message, at = socket.gettime() } end,
    }
    for name, value in pairs(options or {}) do all[name] = value ~= NONE and value or nil end
    launcher = websockets.workers(all)
    return launcher
  end

  local function count_log(pattern)
    local count = 0
    for _, line in ipairs(log) do
      if line.message:find(pattern) then count = count + 1 end
    end
    return count
  end

  local function logged(pattern, count)
    pump(function() return count_log(pattern) >= (count or 1) end, pattern)
  end

  local function start(options, program)
    make(options, program):start()
    logged("^all workers are ready$")
    return launcher
  end

  local function pids()
    local found = {}
    for _, one in ipairs(launcher:list()) do found[one.pid] = one.state end
    return found
  end

  -- A client: `pid` of its worker, `code` with which it ended.
  local function connect(on_closed)
    local one = { code = false, pid = false, echoes = 0 }
    one.ws = context:connect(("ws://127.0.0.1:%d/"):format(launcher:get_port()), { timeout = 20 })
    one.ws:on_receive(function(_, data)
      if one.pid then one.echoes = one.echoes + 1 else one.pid = tonumber(data) end
    end)
    one.ws:on_closed(function(_, code, reason, _, why)
      one.code, one.reason, one.why = code, reason, why
      if on_closed then on_closed(one) end
    end)
    return one
  end

  local function connected(one)
    pump(function() return one.pid or one.code end, "an open connection")
    assert.is_truthy(one.pid, one.reason)
    return one
  end

  it("share the port, each serving its connections", function()
    start({ count = 3 })
    assert.equal(3, #launcher:list())
    local seen = {}
    pump(function()
      seen[connected(connect()).pid] = "ready"
      local count = 0
      for _ in pairs(seen) do count = count + 1 end
      return count == 3
    end, "a connection to each worker")
    assert.same(pids(), seen)
  end)

  it("are started again when they end, the others going on", function()
    start()
    local one = connected(connect())
    local other = one
    pump(function()
      other = connected(connect())
      return other.pid ~= one.pid
    end, "a connection to the other worker")
    uv.kill(one.pid, "sigkill")
    pump(function() return one.code end, "the end of its connection")
    logged("^worker %d %(process " .. one.pid .. "%) was ended by signal 9$")
    logged("^worker %d %(process %d+%) is ready$", 3)
    other.ws:write("x")
    pump(function() return other.echoes == 1 end, "an echo of the other worker")
    assert.is_nil(pids()[one.pid])
    assert.equal(2, #launcher:list())
    connected(connect())
  end)

  it("are started again after longer and longer times", function()
    make({ count = 1 }, "os.exit(7)"):start()
    logged("^worker 1 %(process %d+%) ended with code 7$", 5)
    local ends = {}
    for _, line in ipairs(log) do ends[#ends + 1] = line.at end
    for i, least in ipairs({ 0.05, 0.1, 0.2, 0.4 }) do assert.is_true(ends[i + 1] - ends[i] >= least - 0.01, i) end
    assert.equal("warning", log[1].level)
  end)

  it("that are not ready in time are ended", function()
    make({ count = 1, ready_seconds = 0.2 }, "require('socket').sleep(60)"):start()
    logged("^worker 1 %(process %d+%) was not ready in time and was ended by force$", 2)
  end)

  it("that cannot be started are tried again", function()
    make({ count = 1, command = { folder .. "/nothing" } }):start()
    logged("^cannot start .*/nothing: ENOENT", 2)
    assert.same({}, launcher:list())
  end)

  -- Clients that connect again at once: how often one could not.
  local function crowd(count)
    local state = { failures = {}, opened = 0, stops = false, pids = {} }
    local function again(one)
      if one.pid then state.opened = state.opened + 1 else state.failures[#state.failures + 1] = one.reason end
      if not state.stops then state[one.place] = connect(again) state[one.place].place = one.place end
    end
    for place = 1, count do
      state[place] = connect(again)
      state[place].place = place
    end
    function state.is_open()
      for place = 1, count do
        if not state[place].pid then return false end
      end
      return true
    end
    pump(state.is_open, "all clients")
    return state
  end

  it("are replaced one after the other, and no connection is refused", function()
    start({ count = 4 })
    local clients = crowd(40)
    for round = 1, 3 do
      local before = pids()
      launcher:roll()
      logged("^all workers have been replaced$", round)
      logged("ended with code 0$", 4 * round)
      for pid, state in pairs(pids()) do
        assert.is_nil(before[pid])
        assert.equal("ready", state)
      end
      pump(clients.is_open, "all clients again")
      for place = 1, 40 do assert.equal("ready", pids()[clients[place].pid]) end
    end
    clients.stops = true
    assert.same({}, clients.failures)
    assert.is_true(clients.opened >= 40)
  end)

  it("go on where a new one does not become ready", function()
    start(nil, ("if io.open(%q) then os.exit(3) end %s"):format(folder .. "/bad", WORKER))
    local before = pids()
    io.open(folder .. "/bad", "w"):close()
    launcher:roll()
    launcher:roll()
    logged("^worker 1 is not replaced: the new process was not ready$")
    assert.same(before, pids())
    connected(connect())
    os.remove(folder .. "/bad")
    launcher:roll()
    logged("^all workers have been replaced$")
    for pid in pairs(pids()) do assert.is_nil(before[pid]) end
  end)

  it("are replaced once more where that is asked for meanwhile", function()
    start()
    launcher:roll()
    launcher:roll()
    launcher:roll()
    logged("^all workers have been replaced$", 2)
    logged("ended with code 0$", 4)
    assert.equal(2, count_log("^all workers have been replaced$"))
  end)

  it("drain when they are stopped, and the port is closed", function()
    -- The client is not served while the launcher runs, and does not answer the close frame.
    start(nil, (WORKER:gsub("{ socket", "{ close_timeout = 0.1, socket")))
    local one, port = connected(connect()), launcher:get_port()
    launcher:stop()
    launcher:run()
    pump(function() return one.code end, "the end of the connection")
    assert.equal(1001, one.code)
    assert.equal(2, count_log("ended with code 0$"))
    assert.is_nil((socket.connect("127.0.0.1", port)))
    assert.error_matches(function() launcher:start() end, "the workers have been started already")
    assert.error_matches(function() launcher:run() end, "the workers have ended")
    launcher:stop()
    launcher:roll()
  end)

  it("are ended by force by a second stop, and after their time to drain", function()
    local stuck = WORKER .. "require('socket').sleep(60)"
    start(nil, stuck)
    launcher:stop()
    pump(function() return #launcher:list() == 2 and launcher:list()[1].state == "draining" end, "draining")
    launcher:stop()
    pump(is_over, "the end")
    assert.equal(2, count_log("was ended by signal 9$"))
  end)

  it("need no command: a script is run by the same interpreter, with the number of the worker", function()
    local file = assert(io.open(folder .. "/worker.lua", "w"))
    file:write(([[
      local file = io.open(%q .. os.getenv("WEBSOCKETS_WORKER"), "w")
      file:write(_VERSION)
      file:close()
    ]]):format(folder .. "/") .. WORKER)
    file:close()
    start({ command = NONE, script = folder .. "/worker.lua" })
    for number = 1, 2 do
      local made = assert(io.open(folder .. "/" .. number))
      assert.equal(_VERSION, made:read("*a"))
      made:close()
    end
  end)

  it("serve a socket of the application, which stays open", function()
    local listening = assert(socket.bind("127.0.0.1", 0))
    start({ port = NONE, interf = NONE, socket = listening })
    connected(connect())
    launcher:stop()
    pump(is_over, "the end")
    assert.is_true(listening:getfd() >= 0)
    listening:close()
  end)

  it("serve a unix socket of the application", function()
    local found, unix = pcall(require, "socket.unix")
    local stream = found and (type(unix) == "table" and unix.stream or unix)
    if not stream then return pending("needs LuaSocket with unix sockets") end
    local listening = assert(stream())
    assert(listening:bind(folder .. "/socket"))
    assert(listening:listen(16))
    start({ port = NONE, interf = NONE, socket = listening })
    assert.is_nil(launcher:get_port())
    local pid
    local ws = context:connect(("ws+unix:%s/socket:/"):format(folder), { timeout = 20 })
    ws:on_receive(function(_, data) pid = tonumber(data) end)
    pump(function() return pid end, "a message")
    assert.equal("ready", pids()[pid])
    launcher:stop()
    pump(is_over, "the end")
    listening:close()
  end)

  describe("of a launcher in a process of its own", function()
    local program

    after_each(function()
      if program then program:stop() end
      program = nil
    end)

    local function launch(more)
      program = child.start(("%s -e %s"):format(child.quote(child.this_lua()), child.quote(([[
        io.stdout:setvbuf("line")
        local launcher = require("websockets").workers{
          port = "any", interf = "127.0.0.1", count = 2, drain_seconds = 5, command = { %q, "-e", %q }, log = print, %s
        }
        print(("port %%d"):format(launcher:get_port()))
        print(("pid %%d"):format(require("luv").os_getpid()))
        launcher:run()
        print("over")
      ]]):format(child.this_lua(), WORKER, more or ""))), child.library_path())
      local port = tonumber(program:expect("^port (%d+)$"))
      launcher = { get_port = function() return port end, launcher = { state = "new" } }
      local pid = tonumber(program:expect("^pid (%d+)$"))
      program:expect("all workers are ready")
      return pid
    end

    it("are replaced at SIGHUP, and drain at SIGTERM, whereupon it ends", function()
      local pid = launch()
      local one = connected(connect())
      uv.kill(pid, "sighup")
      program:expect("all workers have been replaced")
      pump(function() return one.code end, "the end of the connection")
      assert.equal(1001, one.code)
      one = connected(connect())
      uv.kill(pid, "sigterm")
      pump(function() return one.code end, "the end of the connection")
      assert.equal(1001, one.code)
      assert.matches("over\n$", program:rest())
    end)

    -- A callback of a timer may be the last of an iteration of luv's loop: handles that it closes are closing still,
    -- and luv crashes where its loop ends so.
    it("ends cleanly where a timer stops it while no worker is alive", function()
      local output, code = child.run(("%s %s -e %s"):format(child.library_path(), child.quote(child.this_lua()),
        child.quote(([[
          local launcher = require("websockets").workers{
            port = "any", interf = "127.0.0.1", count = 1, command = { %q, "-e", "os.exit(1)" },
          }
          local timer = require("luv").new_timer()
          timer:start(50, 5, function()
            if launcher:list()[1] then return end
            timer:close()
            launcher:stop()
          end)
          launcher:run()
          io.write("over")
        ]]):format(child.this_lua()))))
      assert.same({ "over", 0 }, { output, code })
    end)

    -- Runs a launcher to its end, sends it signals at some points, and gives its output and how it ended.
    local function signalled(body)
      return child.run(("%s timeout %d %s -e %s"):format(child.library_path(), 2 * DEADLINE_SECONDS,
        child.quote(child.this_lua()), child.quote(([[
          local uv = require("luv")
          local launcher = require("websockets").workers{
            port = "any", interf = "127.0.0.1", count = 1, command = { %q, "-e", %q },
          }
          local pid = uv.os_getpid()
          local idle, count = uv.new_idle(), 0
          %s
        ]]):format(child.this_lua(), WORKER, body))))
    end

    it("have ended, and a further signal comes before run has returned: nothing happens", function()
      for _, name in ipairs({ "sigterm", "sigint" }) do
        local output, code = signalled(([[
          local function has_ended() return not launcher:get_port() end
          idle:start(function()
            local worker = launcher:list()[1]
            if count == 0 and worker and worker.state == "ready" then
              count = 1
              uv.kill(pid, %q)
            elseif count == 1 and has_ended() then
              count = 2
              idle:close()
              uv.kill(pid, %q)
            end
          end)
          launcher:run()
          io.write("over ", count)
        ]]):format(name, name))
        assert.same({ "over 2", 0 }, { output, code })
      end
    end)

    it("have ended, and run has returned: signals are the program's own again", function()
      local output, code = signalled([[
        idle:start(function()
          idle:close()
          launcher:stop()
        end)
        launcher:run()
        io.write("over")
        io.stdout:flush()
        uv.kill(pid, "sigterm")
        uv.sleep(20000)
        io.write("still there")
      ]])
      assert.matches("^over", output)
      assert.is_nil(output:find("still there"))
      assert.not_equal(0, code)
    end)

    it("have ended: a program that has called start, and runs luv's loop, comes to its end", function()
      local output, code = signalled([[
        launcher:start()
        idle:start(function()
          idle:close()
          launcher:stop()
        end)
        uv.run()
        io.write("over")
      ]])
      assert.same({ "over", 0 }, { output, code })
    end)

    it("get the signals that are to be forwarded", function()
      local pid = launch('forward = { "sigusr1" },')
      uv.kill(pid, "sigusr1")
      for _ = 1, 2 do program:expect("was ended by signal 10$") end
      for _ = 1, 2 do program:expect("is ready$") end
      local one = connected(connect())
      -- Else the worker that has it waits for its answer to a close frame.
      one.ws:close(1000)
      pump(function() return one.code end, "the end of the connection")
    end)

    it("drain and end when it is killed", function()
      local pid = launch()
      local one = connected(connect())
      uv.kill(pid, "sigkill")
      pump(function() return one.code end, "the end of the connection")
      assert.equal(1001, one.code)
      -- The last that has its output open is a worker.
      assert.is_nil(program:rest():find("over"))
      pump(function() return not socket.connect("127.0.0.1", launcher.get_port()) end, "the end of the last worker")
    end)
  end)

  it("raise for wrong options", function()
    local function message(options)
      local is_good, text = pcall(function() websockets.workers(options) end)
      assert.is_false(is_good)
      assert.matches("^[^:]*workers_spec.lua:%d+: ", text)
      return (text:gsub("^[^:]*:%d+: ", ""))
    end
    assert.matches("^bad argument #1 to 'workers' %(table expected", message(nil))
    for name, bad in pairs({ count = { 0, 1.5, "2", 4097 }, script = { "", 1 }, command = { {}, "lua", { 1 } },
      port = { -1, "8000" }, socket = { "worker", 1 }, drain_seconds = { 0, false }, ready_seconds = { -1 },
      forward = { "sigusr1", { "sigterm" }, { 10 } }, log = { 1 }, notify = { 1 } }) do
      for _, value in ipairs(bad) do
        assert.matches("^bad option '" .. name .. "' %(", message({ script = "x", port = "any", [name] = value }))
      end
    end
    assert.equal("unknown option 'workers'", message({ workers = 2 }))
    assert.matches("^option 'script' or 'command' says what a worker runs", message({ port = "any" }))
    assert.matches("^option 'script' or 'command'", message({ port = "any", script = "x", command = { "x" } }))
    assert.matches("^option 'port' or 'socket' says where", message({ script = "x" }))
    local listening = assert(socket.bind("127.0.0.1", 0))
    assert.matches("^option 'socket' takes the place", message({ script = "x", port = 80, socket = listening }))
    local _, port = listening:getsockname()
    assert.matches("^websocket could not create workers: cannot listen on 127.0.0.1:" .. port,
      message({ script = "x", interf = "127.0.0.1", port = tonumber(port) }))
    listening:close()
    local loaded, preloaded = package.loaded.luv, package.preload.luv
    package.loaded.luv, package.preload.luv = nil, function() error("none here", 0) end
    local _, text = pcall(message, { script = "x", port = "any" })
    package.loaded.luv, package.preload.luv = loaded, preloaded
    assert.equal("websockets.workers needs luv, which cannot be loaded: none here", text)
  end)

  it("raise inside of a worker; and socket = \"worker\" outside of one", function()
    assert.error_matches(function() websockets.context({ socket = "worker" }) end,
      "websocket could not create context: this process is no worker: it has not been started by websockets.workers")
    local text = child.run(("env WEBSOCKETS_WORKER=1 %s %s -e %s"):format(child.library_path(),
      child.quote(child.this_lua()), child.quote([[require("websockets").workers{ port = "any", script = "x" }]])))
    assert.matches("a worker starts no workers", text)
  end)
end)

describe("reuseport", function()
  after_each(server.stop_all)

  it("has several contexts listen at one port", function()
    local first = server.start({ reuseport = true, default = server.echo })
    assert.error_matches(function() server.start({ port = first.port }) end, "address already in use")
    local second = server.start({ port = first.port, reuseport = true, default = server.echo })
    assert.equal(first.port, second.port)
    assert.error_matches(function() server.start({ reuseport = true, socket = socket.bind("127.0.0.1", 0) }) end,
      "option 'reuseport' is for the listener of 'port'")
  end)
end)
