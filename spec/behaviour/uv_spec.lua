--- Contexts on the sockets of libuv, under luv; `spec/interop/neovim_spec.lua` has those inside of Neovim.
-- @module spec.behaviour.uv_spec
local child = require("spec.support.child")
local needs = require("spec.support.needs")
local socket = require("socket")
local stderr = require("spec.support.stderr")
local websockets = require("websockets")

local uv = require("spec.support.luv").library()
if not uv then
  describe("a context on the sockets of libuv", function() pending("needs lua-luv") end)
  return
end

local LIMIT_SECONDS = 20
local ENGINE = websockets.engine

local contexts = {}

local function make(options)
  local all = { sockets = "uv" }
  for name, value in pairs(options or {}) do all[name] = value end
  contexts[#contexts + 1] = websockets.context(all)
  return contexts[#contexts]
end

local function serve(options)
  local all = { port = "any", interf = "127.0.0.1", default = function(ws)
    ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
  end }
  for name, value in pairs(options or {}) do all[name] = value end
  return make(all)
end

local function url_of(context)
  return ("ws://127.0.0.1:%d/"):format(context:get_port())
end

-- Runs the loop, and nothing of a context, until a condition holds.
local function loop_until(condition, what)
  local deadline = socket.gettime() + LIMIT_SECONDS
  local timer = uv.new_timer()
  timer:start(0, 5, function() end)
  while not condition() do
    if socket.gettime() > deadline then error("waited too long for " .. what, 2) end
    uv.run("once")
  end
  timer:close()
end

local function count_handles()
  local count = 0
  uv.walk(function(handle) if not handle:is_closing() then count = count + 1 end end)
  return count
end

local function run_program(code, environment)
  local command = ("env LUA_PATH=%s %s %s -e "):format(child.quote("./?.lua;lua/?.lua;;"), environment or "",
    child.quote(child.this_lua()))
  return child.run("timeout 30 " .. command .. child.quote(code))
end

describe("a context on the sockets of libuv", function()
  after_each(function()
    for _, context in ipairs(contexts) do context:destroy() end
    contexts = {}
  end)

  for _, way in ipairs({ "run", "service", "itself" }) do
    it("does all that others do, without LuaSocket: by " .. way, function()
      local output, code = child.run(("env LUA_ROOT=%s WAY=%s timeout 60 %s spec/support/uv_scenario.lua"):format(
        child.quote(os.getenv("PWD")), way, child.quote(child.this_lua())))
      assert.equal(0, code, output)
      local got = {}
      for name, value in output:gmatch("([^\n=]+)=([^\n]*)") do got[name] = value end
      local expected = {
        library = "uv", engine = ENGINE, ["has LuaSocket"] = "false", sizes = "0 1 125 126 65535 65536 921600",
        broadcasts = "600", file = "true", ["echoes beside it"] = "true", deadlines = "true", timers = "true",
        clean = "30", refused = "refused: cannot connect to 127.0.0.1:1: connection refused", log = "", done = "true",
      }
      for name, value in pairs(expected) do assert.equal(value, got[name], name .. ":\n" .. output) end
      -- One of them is that of the timer that ends the count.
      if way == "itself" then assert.is_true(tonumber(got["idle rounds a second"]) <= 4, output) end
    end)
  end

  it("speaks with others' clients", function()
    local reason = needs.reason("the Python package websockets")
    if reason then return pending(reason) end
    local ended
    local context = make({ port = "any", interf = "127.0.0.1", protocols = { echo = function(ws)
      ws:on_receive(function(_, data, kind)
        if data == "close me" then ws:close(4001, "bye") else ws:write(data, kind) end
      end)
      ws:on_closed(function(_, code, reason_given, is_clean) ended = { code, reason_given, is_clean } end)
    end } })
    local status
    local python = uv.spawn(".deps/venv/bin/python", {
      args = { "spec/support/interop.py", tostring(context:get_port()) },
    }, function(code) status = code end)
    assert.is_truthy(python)
    loop_until(function() return ended and status end, "Python")
    python:close()
    assert.same({ 0, { 4001, "bye", true } }, { status, ended })
  end)

  it("answers a peer that it turns away", function()
    local context = serve({ max_connections = 1 })
    local first, is_open = make():connect(url_of(context)), false
    first:on_open(function() is_open = true end)
    loop_until(function() return is_open end, "the first")
    local got, handle = "", uv.new_tcp()
    handle:connect("127.0.0.1", context:get_port(), function()
      handle:write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      handle:read_start(function(_, bytes)
        if bytes then got = got .. bytes else got = got .. "END" end
      end)
    end)
    loop_until(function() return got:find("END", 1, true) end, "an end")
    handle:close()
    assert.matches("^HTTP/1.1 503 .*END$", got)
  end)

  it("reads no more than a few pieces of a connection that is paused", function()
    local server_side
    local context = serve({ default = function(ws)
      server_side = ws
      ws:rx_flow_control(false)
    end, ping_interval = false })
    local ws, drained = context:connect(url_of(context), { max_buffered_bytes = 64 * 1024 * 1024 }), false
    local before
    ws:on_open(function()
      for _ = 1, 40 do ws:write(("x"):rep(1000000)) end
    end)
    ws:on_drain(function() drained = true end)
    loop_until(function() return server_side and ws:buffered() > 0 end, "a full socket")
    -- It stays as full, however often the loop runs.
    local same = 0
    loop_until(function()
      same = ws:buffered() == before and same + 1 or 0
      before = ws:buffered()
      return same == 40
    end, "a socket that stays full")
    assert.is_true(before > 20 * 1000000, tostring(before))
    local bytes = 0
    server_side:on_receive(function(_, data) bytes = bytes + #data end)
    server_side:rx_flow_control(true)
    loop_until(function() return bytes == 40 * 1000000 and drained end, "all messages")
  end)

  -- Each round of the loop is a wait; the last is that of the timer which ends this, where `most` do not come first.
  local function rounds(context, seconds, most, wait)
    local count, counter, timer, begun = 0, uv.new_prepare(), uv.new_timer(), socket.gettime()
    local function finish()
      context:stop()
      uv.stop()
    end
    counter:start(function()
      count = count + 1
      if count == most then finish() end
    end)
    uv.update_time()
    timer:start(seconds * 1000, 0, finish)
    wait()
    counter:close()
    timer:close()
    return count, socket.gettime() - begun
  end

  it("wakes nothing while it is idle; in `run` twice a second, for the sake of signals", function()
    local context = serve({ ping_interval = false })
    local ws = context:connect(url_of(context))
    loop_until(function() return ws.state == "open" end, "an open connection")
    context:service(0)
    -- What is left to be done at once.
    uv.run("nowait")
    assert.is_true(rounds(context, 1.2, math.huge, uv.run) <= 2)
    -- The first two may come at once.
    local count, seconds = rounds(context, LIMIT_SECONDS, 4, function() context:run() end)
    assert.equal(4, count)
    assert.is_true(seconds >= 0.9 and seconds < LIMIT_SECONDS, seconds)
  end)

  it("hands what a callback raises to on_error, the log or stderr, and goes on", function()
    for _, option in ipairs({ "on_error", "log", "on_drop" }) do
      local told, echoes = {}, 0
      local context = serve({
        default = function(ws)
          ws:on_receive(function(_, data)
            ws:write(data)
            if data == "raise" then error("from a callback", 0) end
          end)
        end,
        [option] = function(...) told[#told + 1] = option == "log" and select(2, ...) or (...) end,
      })
      local ws = context:connect(url_of(context))
      ws:on_open(function() ws:write("raise") ws:write("go on") end)
      ws:on_receive(function() echoes = echoes + 1 end)
      local lines = stderr.of(function() loop_until(function() return echoes == 2 end, "echoes") end)
      if option == "on_drop" then told, lines = lines, {} end
      local said = option == "on_drop" and "websockets: from a callback" or "from a callback"
      assert.same({ { said }, {} }, { told, lines })
    end
  end)

  it("is served again after a callback that has run the loop", function()
    local context, echoes, is_inside
    echoes, is_inside = 0, false
    context = serve({ default = function(ws)
      ws:on_receive(function(_, data)
        if data == "nested" then
          is_inside = true
          local is_over = false
          local timer = uv.new_timer()
          timer:start(50, 0, function() is_over = true timer:close() end)
          while not is_over do uv.run("once") end
          is_inside = false
        end
        ws:write(data)
      end)
    end })
    local ws, other = context:connect(url_of(context)), context:connect(url_of(context))
    local function count()
      assert.is_false(is_inside)
      echoes = echoes + 1
    end
    ws:on_open(function() ws:write("nested") end)
    other:on_open(function() other:write("beside") end)
    ws:on_receive(count)
    other:on_receive(count)
    -- By `run` the callback is not inside the loop, so that luv lets it run it.
    context:after(0, function() end)
    context:every(0.001, function() if echoes == 2 then context:stop() end end)
    context:run()
    assert.equal(2, echoes)
  end)

  it("cannot wait inside a callback of the loop, and says so", function()
    local context, said, timer = serve(), {}, uv.new_timer()
    timer:start(0, 0, function()
      for i, call in ipairs({
        function() context:service(10) end, function() context:run() end,
        function() websockets.connect(url_of(context), { sockets = "uv" }) end,
      }) do said[i] = select(2, pcall(call)) end
      said[4] = context:service(0)
      timer:close()
    end)
    loop_until(function() return said[4] end, "the timer")
    assert.matches("uv_spec.lua:%d+: service cannot wait inside a callback of the event loop", said[1])
    assert.matches("uv_spec.lua:%d+: run cannot wait inside a callback of the event loop", said[2])
    assert.matches("uv_spec.lua:%d+: websockets.connect may not be called inside a callback of the event loop", said[3])
    assert.equal(0, said[4])
  end)

  it("serves a blocking client", function()
    local has_ended = false
    local context = serve({ default = function(ws)
      ws:on_receive(function(_, data) ws:write(data) end)
      ws:on_closed(function() has_ended = true end)
    end })
    local program = child.start(child.quote(child.this_lua()) .. " -e " .. child.quote(([[
      local ws = assert(require("websockets").connect("%s", { sockets = "uv" }))
      ws:write("hello")
      print("got " .. ws:receive(5), ws:receive(0.05), select(2, ws:receive(0.05)), ws:close(1000))]]):format(
        url_of(context))), child.library_path())
    loop_until(function() return has_ended end, "the end of the client")
    local line = program:rest()
    assert.matches("got hello\tnil\ttimeout\ttrue\t1000", line)
  end)

  it("leaves no handle behind, and lives without a reference until then", function()
    uv.run("nowait")
    local before = count_handles()
    local port
    do
      local context
      context = serve({ default = function(ws)
        ws:on_receive(function() context:destroy() end)
      end })
      port = context:get_port()
      contexts = {}
    end
    collectgarbage()
    collectgarbage()
    local ws, is_open, is_over = make():connect(("ws://127.0.0.1:%d/"):format(port)), false, false
    ws:on_open(function()
      is_open = true
      ws:write("end")
    end)
    ws:on_closed(function() is_over = true end)
    loop_until(function() return is_open and is_over end, "the end")
    contexts[1]:destroy()
    uv.run("nowait")
    assert.equal(before, count_handles())
  end)

  it("ends with its program, wherever that stands", function()
    local begin = [[local websockets = require("websockets")
      local context = websockets.context{ sockets = "uv", port = "any", interf = "127.0.0.1", default = function(ws)
        ws:on_receive(function(_, data) ws:write(data) end)
      end }
      local ws = context:connect(("ws://127.0.0.1:%d/"):format(context:get_port())) ]]
    for _, rest in ipairs({
      "", "context:destroy()", "ws:close(0)",
      "ws:on_open(function() context:stop() end) context:run()",
      "ws:on_open(function() ws:write((\"x\"):rep(5e6)) context:stop() end) context:run()",
      "ws:on_open(function() ws:close() end) ws:on_closed(function() context:stop() end) context:run()",
      "ws:on_open(function() ws:close() end) ws:on_closed(function() context:destroy() end) require('luv').run()",
    }) do
      local output, code = run_program(begin .. rest .. " print('end')")
      assert.same({ "end\n", 0 }, { output, code }, rest)
    end
  end)

  it("stops although the loop serves it once more at the end of that turn", function()
    local context = serve()
    local ws, calls = context:connect(url_of(context)), 0
    ws:on_open(function()
      -- After the turn the loop runs to close this socket, and the timer is due then.
      ws:close(0)
      context:after(0, function() calls = calls + 1 end)
      context:after(LIMIT_SECONDS, function()
        calls = "run went on"
        context:stop()
      end)
      context:stop()
    end)
    context:run()
    assert.equal(1, calls)
  end)

  it("lets the adapter for luv be attached, and no other", function()
    uv.run("nowait")
    local before = count_handles()
    local context, echo = serve(), nil
    local with_context = count_handles()
    local attachment = require("websockets.loop.luv").attach(context)
    assert.equal(with_context, count_handles())
    local ws = context:connect(url_of(context))
    ws:on_open(function() ws:write("attached") end)
    ws:on_receive(function(_, data) echo = data end)
    loop_until(function() return echo == "attached" end, "an echo")
    attachment:detach()
    local is_good, err = pcall(function() context:attach({ watch = print, alarm = print }) end)
    assert.is_false(is_good)
    assert.matches("uv_spec.lua:%d+: the loop of libuv serves this context", err)
    context:destroy()
    uv.run("nowait")
    assert.equal(before, count_handles())
  end)

  it("refuses what only LuaSocket can do, and names the option", function()
    local listening = socket.bind("127.0.0.1", 0)
    for name, value in pairs({
      socket = listening, unix = "/nowhere/s", on_add_fd = print, on_del_fd = print, on_set_mode_fd = print,
      on_clear_mode_fd = print, tls = { certificate = "a.pem", key = "a.key" },
    }) do
      local is_good, err = pcall(websockets.context, { sockets = "uv", [name] = value,
        port = name == "tls" and "any" or nil })
      assert.is_false(is_good)
      assert.matches("option '" .. name .. "' needs LuaSocket, and this context has the sockets of libuv", err)
    end
    listening:close()
    local context = make()
    assert.has_error(function() context:adopt(listening) end)
    local _, message = pcall(function() context:selectable() end)
    assert.matches("uv_spec.lua:%d+: context:selectable needs LuaSocket, and this context has the sockets of libuv$",
      message)
    assert.same({ nil, "TLS needs LuaSocket, and this context has the sockets of libuv", "tls" },
      { context:connect("wss://127.0.0.1:1/") })
    assert.matches("bad option 'sockets' %(\"luasocket\" or \"uv\" expected",
      select(2, pcall(websockets.context, { sockets = "tcp" })))
  end)
end)
