--- One bad peer costs the others nothing: an echo goes on whatever it does.
-- @module spec.behaviour.isolation_spec
local server = require("spec.support.server")
local client = require("spec.support.client")
local inside = require("spec.support.inside")

local SPARSE_BYTES = 100 * 1024 * 1024
local ECHOES = 50

local function sparse_file()
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:seek("set", SPARSE_BYTES - 1)
  file:write("\0")
  file:close()
  return path
end

-- A server with a large file, for peers that misbehave.
local function start(options)
  local path = sparse_file()
  local handler, log = server.recorder()
  options.protocols = { echo = server.echo, flood = handler }
  options.on_http = function(ws) ws:serve_http_file(path, "application/octet-stream") end
  local s = server.start(options)
  s.on_stop = function() os.remove(path) end
  return s, log
end

-- A peer that reads late still gets all of it.
local function assert_whole_file(s, late)
  local status, headers = late:read_head()
  assert.same({ 200, tostring(SPARSE_BYTES) }, { status, headers["content-length"] })
  local taken = 0
  s:pump(function()
    while late:poll() do end
    taken = taken + #late:take()
    assert(not late.ended, "the server ended the connection")
    return taken >= SPARSE_BYTES
  end, "the whole file")
  assert.equal(SPARSE_BYTES, taken)
end

local function echo_goes_on(s, c, each)
  for i = 1, ECHOES do
    if each then each(i) end
    -- A handful of turns is all that an echo may take, whatever the others do.
    c.connection:send(c:frame(1, tostring(i)))
    local opcode, payload
    for _ = 1, 20 do
      s:turn(1)
      opcode, payload = c:try_message()
      if opcode then break end
    end
    assert.same({ 1, tostring(i) }, { opcode, payload })
  end
end

describe("an echo goes on while another peer", function()
  after_each(server.stop_all)

  it("connects and says nothing", function()
    local s = start({})
    local c = client.open(s, "echo")
    client.connect(s)
    echo_goes_on(s, c)
  end)

  it("sends its handshake a byte at a time", function()
    local s = start({})
    local c, slow = client.open(s, "echo"), client.connect(s)
    local request = client.upgrade({ protocol = "echo" })
    echo_goes_on(s, c, function(i) slow.connection:send(request:sub(i, i)) end)
    slow:send(request:sub(ECHOES + 1))
    assert.equal(101, (slow:read_head()))
  end)

  it("asks for a file of 100 MiB and never reads it; the file is not held in memory", function()
    local s = start({})
    local c, stuck = client.open(s, "echo"), client.connect(s)
    stuck:send(client.request("/"))
    s:settle()
    collectgarbage()
    collectgarbage()
    local before = collectgarbage("count")
    echo_goes_on(s, c)
    assert.is_true(collectgarbage("count") - before < 10 * 1024)
    assert.is_true(inside.buffered(s.context) < 1024 * 1024)
  end)

  it("takes a file of 100 MiB as fast as it can: each turn gives it a part", function()
    local s = start({})
    local c, fast = client.open(s, "echo"), client.connect(s)
    fast:send(client.request("/"))
    echo_goes_on(s, c, function()
      while fast:poll() do fast:take() end
    end)
  end)

  it("never reads a broadcast: it is closed at its limit, the others get every message", function()
    local s, log = start({ max_buffered_bytes = 1024 * 1024 })
    local c, reader = client.open(s, "echo"), client.open(s, "flood")
    client.open(s, "flood")
    local piece = ("x"):rep(256 * 1024)
    echo_goes_on(s, c, function()
      assert.equal(0, s.context:broadcast("flood", piece))
      assert.same({ 1, piece }, { reader:message() })
    end)
    assert.is_true(inside.buffered(s.context) < 2 * 1024 * 1024)
    local context = s.context
    s:fake_time()
    s:advance(5.1)
    assert.same({ 1013, "slow" }, { log.closed[1][2], log.closed[1][5] })
    assert.equal(0, inside.buffered(context))
  end)

  it("vanishes in the middle of a frame", function()
    local s, log = start({})
    local c, gone = client.open(s, "echo"), client.open(s, "flood")
    gone:send(gone:frame(2, ("x"):rep(1000)):sub(1, 500))
    gone:reset()
    echo_goes_on(s, c)
    assert.equal(1006, log.closed[1][2])
  end)

  it("sends as fast as it can", function()
    local s = start({})
    local c, flood = client.open(s, "echo"), client.open(s, "echo")
    local frames = flood:frame(1, "flood"):rep(2000)
    local from = 1
    echo_goes_on(s, c, function()
      local last, _, partial = flood.connection:send(frames, from)
      from = (last or partial or from - 1) + 1
      if from > #frames then from = 1 end
    end)
  end)

  it("sends messages in fragments of one byte: a turn reads no more frames of it than of others", function()
    local most, heard = 0, 0
    local s = server.start({ protocols = { echo = server.echo, flood = function(ws)
      ws:on_receive(function(_, payload)
        assert.equal("aaaaaaaaaaaaaaaa", payload)
        heard = heard + 1
      end)
    end } })
    local c, flood = client.open(s, "echo"), client.open(s, "flood")
    local message = flood:frame(1, "a", false) .. flood:frame(0, "a", false):rep(14) .. flood:frame(0, "a")
    flood.connection:send(message:rep(300))
    local turn = s.turn
    function s:turn(ms)
      local before = heard
      turn(self, ms)
      most = math.max(most, heard - before)
    end
    echo_goes_on(s, c)
    s:pump(function() return heard == 300 end, "all messages")
    -- What is left is read once more in the same turn.
    assert.is_true(most <= 2 * 17, most .. " messages of 16 frames in a turn")
  end)

  it("does all of it at once, under a loop that watches READ only", function()
    local socket, watched = require("socket"), {}
    local s = start({
      max_buffered_bytes = 1024 * 1024,
      on_add_fd = function(fd) watched[fd] = { getfd = function() return fd end } end,
      on_del_fd = function(fd) watched[fd] = nil end,
    })
    function s:turn(ms)
      local list = {}
      for _, object in pairs(watched) do list[#list + 1] = object end
      local ready = socket.select(list, nil, math.min(ms / 1000, self.context:timeout() or 1))
      for i = 1, #ready do self.context:service_fd(ready[i].getfd()) end
      if #ready == 0 then self.context:service_fd(-1) end
    end
    local c, slow, stuck = client.open(s, "echo"), client.connect(s), client.connect(s)
    client.connect(s)
    client.open(s, "flood")
    local gone = client.open(s, "flood")
    stuck:send(client.request("/"))
    gone:reset()
    local piece, request = ("x"):rep(256 * 1024), client.upgrade({ protocol = "echo" })
    echo_goes_on(s, c, function(i)
      slow.connection:send(request:sub(i, i))
      s.context:broadcast("flood", piece)
    end)
    assert.is_true(inside.buffered(s.context) < 4 * 1024 * 1024)
    assert_whole_file(s, stuck)
  end)
end)
