--- Under lua-ev a program that watches sockets for reading only works fully.
-- @module spec.interop.ev_spec

local child = require "spec.support.child"
local libev = require "spec.support.libev"
local plain_client = require "spec.support.plain_client"
local define_checks = require "spec.support.test_server_checks"

local LINK = "^http://127%.0%.0%.1:(%d+)/$"
local STEP_SECONDS, TICK_SECONDS, GUARD_SECONDS = 0.002, 0.01, 60

-- A server under an ev loop of its own that watches for reading only, and a client in the same process: a coroutine
-- that a timer resumes. Ends when the client has ended; the loop then has nothing left to watch.
local function converse(ev, options, talk)
  local websockets = require "websockets"
  local loop = ev.Loop.new()
  local watchers, seen = {}, { added = {}, deleted = {} }
  local context

  function options.on_add_fd(fd)
    assert(not watchers[fd], "added twice")
    seen.added[#seen.added + 1] = fd
    watchers[fd] = ev.IO.new(function(_, _, revents)
      context:service_fd(fd, revents)
    end, fd, ev.READ)
    watchers[fd]:start(loop)
  end
  function options.on_del_fd(fd)
    seen.deleted[#seen.deleted + 1] = fd
    watchers[fd]:stop(loop)
    watchers[fd] = nil
  end
  options.port, options.interf = "any", "127.0.0.1"
  context = websockets.context(options)

  local tick = ev.Timer.new(function()
    context:broadcast("ticking", "x")
  end, TICK_SECONDS, TICK_SECONDS)
  local client = coroutine.create(talk)
  local passed, why = true, nil
  local step = ev.Timer.new(function(_, timer)
    passed, why = coroutine.resume(client, context, function() coroutine.yield() end)
    if coroutine.status(client) == "dead" then
      timer:stop(loop)
      tick:stop(loop)
      context:destroy()
    end
  end, 0, STEP_SECONDS)
  -- Does not keep the loop alive, only ends it where a watcher was forgotten.
  local guard = ev.Timer.new(function()
    seen.unfinished = true
    loop:unloop()
  end, GUARD_SECONDS)

  tick:start(loop)
  step:start(loop)
  guard:start(loop, true)
  loop:loop()
  guard:stop(loop)
  assert(passed, why)
  return seen
end

local function echo(ws)
  ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
end

local function ticking(ws)
  local number = 0
  ws:on_broadcast(function()
    ws:write(tostring(number))
    number = number + 1
  end)
end

local function pattern_bytes(blocks)
  local pieces = {}
  for i = 1, blocks do
    pieces[i] = ("%08d"):format(i):rep(128)
  end
  return table.concat(pieces)
end

describe("under lua-ev", function()
  local ev, folder = libev.load()
  if not ev then
    pending(folder)
    return
  end

  lazy_teardown(function()
    libev.remove(folder)
  end)

  -- lua-ev prints the errors of callbacks; the fixture must not hide them, or the specs below could not fail.
  local fixture = folder and describe or function() end

  fixture("the fixture", function()
    it("lets the error of a callback leave the loop, and can go on", function()
      local loop, ran = ev.Loop.new(), 0
      local failing = ev.Timer.new(function() error({ "told" }) end, 0)
      local counting = ev.Timer.new(function(_, timer, revents)
        assert.equal(ev.TIMEOUT, revents)
        ran = ran + 1
        if ran == 3 then
          timer:stop(loop)
        end
      end, 0, STEP_SECONDS)
      failing:start(loop)
      counting:start(loop)
      local passed, why = pcall(loop.loop, loop)
      assert.is_false(passed)
      assert.same({ "told" }, why)
      assert.is_false(failing:is_active())
      loop:loop()
      assert.equal(3, ran)
    end)

    it("ends when only daemons are left, and starts timers again", function()
      local loop, ran = ev.Loop.new(), 0
      local daemon = ev.Timer.new(function() error("never due") end, GUARD_SECONDS)
      local again = ev.Timer.new(function(_, timer)
        ran = ran + 1
        timer:stop(loop)
      end, GUARD_SECONDS, STEP_SECONDS)
      daemon:start(loop, true)
      again:again(loop)
      loop:loop()
      assert.equal(1, ran)
      assert.is_true(daemon:is_active())
      daemon:stop(loop)
    end)
  end)

  it("shakes hands and echoes", function()
    converse(ev, { protocols = { ticking = ticking, echo = echo } }, function(context, pause)
      local client = plain_client.connect(context:get_port(), pause)
      client:upgrade("echo")
      for _, text in ipairs({ "one", "", ("x"):rep(125) }) do
        client:write(text)
        assert.equal(text, (client:read_message()))
      end
      client:close()
    end)
  end)

  it("broadcasts on a timer to every connection of the protocol", function()
    converse(ev, { protocols = { ticking = ticking, echo = echo } }, function(context, pause)
      local first = plain_client.connect(context:get_port(), pause)
      local second = plain_client.connect(context:get_port(), pause)
      first:upgrade("ticking")
      second:upgrade("ticking")
      for expected = 0, 4 do
        assert.equal(tostring(expected), (first:read_message()))
        assert.equal(tostring(expected), (second:read_message()))
      end
      first:close()
      second:close()
    end)
  end)

  it("serves a file of 4 MiB to a slow reader", function()
    local path = os.tmpname()
    local bytes = pattern_bytes(4096)
    local file = assert(io.open(path, "wb"))
    file:write(bytes)
    file:close()
    local served = {}
    local finished, why = pcall(converse, ev, {
      protocols = { ticking = ticking },
      on_http = function(ws) served[1] = ws:serve_http_file(path, "application/octet-stream") end,
    }, function(context, pause)
      local client = plain_client.connect(context:get_port(), pause)
      client:request("/")
      while not served[1] do
        pause()
      end
      local head = client:read_head()
      assert.truthy(head:lower():find("content%-length: " .. #bytes .. "\r\n"), head)
      local pieces, length = {}, 0
      while length < #bytes do
        if client.buffer == "" then
          assert.truthy(client:fill())
        end
        pieces[#pieces + 1], client.buffer = client.buffer, ""
        length = length + #pieces[#pieces]
        -- One piece a step: the server has the file long before the reader, and has to come back to it.
        pause()
      end
      assert.truthy(table.concat(pieces) == bytes)
      client:close()
    end)
    os.remove(path)
    assert(finished, why)
    assert.equal(0, served[1])
  end)

  it("takes back every fd that it gave, whatever state the connection is in", function()
    local seen = converse(ev, {
      protocols = { ticking = ticking, echo = echo },
      on_http = function(ws) ws:respond(404) end,
    }, function(context, pause)
      local port = context:get_port()
      local gone = plain_client.connect(port, pause)
      gone:upgrade("echo")
      gone:close()
      local open = plain_client.connect(port, pause)
      open:upgrade("ticking")
      open:read_message()
      local silent, asking = plain_client.connect(port, pause), plain_client.connect(port, pause)
      asking:send("GET / HT")
      local answered = plain_client.connect(port, pause)
      answered:request("/")
      assert.truthy(answered:read_head():find(" 404 ", 1, true))
      return silent
    end)
    assert.is_nil(seen.unfinished)
    assert.truthy(#seen.added >= 6)
    table.sort(seen.added)
    table.sort(seen.deleted)
    assert.same(seen.added, seen.deleted)
  end)

  describe("test-server-ev.lua", function()
    local server, port

    lazy_setup(function()
      server = child.start(child.quote(child.this_lua())
        .. " test-server/test-server-ev.lua test-server/ any 127.0.0.1", libev.environment())
      port = server:expect(LINK)
    end)

    lazy_teardown(function()
      if server then
        server:stop()
      end
    end)

    define_checks(it, function() return tonumber(port) end)
  end)
end)
