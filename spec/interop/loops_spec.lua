--- One scenario under every kind of loop: what works under one has to work under all.
-- @module spec.interop.loops_spec
local child = require("spec.support.child")
local client = require("spec.support.client")
local hosts = require("spec.support.hosts")
local inside = require("spec.support.inside")
local libev = require("spec.support.libev")
local ports = require("spec.support.ports")
local server = require("spec.support.server")
local socket = require("socket")
local stderr = require("spec.support.stderr")
local websockets = require("websockets")

local KIB, MIB = 1024, 1024 * 1024
local SIZES = { 0, 1, 125, 126, 65535, 65536, 900 * KIB }
local PEERS, BROADCASTS = 30, 20
local FILE_BYTES = 24 * MIB
local IDLE_MS, MOST_WAKES, IDLE_TRIES = 300, 4, 10

-- How often this process has waited for something so far; nil where the system does not tell.
local function waits()
  local file = io.open("/proc/self/status")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return tonumber(text:match("\nvoluntary_ctxt_switches:%s*(%d+)"))
end

local function talk(given)
  local handler, log = server.recorder(server.echo)
  local options = { protocols = { a = handler } }
  for name, value in pairs(given or {}) do options[name] = value end
  return options, log
end

-- luv itself writes EBADF to stderr for a descriptor with an error, and nothing can stop it. A test with such a
-- descriptor runs in a process of its own, which may write that once, and nothing else.
local INSIDE = "LOOPS_SPEC_INSIDE"

local function it_with_errors(loop, name, body)
  if loop ~= "luv" or server.is_native or os.getenv(INSIDE) then return it(name, body) end
  it(name, function()
    local whole = ("under %s %s"):format(loop, name)
    local output, code = child.run(("env %s=1 TALLY_FILE= timeout 60 %s spec/support/busted_start.lua --output=TAP "
      .. "--filter=%s spec/interop/loops_spec.lua"):format(INSIDE, child.quote(child.this_lua()), child.quote(whole)))
    assert.equal(0, code, output)
    assert.equal("ok 1 - " .. whole .. "\n1..1\n", (output:gsub("EBADF: bad file descriptor\n", "", 1)))
  end)
end

for _, name in ipairs(hosts.NAMES) do
  describe("under " .. name, function()
    after_each(server.stop_all)

    local missing = hosts.missing(name)
    if missing then return pending(missing) end

    local function start(options)
      local s = hosts.start(name, options)
      return s
    end

    it("messages of 0 to 900 KiB come back", function()
      local s = start((talk()))
      local c = client.open(s, "a")
      for _, size in ipairs(SIZES) do
        local text = ("e"):rep(size)
        c:text(text)
        assert.same({ 1, text }, { c:message() })
        c:write(2, text)
        assert.same({ 2, text }, { c:message() })
      end
    end)

    it("twenty broadcasts reach thirty peers", function()
      local s = start((talk()))
      local peers = {}
      for i = 1, PEERS do peers[i] = client.open(s, "a") end
      for i = 1, BROADCASTS do s.context:broadcast("a", "number " .. i) end
      for _, peer in ipairs(peers) do
        for i = 1, BROADCASTS do assert.same({ 1, "number " .. i }, { peer:message() }) end
      end
    end)

    it("a file of 24 MiB arrives whole while others talk", function()
      local path = os.tmpname()
      local file = assert(io.open(path, "wb"))
      for i = 1, FILE_BYTES / KIB do file:write(("%08d"):format(i):rep(KIB / 8)) end
      file:close()
      finally(function() os.remove(path) end)
      local s = start((talk({ on_http = function(ws) ws:serve_http_file(path, "text/plain") end })))
      local reader, talker = client.connect(s), client.open(s, "a")
      reader:send(client.request("/"))
      local status, headers = reader:read_head()
      assert.same({ 200, tostring(FILE_BYTES) }, { status, headers["content-length"] })
      local block = 4 * MIB
      for first = 1, FILE_BYTES / KIB, block / KIB do
        talker:text("at " .. first)
        assert.same({ 1, "at " .. first }, { talker:message() })
        local bytes = reader:read(block)
        assert.equal(("%08d"):format(first):rep(KIB / 8), bytes:sub(1, KIB))
        assert.equal(("%08d"):format(first + block / KIB - 1):rep(KIB / 8), bytes:sub(-KIB))
      end
    end)

    it("a peer that never asks is ended by its deadline", function()
      local s = start({ handshake_timeout = 0.05 })
      local begin = socket.gettime()
      local c = client.connect(s)
      assert.equal("closed", c:await_end())
      assert.is_true(socket.gettime() - begin >= 0.04)
    end)

    it("keepalive pings a silent peer, and ends it where it does not answer", function()
      local options, log = talk({ ping_interval = 0.05, ping_timeout = 5 })
      local s = start(options)
      local c = client.open(s, "a")
      local opcode, payload = c:message()
      assert.equal(9, opcode)
      c:write(10, payload)
      -- Not before: the pong may come late.
      inside.settings(s.context).ping_timeout = 0.05
      assert.equal(9, (c:message()))
      s:pump(function() return log.closed[1] end, "the end")
      assert.same({ 1006, false, "timeout" }, { log.closed[1][2], log.closed[1][4], log.closed[1][5] })
    end)

    it("the closing handshake goes both ways", function()
      local options, log = talk()
      local s = start(options)
      local c, d = client.open(s, "a"), client.open(s, "a")
      c:send_close(1000, "done")
      assert.equal(1000, (c:close_code()))
      log.ws[2]:close(1001, "going")
      assert.equal(1001, (d:close_code()))
      d:send_close(1001)
      s:pump(function() return #log.closed == 2 end)
      assert.same({ 1000, "done", true }, { log.closed[1][2], log.closed[1][3], log.closed[1][4] })
      assert.same({ 1001, true }, { log.closed[2][2], log.closed[2][4] })
    end)

    it("a client of the same context, and one of another, talk to the server", function()
      local s = start((talk()))
      local other = websockets.context({})
      finally(function() other:destroy() end)
      s.attach(other)
      local url, ended = "ws://127.0.0.1:" .. s.port, 0
      for _, context in ipairs({ s.context, other }) do
        local ws = context:connect(url, { protocols = { "a" } })
        ws:on_open(function() ws:write(("c"):rep(300 * KIB)) end)
        ws:on_receive(function(_, data)
          assert(#data == 300 * KIB)
          ws:close(1000)
        end)
        ws:on_closed(function(_, code, _, clean)
          assert(code == 1000 and clean)
          ended = ended + 1
        end)
      end
      s:pump(function() return ended == 2 end, "both clients")
    end)

    it_with_errors(name, "a connect that is refused at once is told after the call", function()
      local s = start({})
      local heard
      local ws = s.context:connect("ws://127.0.0.1:" .. ports.refusing())
      ws:on_closed(function(_, ...) heard = { ... } end)
      s:pump(function() return heard end, "the end")
      assert.same({ 1006, false, "refused" }, { heard[1], heard[3], heard[4] })
    end)

    it("timers fire in their order and never early, also after the loop has been busy", function()
      local s = start({})
      local fired, late = {}, nil
      local function busy()
        fired[#fired + 1] = "first"
        -- The loop's own clock stands still meanwhile.
        socket.sleep(0.06)
        local set = socket.gettime()
        s.context:after(0.04, function() late = socket.gettime() - set end)
      end
      local begin, last, first
      -- Where the machine does something else between the two, the first may be due last.
      repeat
        if last then last:cancel() end
        if first then first:cancel() end
        begin = socket.gettime()
        last = s.context:after(0.06, function() fired[#fired + 1] = "last" end)
        first = s.context:after(0.02, busy)
      until socket.gettime() - begin < 0.03
      local ticks = 0
      local every = s.context:every(0.01, function() ticks = ticks + 1 end)
      s:pump(function() return late end, "timers")
      every:cancel()
      assert.same({ "first", "last" }, fired)
      assert.is_true(late >= 0.039 and ticks >= 2 and socket.gettime() - begin >= 0.11)
    end)

    it("an idle loop is not woken", function()
      if not waits() then return pending("needs /proc/self/status") end
      local s = start((talk({ ping_interval = false })))
      client.open(s, "a")
      s:settle()
      -- A loop that is woken is woken each time; the system may do so once, as where it stops this process for a while.
      local is_idle, seen = false, {}
      for i = 1, IDLE_TRIES do
        local begin, before = socket.gettime(), waits()
        s:turn(IDLE_MS)
        local count, seconds = waits() - before, socket.gettime() - begin
        seen[i] = ("%d in %.3f s"):format(count, seconds)
        is_idle = seconds >= IDLE_MS / 1000 - 0.01 and count <= MOST_WAKES + (s.host.own_wakes or 0) * seconds
        if is_idle then break end
      end
      assert.is_true(is_idle, table.concat(seen, ", "))
    end)

    it("an error of a callback goes to on_error, the log or stderr, and the loop goes on", function()
      for _, option in ipairs({ "log", "on_error", "neither" }) do
        local heard
        local options = { protocols = { a = function(ws)
          ws:on_receive(function(_, data)
            if data == "raise" then error("on purpose", 0) end
            ws:write(data)
          end)
        end } }
        if option == "log" then options.log = function(_, text) heard = heard or text end end
        if option == "on_error" then options.on_error = function(err) heard = heard or err end end
        local s = start(options)
        local c = client.open(s, "a")
        local lines = stderr.of(function()
          local is_served = pcall(function() c:text("raise") end)
          if s.attachment then assert.is_true(is_served) end
          c:text("on")
          -- service and run raise where there is no on_error.
          if not s.attachment and option ~= "on_error" then
            heard = s:pump_failure()
          else
            assert.same({ 1, "on" }, { c:message() })
          end
        end)
        if s.attachment and option == "neither" then
          assert.same({ "websockets: on purpose" }, lines)
        else
          assert.same({ "on purpose" }, { heard, lines[1] })
        end
        server.stop_all()
      end
    end)

    -- Only what a context is attached to can be left.
    local it = hosts.CALLS[name] and function() end or it

    it("nothing is watched after detach, and the context goes on by itself", function()
      local s = start((talk()))
      local c, host = client.open(s, "a"), s.host
      s.context:after(60, error)
      s.attachment:detach()
      assert.is_false(host.waits())
      s.turn = nil
      c:text("by service")
      assert.same({ 1, "by service" }, { c:message() })
      local again = s.attach(s.context)
      function s.turn(_, ms) host.turn(ms) end
      c:text("attached anew")
      assert.same({ 1, "attached anew" }, { c:message() })
      again:detach()
      assert.is_false(host.waits())
    end)

    it("nothing is watched after destroy without detach", function()
      local s = start((talk()))
      client.open(s, "a")
      s.context:after(60, error)
      s.context:connect("ws://127.0.0.1:" .. s.port)
      s.context:destroy()
      assert.is_false(s.host.waits())
      s.attachment:detach()
    end)

    it("a context that is destroyed in a callback leaves the loop", function()
      local s
      s = start({ default = function(ws)
        ws:on_receive(function() s.context:destroy() end)
      end })
      client.open(s):text("end")
      s:pump(function() return inside.is_destroyed(s.context) end)
      assert.is_false(s.host.waits())
    end)

    it("a loop ends by itself when a client has nothing left to do", function()
      local s = start((talk()))
      local other, ended = websockets.context({}), false
      finally(function() other:destroy() end)
      s.attach(other)
      local ws = other:connect("ws://127.0.0.1:" .. s.port)
      ws:on_open(function() ws:close(1000) end)
      ws:on_closed(function() ended = true end)
      s:pump(function() return ended end)
      s.context:destroy()
      assert.is_false(s.host.waits())
    end)

    it_with_errors(name, "a peer that resets its connection does no harm", function()
      local options, log = talk()
      local s = start(options)
      local c, other = client.open(s, "a"), client.open(s, "a")
      c.connection:setoption("linger", { on = true, timeout = 0 })
      c.connection:close()
      s:pump(function() return log.closed[1] end)
      other:text("still here")
      assert.same({ 1, "still here" }, { other:message() })
    end)
  end)
end

describe("an adapter", function()
  it("raises for wrong arguments at the line that called it, and names a package that is missing", function()
    local ev, folder = libev.load()
    if not ev then return pending(folder) end
    finally(function() libev.remove(folder) end)
    local adapter = require("websockets.loop.ev")
    local function raised(...)
      local arguments = { ... }
      local _, err = pcall(function() adapter.attach(arguments[1], arguments[2]) end)
      return err
    end
    assert.matches("loops_spec.lua:%d+: bad argument #1 to 'attach' %(context expected, got no value%)", raised())
    local context = websockets.context({})
    assert.matches("loops_spec.lua:%d+: bad argument #2 to 'attach' %(loop of lua%-ev expected, got 1%)",
      raised(context, 1))
    adapter.attach(context)
    assert.matches("loops_spec.lua:%d+: this context is attached to a loop already", raised(context))
    context:destroy()
    local host = require("websockets.loop.host")
    assert.error_matches(function() host.load("no_such_loop", "no-such-package") end,
      "^no%-such%-package cannot be loaded, which websockets.loop.no_such_loop needs: ")
  end)
end)
